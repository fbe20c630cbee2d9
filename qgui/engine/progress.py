"""How a job tells how far it is, and learns that it should stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from qgui.core.errors import Cancelled

#: Called with phase, steps done, steps in all, and seconds left (None where not known yet).
Listener = Callable[[str, int, int, float | None], None]


class Progress:
    """Reports steps at most 20 times a second and raises `Cancelled` between them when asked to.

    Args:
        listener: Told about the steps; None for silence.
        cancelled: Asked at every step whether to stop.
    """

    def __init__(self, listener: Listener | None = None, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._listener = listener
        self._cancelled = cancelled
        self._phase = ""
        self._began = self._told = 0.0

    def check(self) -> None:
        """Raise `Cancelled` when asked to stop, where there is nothing to tell.

        Raises:
            Cancelled: The person asked to stop.
        """
        if self._cancelled():
            raise Cancelled

    def leave_out(self, seconds: float) -> None:
        """Do not count time in which the job rested when estimating the time left."""
        self._began += seconds

    def step(self, phase: str, done: int, total: int) -> None:
        """Tell how far a phase is.

        Args:
            phase: What is being done, one or two words.
            done: Steps done.
            total: Steps in all, 0 where not known.

        Raises:
            Cancelled: The person asked to stop.
        """
        self.check()
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._told = phase, now, 0.0
        if self._listener is None or (now - self._told < 0.05 and done < total):
            return
        self._told = now
        left = (now - self._began) / done * (total - done) if done and total else None
        self._listener(phase, done, total, left)
