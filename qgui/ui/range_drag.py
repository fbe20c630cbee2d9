"""How bounds move under the hand: by the mouse, by keys, by typing. Mirrored where the qscheme is symmetric."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from qgui.core.plan import Choice
from qgui.core.recipe import Observer, ObserverKind


class Grab(enum.Enum):
    """What the mouse holds."""

    LOW = enum.auto()
    HIGH = enum.auto()
    BOTH = enum.auto()


@dataclass(frozen=True)
class Bounds:
    """The bounds of a range set by hand.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        mirrored: Whether the range is mirrored at zero, as symmetric qschemes are.
    """

    low: float
    high: float
    mirrored: bool = False

    @classmethod
    def of(cls, choice: Choice) -> Bounds:
        """Return the bounds with which moving by hand begins: those that were set, else those that are used."""
        grid, observer = choice.qparams.grid, choice.observer
        low, high = float(choice.qparams.low[0]), float(choice.qparams.high[0])
        if observer.kind is ObserverKind.FIXED:
            low, high = observer.low, observer.high
            reach = max(-low, high)
        else:
            # A symmetric grid has one level more below zero than above.
            reach = (high - low) / 2
        return cls(-reach, reach, True) if grid.symmetric else cls(min(low, 0.0), max(high, 0.0))

    @property
    def empty(self) -> bool:
        """Whether there is nothing between the bounds, or one is not finite."""
        return not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low >= self.high

    @property
    def holds_zero(self) -> bool:
        """Whether zero lies between the bounds."""
        return self.low <= 0.0 <= self.high

    def with_low(self, low: float) -> Bounds:
        """Return the bounds with another lower one."""
        return Bounds(low, -low, True) if self.mirrored else replace(self, low=low)

    def with_high(self, high: float) -> Bounds:
        """Return the bounds with another upper one."""
        return Bounds(-high, high, True) if self.mirrored else replace(self, high=high)

    def moved(self, lower: bool, distance: float) -> Bounds:
        """Return the bounds with the lower or the upper one moved."""
        return self.with_low(self.low + distance) if lower else self.with_high(self.high + distance)

    def observer(self) -> Observer:
        """Return the observer that fixes these bounds, widened to hold zero as every quantized range does."""
        return Observer(ObserverKind.FIXED, low=min(self.low, 0.0), high=max(self.high, 0.0))


class RangeDrag:
    """One drag of a range, from press to release.

    Args:
        start: The bounds at its beginning.
        grab: What is dragged.
        value: The value under the mouse.
    """

    def __init__(self, start: Bounds, grab: Grab, value: float) -> None:
        self._start = start
        self._grab = grab
        self._pressed_at = value
        self._bounds = start

    @property
    def low(self) -> float:
        """Lower bound, where the mouse put it."""
        return self._bounds.low

    @property
    def high(self) -> float:
        """Upper bound, where the mouse put it; below the lower one where they crossed."""
        return self._bounds.high

    @property
    def moved(self) -> bool:
        """Whether the bounds differ from those at the beginning."""
        return self._bounds != self._start

    def move_to(self, value: float) -> bool:
        """Follow the mouse to a value; return whether the bounds changed."""
        distance = value - self._pressed_at
        match self._grab:
            case Grab.LOW:
                bounds = self._start.with_low(self._start.low + distance)
            case Grab.HIGH:
                bounds = self._start.with_high(self._start.high + distance)
            case Grab.BOTH:
                bounds = replace(self._start, low=self._start.low + distance, high=self._start.high + distance)
        changed = bounds != self._bounds
        self._bounds = bounds
        return changed
