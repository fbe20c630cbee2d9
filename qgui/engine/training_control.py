"""How a running training is paused, changed and ended, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from qgui.core.training import Steering

#: A paused training looks this often whether it is cancelled, in seconds.
_LOOK_SECONDS = 0.1


class TrainingControl:
    """What the person wants of the running training. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._paused = False
        self._finish = False
        self._change: Steering | None = None

    def pause(self) -> None:
        """Let the training rest after the present step."""
        with self._condition:
            self._paused = True

    def resume(self, change: Steering | None = None) -> None:
        """Let the training go on, with other settings where some are given."""
        with self._condition:
            self._paused = False
            self._change = change or self._change
            self._condition.notify_all()

    def finish(self) -> None:
        """Let the training end after the present step and keep its best state."""
        with self._condition:
            self._finish = True
            self._paused = False
            self._condition.notify_all()

    @property
    def paused(self) -> bool:
        """Whether the training is to rest."""
        with self._condition:
            return self._paused

    @property
    def finishing(self) -> bool:
        """Whether the training is to end and keep its best state."""
        with self._condition:
            return self._finish

    def wait(self, check: Callable[[], None]) -> None:
        """Wait while the training is to rest; `check` is asked now and then and may raise."""
        while True:
            check()
            with self._condition:
                if not self._paused:
                    return
                self._condition.wait(_LOOK_SECONDS)

    def taken_change(self) -> Steering | None:
        """Return what was changed since the last call."""
        with self._condition:
            change, self._change = self._change, None
            return change
