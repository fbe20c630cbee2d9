"""Long computations of the window itself, a little at a time, while nobody waits for anything."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from PySide6.QtCore import QObject, QTimer

#: A slice ends after this time; the step in which it ends may take longer.
_SLICE_S = 0.008
#: How long the person is left alone after what they did.
_REST_MS = 200


class Idle(QObject):
    """Steps through iterators between the events of the window; each step is one small piece of work.

    Args:
        parent: Qt parent; nothing is done after its end.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._works: deque[Iterator[object]] = deque()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._go_on)

    def add(self, work: Iterator[object], first: bool = False) -> None:
        """Begin a work: after all others, or before them."""
        (self._works.appendleft if first else self._works.append)(work)
        if not self._timer.isActive():
            self._timer.start(0)

    def drop(self, work: Iterator[object] | None) -> None:
        """Give up a work, wherever it is."""
        if work is not None and work in self._works:
            self._works.remove(work)

    def rest(self) -> None:
        """Leave the person alone for a moment: they are dragging, or stepping through the layers."""
        if self._timer.isActive():
            self._timer.start(_REST_MS)

    def _go_on(self) -> None:
        until = time.perf_counter() + _SLICE_S
        while self._works and time.perf_counter() < until:
            work = self._works[0]
            if next(work, self) is self and self._works and self._works[0] is work:
                self._works.popleft()
        if self._works:
            self._timer.start(0)
