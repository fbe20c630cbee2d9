"""All ranges of the model as a list with a small picture each, made only for what is seen."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QSize, Qt, Signal
from PySide6.QtGui import QPixmap

from qgui.core.errors import QguiError
from qgui.core.plan import ActivationRanges, Choice
from qgui.core.recipe import ActivationSetting
from qgui.ui import formatting
from qgui.ui.choices import short_observer_label
from qgui.ui.document import Document
from qgui.ui.idle import Idle
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme
from qgui.ui.thumbnails import thumbnail

#: Predicted SQNR in dB of a row, None where it is not known yet.
SQNR_ROLE = Qt.ItemDataRole.UserRole
#: So many pictures are kept.
_KEPT = 400


class Order(enum.StrEnum):
    """How the ranges are sorted."""

    MODEL = "model"
    WORST = "worst"
    BEST = "best"


@dataclass(frozen=True)
class Entry:
    """A range.

    Attributes:
        layer: Name of the layer whose setting decides it.
        tensor: Name of the tensor that has it.
        sharing: Names of the other layers that share it.
    """

    layer: str
    tensor: str
    sharing: tuple[str, ...]


class OverviewModel(QAbstractListModel):
    """The ranges of all tensors; those that share one range stand there once.

    Signals:
        ranked: How many of how many predicted SQNRs are known while sorting needs them.

    Args:
        document: Whose ranges.
        theme: For the colours.
        idle: Where pictures and SQNRs are computed.
        size: Of a picture.
        parent: Qt parent.
    """

    ranked = Signal(int, int)

    def __init__(
        self, document: Document, theme: Theme, idle: Idle, size: QSize, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._theme = theme
        self._idle = idle
        self._size = size
        self._ratio = 1.0
        self._calculated: ActivationRanges | None = None
        self._entries: list[Entry] = []
        self._order: list[int] = []
        self._sorting = Order.MODEL
        self._pictures: OrderedDict[tuple[str, ActivationSetting, bool], QPixmap] = OrderedDict()
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._drawing: Iterator[None] | None = None
        self._ranking: Iterator[None] | None = None
        self._seen: Callable[[QModelIndex], bool] = lambda _: True

    def set_seen(self, seen: Callable[[QModelIndex], bool], ratio: float) -> None:
        """Take what tells whether a row is seen, and the pixel ratio of the screen."""
        self._seen, self._ratio = seen, ratio

    # Content

    def take(self) -> None:
        """Show the ranges of the document as they are now."""
        self._stop()
        self.beginResetModel()
        self._calculated = self._document.ranges
        self._entries = self._found()
        self._order = list(range(len(self._entries)))
        self._pictures.clear()
        self.endResetModel()
        self._sort()

    def refresh(self) -> None:
        """Take the settings of another recipe: pictures of ranges that changed are made anew when they are seen."""
        if self._order:
            self.dataChanged.emit(self.index(0), self.index(len(self._order) - 1))
        self._sort()

    def sort_by(self, order: Order) -> None:
        """Sort the ranges; by SQNR as soon as all are known."""
        self._sorting = order
        self._sort()

    def row_of(self, layer: str) -> int:
        """Return the row in which a layer's range stands, -1 where there is none."""
        known = self._document.layer(layer)
        owner = self._document.owner_of(known) if known is not None else None
        wanted = owner.layer if owner is not None else layer
        return next((row for row, place in enumerate(self._order) if self._entries[place].layer == wanted), -1)

    def _found(self) -> list[Entry]:
        calculated = self._calculated
        if calculated is None:
            return []
        sharing: dict[str, list[str]] = {}
        for tensor in calculated.model.tensors:
            sharing.setdefault(calculated.owner(tensor.name).name, []).append(tensor.layer)
        found = []
        for name, layers in sharing.items():
            owner = calculated.owner(name)
            found.append(Entry(owner.layer, name, tuple(layer for layer in layers if layer != owner.layer)))
        return found

    def _setting(self, entry: Entry) -> ActivationSetting:
        return (
            self._calculated.setting(entry.tensor, self._document.recipe) if self._calculated else ActivationSetting()
        )

    def _known(self, entry: Entry) -> Choice | None:
        """Return what a range costs where that is known already."""
        setting = self._setting(entry)
        if self._calculated is None or not self._calculated.knows(entry.tensor, setting):
            return None
        return self._calculated.choice(entry.tensor, setting)

    # Sorting

    def _sort(self) -> None:
        self._idle.drop(self._ranking)
        self._ranking = None
        if self._sorting is Order.MODEL:
            self._arrange(list(range(len(self._entries))))
        elif self._entries:
            self._ranking = self._rank()
            self._idle.add(self._ranking, first=True)

    def _rank(self) -> Iterator[None]:
        for done, entry in enumerate(self._entries):
            if self._known(entry) is None and self._calculated is not None:
                try:
                    self._calculated.choice(entry.tensor, self._setting(entry))
                except QguiError:
                    continue
                self.ranked.emit(done, len(self._entries))
                yield
        self.ranked.emit(len(self._entries), len(self._entries))
        sign = 1.0 if self._sorting is Order.WORST else -1.0

        def key(place: int) -> tuple[bool, float]:
            choice = self._known(self._entries[place])
            return choice is None, sign * choice.sqnr_db if choice is not None else 0.0

        self._ranking = None
        self._arrange(sorted(range(len(self._entries)), key=key))

    def _arrange(self, order: list[int]) -> None:
        if order == self._order:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        places = [self._order[index.row()] for index in before]
        self._order = order
        rows = {place: row for row, place in enumerate(order)}
        self.changePersistentIndexList(before, [self.index(rows[place]) for place in places])
        self.layoutChanged.emit()

    # Pictures

    def _picture(self, entry: Entry) -> QPixmap | None:
        """Return the picture of a range; one that is not there yet is made when nothing else happens."""
        key = (entry.tensor, self._setting(entry), self._theme.colours.dark)
        if key in self._pictures:
            self._pictures.move_to_end(key)
            return self._pictures[key]
        self._wanted[entry.tensor] = None
        if self._drawing is None:
            self._drawing = self._draw()
            self._idle.add(self._drawing, first=True)
        return None

    def _draw(self) -> Iterator[None]:
        by_tensor = {entry.tensor: place for place, entry in enumerate(self._entries)}
        while self._wanted and self._calculated is not None:
            tensor, _ = self._wanted.popitem(last=False)
            place = by_tensor[tensor]
            entry = self._entries[place]
            index = self.index(self._order.index(place))
            if not self._seen(index):
                continue
            setting, colours = self._setting(entry), self._theme.colours
            try:
                choice = self._calculated.choice(tensor, setting)
                made = thumbnail(self._calculated.distribution(tensor), choice, colours, self._size, self._ratio)
            except QguiError:
                made = QPixmap()
            self._pictures[tensor, setting, colours.dark] = made
            while len(self._pictures) > _KEPT:
                self._pictures.popitem(last=False)
            self.dataChanged.emit(index, index)
            yield
        self._drawing = None

    def _stop(self) -> None:
        self._idle.drop(self._drawing)
        self._idle.drop(self._ranking)
        self._drawing = self._ranking = None
        self._wanted.clear()

    # Model

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._order)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        entry = self._entries[self._order[index.row()]]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return entry.layer
            case Qt.ItemDataRole.DecorationRole:
                return self._picture(entry)
            case _ if role == SQNR_ROLE:
                choice = self._known(entry)
                return choice.sqnr_db if choice is not None else None
            case Qt.ItemDataRole.ToolTipRole | Qt.ItemDataRole.AccessibleTextRole:
                return self._sentence(entry)
        return None

    def _sentence(self, entry: Entry) -> str:
        choice = self._known(entry)
        parts: Sequence[str] = (entry.layer,)
        if choice is not None:
            parts = (
                entry.layer,
                self.tr("{observer}, predicted SQNR {sqnr}, clipped {clipped}").format(
                    observer=short_observer_label(choice.observer.kind),
                    sqnr=formatting.decibel(choice.sqnr_db),
                    clipped=formatting.small_percent(choice.clipped),
                ),
            )
        shared = self.tr("also the range of {layers}").format(layers=", ".join(entry.sharing)) if entry.sharing else ""
        return "\n".join([*parts, *filter(None, [shared])])
