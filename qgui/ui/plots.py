"""How plots look: colours of the theme, readable axes, no context menu of the plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QPen, QWheelEvent
from PySide6.QtWidgets import QWidget

from qgui.ui import formatting
from qgui.ui.later import Later
from qgui.ui.theme import Theme

Float64 = npt.NDArray[np.float64]


def pen(colour: str, width: float = 1.0, dashes: Sequence[float] | None = None) -> QPen:
    """Return a pen whose width does not grow with the zoom."""
    made = QPen(QColor(colour))
    made.setCosmetic(True)
    made.setWidthF(width)
    if dashes is not None and len(dashes) > 1 and dashes[1] > 0.1:
        made.setDashPattern(list(dashes))
    return made


def translucent(colour: str, opacity: float) -> QColor:
    """Return a colour that lets the ground shine through."""
    made = QColor(colour)
    made.setAlphaF(opacity)
    return made


class Plot(pg.PlotWidget):
    """A plot in the colours of the theme.

    Args:
        theme: Whose colours; the plot follows when it changes.
        name: Object name.
        accessible_name: What is plotted, for screen readers.
        tool_tip: One sentence on what is seen and done here.
        zoom: Whether the mouse wheel and dragging zoom and move along the horizontal axis.
        parent: Qt parent.
        axis_items: Axes of another kind than the usual.
    """

    def __init__(
        self,
        theme: Theme,
        name: str,
        accessible_name: str,
        tool_tip: str,
        *,
        zoom: bool = False,
        parent: QWidget | None = None,
        axis_items: dict[str, pg.AxisItem] | None = None,
    ) -> None:
        super().__init__(parent=parent, axisItems=axis_items, enableMenu=False)
        self.theme = theme
        self._zoom = zoom
        self.setObjectName(name)
        self.setAccessibleName(accessible_name)
        self.setToolTip(tool_tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFrameShape(pg.QtWidgets.QFrame.Shape.NoFrame)
        self.hideButtons()
        self.setMouseEnabled(x=zoom, y=False)
        small = QFont(self.font())
        small.setPointSizeF(small.pointSizeF() * 0.9)
        for axis in {"left", "bottom", *(axis_items or {})}:
            self.getAxis(axis).setStyle(tickFont=small, tickTextOffset=4)
            self.getAxis(axis).enableAutoSIPrefix(False)
        self.recolour()
        self._in_time = Later(self._follow_theme, self)
        theme.changed.connect(self._on_theme_changed)

    def recolour(self) -> None:
        """Take the colours of the theme."""
        colours = self.theme.colours
        self.setBackground(colours.base)
        for axis in self.plotItem.axes.values():
            item = axis["item"]
            item.setPen(pen(colours.line))
            item.setTextPen(pen(colours.faint))

    def redraw(self) -> None:
        """Draw the content anew, after another theme; plots with content override this."""

    def label(self, axis: str, text: str) -> None:
        """Name an axis, with its unit in the text."""
        self.getAxis(axis).setLabel(text, color=self.theme.colours.faint)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self._zoom:
            super().wheelEvent(event)
        else:
            event.ignore()

    def _on_theme_changed(self) -> None:
        """Follow the theme, after what is seen where this plot is not."""
        if self.isVisible():
            self._follow_theme()
        else:
            self._in_time.ask()

    def _follow_theme(self) -> None:
        self.recolour()
        self.redraw()


class LogAxis(pg.AxisItem):
    """A vertical axis of powers of ten: the plot holds logarithms, the axis reads numbers."""

    def __init__(self) -> None:
        super().__init__(orientation="left")
        self.logarithmic = True

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        if not self.logarithmic:
            return super().tickValues(minVal, maxVal, size)  # type: ignore[no-any-return]
        first, last = math.ceil(minVal), math.floor(maxVal)
        every = max(1, round((last - first) * 30 / max(size, 1.0)))
        return [(every, [float(power) for power in range(first, last + 1, every)])]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        if not self.logarithmic:
            return super().tickStrings(values, scale, spacing)  # type: ignore[no-any-return]
        return [formatting.count(round(10**value)) if value >= 0 else f"{10**value:g}" for value in values]


def text_item(text: str, colour: str, anchor: tuple[float, float]) -> Any:
    """Return a text that keeps its size when the plot zooms."""
    return pg.TextItem(text, color=QColor(colour), anchor=anchor)


def step_curve(fill_level: float | None = None) -> Any:
    """Return a curve of steps between edges, as histograms are drawn: one item, whatever the number of bins."""
    return pg.PlotCurveItem([0.0, 1.0], [0.0], stepMode="center", fillLevel=fill_level)
