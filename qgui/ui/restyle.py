"""Lets widgets take the colours of another palette without styling all of them anew.

The style sheet names roles of the palette and stays the same, for setting another one styles every widget of the
program, which takes most of a second. A widget looks up the colours of those roles when it is polished.
"""

from __future__ import annotations

import time

import shiboken6
from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication, QWidget

#: What is not seen is polished for so long in one turn of the event loop.
_TURN_S = 0.008


class Restyle(QObject):
    """Polishes what is seen at once, and all else a few widgets at a time.

    Args:
        parent: Qt parent.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[QWidget] = []
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._go_on)

    def begin(self) -> None:
        """Let every widget take its colours from the palette anew."""
        widgets = QApplication.allWidgets()
        self._waiting = [widget for widget in widgets if not widget.isVisible()]
        for widget in widgets:
            if widget.isVisible():
                _polish(widget)
        self._timer.start()

    def _go_on(self) -> None:
        until = time.perf_counter() + _TURN_S
        while self._waiting and time.perf_counter() < until:
            widget = self._waiting.pop()
            if shiboken6.isValid(widget):
                _polish(widget)
        if not self._waiting:
            self._timer.stop()


def _polish(widget: QWidget) -> None:
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
    widget.update()
