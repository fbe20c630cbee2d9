"""Doing something once, in the next turn of the event loop, however often it is asked for in this one."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer


class Later(QObject):
    """Gathers calls: one finished job changes many things, and each of them would draw everything anew.

    Args:
        action: What is done.
        parent: Qt parent; nothing is done after its end.
    """

    def __init__(self, action: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._action = action
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.now)

    def ask(self) -> None:
        """Do it in the next turn."""
        self._timer.start()

    def now(self) -> None:
        """Do it at once; a call that waited is done with."""
        self._timer.stop()
        self._action()
