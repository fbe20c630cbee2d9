"""Finding the observer of the least predicted error for each tensor, and adopting all in one undo step."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from qgui.core import decisions, legality
from qgui.core.errors import QguiError
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import Observer
from qgui.ui import formatting
from qgui.ui.document import Document
from qgui.ui.idle import Idle


def adjustable_owners(document: Document, layers: Sequence[str] | None = None) -> dict[str, str]:
    """Return the layers whose settings decide a range that can be chosen, each with the tensor that has this range.

    Args:
        document: Whose layers.
        layers: Names of layers, None for all.
    """
    if document.model is None:
        return {}
    names = [layer.name for layer in document.model.layers] if layers is None else layers
    found = {}
    for head in decisions.heads(document.model, names):
        owner = document.owner_of(head)
        layer = document.layer(owner.layer) if owner is not None else None
        if owner is not None and owner.fixed is None and layer is not None and legality.has_activation(layer):
            found[owner.layer] = owner.name
    return found


class BestObservers(QObject):
    """Adopts for each tensor the observer of the least predicted error.

    Signals:
        progressed: How many tensors of how many are done.
        ended: A sentence that says what came of it; empty where it was stopped.

    Args:
        document: Whose layers.
        idle: Where the computing happens.
        parent: Qt parent.
    """

    progressed = Signal(int, int)
    ended = Signal(str)

    def __init__(self, document: Document, idle: Idle, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._idle = idle
        self._work: Iterator[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the observers are being compared."""
        return self._work is not None

    def start(self, layers: Sequence[str] | None) -> None:
        """Compare the observers for layers (None for all), then decide for all of them as one undo step."""
        self.stop()
        calculated = self._document.ranges
        if calculated is not None:
            self._work = self._compare(calculated, adjustable_owners(self._document, layers))
            self._idle.add(self._work, first=True)

    def stop(self) -> None:
        """Give up; nothing is decided."""
        if self._work is not None:
            self._idle.drop(self._work)
            self._work = None
            self.ended.emit("")

    def _compare(self, calculated: ActivationRanges, owners: dict[str, str]) -> Iterator[None]:
        # What is decided meanwhile counts: settings are read again until nothing is left to compute.
        tensors = list(owners.values())
        while True:
            computed = False
            for done, tensor in enumerate(tensors):
                for setting in calculated.candidates(tensor, calculated.setting(tensor, self._document.recipe)):
                    if calculated.knows(tensor, setting):
                        continue
                    computed = True
                    try:
                        calculated.choice(tensor, setting)
                    except QguiError:
                        break
                    yield
                if computed:
                    self.progressed.emit(done + 1, len(tensors))
            if self._document.ranges is not calculated:
                self._work = None
                self.ended.emit("")
                return
            if not computed or not self._unknown(calculated, tensors):
                break
        self._work = None
        self._decide(calculated, owners)

    def _unknown(self, calculated: ActivationRanges, tensors: Sequence[str]) -> bool:
        """Whether a decision made meanwhile needs computing."""
        for tensor in tensors:
            try:
                calculated.distribution(tensor)
            except QguiError:
                continue
            setting = calculated.setting(tensor, self._document.recipe)
            if not all(calculated.knows(tensor, candidate) for candidate in calculated.candidates(tensor, setting)):
                return True
        return False

    def _decide(self, calculated: ActivationRanges, owners: dict[str, str]) -> None:
        observers: dict[str, Observer] = {}
        gains: list[float] = []
        for layer, tensor in owners.items():
            setting = calculated.setting(tensor, self._document.recipe)
            try:
                best, present = calculated.best(tensor, setting), calculated.choice(tensor, setting)
            except QguiError:
                continue
            if best.observer != present.observer:
                observers[layer] = best.observer
                gains.append(best.sqnr_db - present.sqnr_db)
        edit = decisions.activation_observers_edit(observers)
        self._document.decide(self.tr("Best observer per layer"), list(observers), edit)
        if not observers:
            only = len(owners) == 1
            sentence = (
                self.tr("The range already has its best observer.")
                if only
                else self.tr("Each of the {count} ranges already has its best observer.")
            )
            self.ended.emit(sentence.format(count=len(owners)))
            return
        sentence = self.tr(
            "{changed} of {count} ranges have another observer now; predicted SQNR rises there by {median} dB in the "
            "median and by up to {most} dB. Ctrl+Z takes it back."
        )
        self.ended.emit(
            sentence.format(
                changed=len(observers),
                count=len(owners),
                median=formatting.number_fixed(statistics.median(gains), 2),
                most=formatting.number_fixed(max(gains), 2),
            )
        )


class BestButton(QToolButton):
    """Begins looking for the best observers, for all layers or the selected ones; while it runs, it stops it.

    Args:
        best: What looks for them.
        document: Whose layers.
        selected: Returns the names of the selected layers.
        parent: Qt parent.
    """

    def __init__(
        self,
        best: BestObservers,
        document: Document,
        selected: Callable[[], Sequence[str]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._best = best
        self._document = document
        self._selected_layers = selected
        self.setObjectName("rangesBest")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.setToolTip(self.tr("Use for every layer the observer of the least predicted error, as one undo step."))
        menu = QMenu(self)
        self.for_all = menu.addAction(self.tr("For all layers"), lambda: best.start(None))
        self.for_selected = menu.addAction("", lambda: best.start(selected()))
        self.for_all.setObjectName("bestForAll")
        self.for_selected.setObjectName("bestForSelected")
        menu.aboutToShow.connect(self._name_selected)
        self.setMenu(menu)
        self.clicked.connect(self._on_clicked)
        best.progressed.connect(self._show_progress)
        best.ended.connect(lambda _: self._show_progress(0, 0))
        self._show_progress(0, 0)

    def _on_clicked(self) -> None:
        if self._best.running:
            self._best.stop()
        else:
            self._best.start(None)

    def _name_selected(self) -> None:
        count = len(adjustable_owners(self._document, self._selected_layers()))
        text = self.tr("For the selected range") if count == 1 else self.tr("For the {count} selected ranges")
        self.for_selected.setText(text.format(count=count))
        self.for_selected.setEnabled(count > 0)

    def _show_progress(self, done: int, total: int) -> None:
        text = (
            self.tr("Stop ({done} of {total})").format(done=done, total=total) if total else self.tr("Best per layer")
        )
        self.setText(text)
        self.setAccessibleName(text)
