"""The samples that caused the extremes of an activation, and those that were left out, as an item model."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QSize, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPixmap

from qgui.core.results import SampleDescription
from qgui.core.statistics import TensorStatistics
from qgui.ui import formatting
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme

#: Side of a thumbnail in pixels.
THUMBNAIL = 52


class Tail(enum.Enum):
    """Which end of the distribution a sample caused."""

    LOW = "low"
    HIGH = "high"
    NEITHER = "neither"


@dataclass(frozen=True)
class Entry:
    """One sample.

    Attributes:
        sample: Index in the data set.
        tail: The end it reached.
        value: The extreme it caused; None where it caused none.
        left_out: Whether it is left out of calibration.
    """

    sample: int
    tail: Tail
    value: float | None
    left_out: bool


def entries_of(statistics: TensorStatistics | None, excluded: Iterable[int]) -> list[Entry]:
    """Return the samples of the low tail, those of the high tail, then those that were left out without an extreme."""
    out = set(excluded)
    found = []
    for tail, samples in (
        (Tail.LOW, statistics.lowest if statistics else ()),
        (Tail.HIGH, statistics.highest if statistics else ()),
    ):
        found += [Entry(s.sample, tail, s.value, s.sample in out) for s in samples]
    shown = {entry.sample for entry in found}
    return found + [Entry(sample, Tail.NEITHER, None, True) for sample in sorted(out - shown)]


class SampleModel(QAbstractListModel):
    """One item for each sample.

    Args:
        theme: For colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._entries: list[Entry] = []
        self._known: Mapping[int, SampleDescription] = {}
        self._icons: dict[tuple[str, str], QIcon] = {}

    def show_entries(self, entries: list[Entry]) -> None:
        """Show other samples."""
        if entries == self._entries:
            return
        self.beginResetModel()
        self._entries = entries
        self.endResetModel()

    def show_descriptions(self, known: Mapping[int, SampleDescription]) -> None:
        """Take what is known of samples, by their index."""
        self._known = dict(known)
        self._icons.clear()
        if self._entries:
            self.dataChanged.emit(self.index(0), self.index(len(self._entries) - 1))

    def entry(self, row: int) -> Entry | None:
        """Return the sample in a row, None where there is no such row."""
        return self._entries[row] if 0 <= row < len(self._entries) else None

    def description(self, sample: int) -> SampleDescription | None:
        """Return what is known of a sample, None before the engine told."""
        return self._known.get(sample)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entry(index.row()) if index.isValid() else None
        if entry is None:
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(entry)
            case Qt.ItemDataRole.DecorationRole:
                return self._icon(entry)
            case Qt.ItemDataRole.ToolTipRole | Qt.ItemDataRole.AccessibleTextRole:
                return self.sentence(entry)
            case Qt.ItemDataRole.TextAlignmentRole:
                return int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
            case Qt.ItemDataRole.ForegroundRole if entry.left_out:
                return QColor(self._theme.colours.faint)
            case Qt.ItemDataRole.FontRole if entry.left_out:
                font = QFont()
                font.setStrikeOut(True)
                return font
        return None

    def _text(self, entry: Entry) -> str:
        mark = {Tail.LOW: "↓ ", Tail.HIGH: "↑ ", Tail.NEITHER: ""}[entry.tail]
        second = f"{mark}{formatting.number(entry.value, 3)}" if entry.value is not None else self.tr("left out")
        return f"#{entry.sample}\n{second}"

    def sentence(self, entry: Entry) -> str:
        """Return in words what is known of a sample."""
        lines = [self.tr("Sample #{sample}").format(sample=entry.sample)]
        known = self._known.get(entry.sample)
        if known is not None and known.label is not None:
            name = f" ({known.class_name})" if known.class_name and known.class_name != str(known.label) else ""
            lines.append(self.tr("Class {label}{name}").format(label=known.label, name=name))
        if known is not None and known.file:
            lines.append(known.file)
        if known is not None and known.problem:
            lines.append(self.tr("It could not be read: {problem}").format(problem=known.problem))
        if entry.value is not None:
            sentence = self.tr("Least value {value}") if entry.tail is Tail.LOW else self.tr("Greatest value {value}")
            lines.append(sentence.format(value=formatting.number(entry.value)))
        if entry.left_out:
            lines.append(self.tr("Left out of calibration."))
        return "\n".join(lines)

    def _icon(self, entry: Entry) -> QIcon:
        known = self._known.get(entry.sample)
        key = (known.picture if known is not None else "", "" if known is not None else "unknown")
        if key not in self._icons:
            self._icons[key] = QIcon(framed(QPixmap(key[0]), self._theme.colours.line))
        return self._icons[key]


def framed(picture: QPixmap, line: str, side: int = THUMBNAIL) -> QPixmap:
    """Return a picture in a square; an empty frame where there is no picture. Few pixels stay squares."""
    square = QPixmap(QSize(side, side))
    square.fill(Qt.GlobalColor.transparent)
    painter = QPainter(square)
    if not picture.isNull():
        small = max(picture.width(), picture.height()) < side
        way = Qt.TransformationMode.FastTransformation if small else Qt.TransformationMode.SmoothTransformation
        scaled = picture.scaled(QSize(side, side), Qt.AspectRatioMode.KeepAspectRatio, way)
        painter.drawPixmap((side - scaled.width()) // 2, (side - scaled.height()) // 2, scaled)
    painter.setPen(QColor(line))
    painter.drawRect(0, 0, side - 1, side - 1)
    painter.end()
    return square
