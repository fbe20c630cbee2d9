"""The axis that counts the integer levels of a scale and zero point."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyqtgraph as pg

from qgui.core.qparams import QParams

#: Room that a level's number needs on the axis, in pixels.
_LEVEL_SPACING = 44


class LevelAxis(pg.AxisItem):
    """An axis that counts the integer levels of the chosen scale and zero point."""

    def __init__(self) -> None:
        super().__init__(orientation="top")
        self._qparams: QParams | None = None

    def set_qparams(self, qparams: QParams | None) -> None:
        """Count the levels of other qparams."""
        self._qparams = qparams
        self.picture = None
        self.update()

    def levels(self, low: float, high: float) -> range:
        """Return the levels that lie between two values."""
        if self._qparams is None:
            return range(0)
        scale, zero, grid = self._step(), self._zero(), self._qparams.grid
        first = max(grid.quant_min, math.ceil(low / scale) + zero)
        last = min(grid.quant_max, math.floor(high / scale) + zero)
        return range(first, last + 1)

    def value(self, level: int) -> float:
        """Return the value of a level."""
        return (level - self._zero()) * self._step()

    def _step(self) -> float:
        return float(self._qparams.scale[0]) if self._qparams else 1.0

    def _zero(self) -> int:
        return int(self._qparams.zero_point[0]) if self._qparams else 0

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        levels = self.levels(min(minVal, maxVal), max(minVal, maxVal))
        if not levels or maxVal == minVal:
            return []
        width = self._step() * size / abs(maxVal - minVal)
        every = 1
        while every * width < _LEVEL_SPACING and every < 256:
            every *= 2
        shown = [level for level in levels if level % every == 0]
        if self._qparams is not None and every > 1 and self._qparams.grid.quant_max in levels:
            last = self._qparams.grid.quant_max
            shown = [level for level in shown if (last - level) * width >= _LEVEL_SPACING] + [last]
        return [(every * self._step(), [self.value(level) for level in shown])]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [str(round(value / self._step()) + self._zero()) for value in values]
