"""Drives the real window without a person: begins something, waits for its end, and sees what is on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QAbstractButton, QDialog, QWidget

from qgui.core.messages import Failed
from qgui.ui.actions import ActionId
from qgui.ui.main_window import MainWindow

_PATIENCE_MS = 15 * 60 * 1000
_LOOKS = 400
_LOOK_MS = 25

W = TypeVar("W", bound=QWidget)


class DriveError(Exception):
    """Something in the window failed, took too long or did not come."""


class Driver:
    """Does in a window what a person would do, one thing after the other.

    Args:
        window: The window; a failure of its work or an error in it ends the step that is waited for.
    """

    def __init__(self, window: MainWindow) -> None:
        self.window = window
        self._failure: Failed | None = None
        self._loop: QEventLoop | None = None
        window.workflow.failed.connect(self._on_failure)

    def step(self, name: str, begin: Callable[[], object]) -> None:
        """Begin a step of the work and wait until it is finished.

        Raises:
            DriveError: It failed or took too long.
        """
        finished: list[str] = []

        def on_finished(step: str) -> None:
            if step == name:
                finished.append(step)
                self._leave()

        self.window.workflow.step_finished.connect(on_finished)
        begin()
        if not finished and self._failure is None:
            self._wait(_PATIENCE_MS)
        self.window.workflow.step_finished.disconnect(on_finished)
        if self._failure is not None:
            raise DriveError(f"{self._failure.what}: {self._failure.why}")
        if not finished:
            raise DriveError(f"the step '{name}' took longer than {_PATIENCE_MS // 60_000} minutes")
        self.wait_until(lambda: self.window.client.current is None, f"the end of the work after '{name}'")

    def press(self, button: QAbstractButton, name: str) -> None:
        """Press a button once it can be pressed, and wait until the step that it begins is finished."""
        self.wait_until(button.isEnabled, f"the button {button.objectName()}")
        self.step(name, button.click)

    def wait_until(self, condition: Callable[[], bool], what: str, patience_ms: int = 30_000) -> None:
        """Wait until a condition holds.

        Raises:
            DriveError: It did not within the time.
        """
        for _ in range(patience_ms // _LOOK_MS):
            if condition():
                return
            self.settle(_LOOK_MS)
            if self._failure is not None:
                raise DriveError(f"{self._failure.what}: {self._failure.why}")
        raise DriveError(f"{what} did not come")

    def settle(self, milliseconds: int = _LOOK_MS) -> None:
        """Let the window draw what is new."""
        QTimer.singleShot(milliseconds, self._leave)
        self._wait(milliseconds + 5_000)

    def still(self, widget: QWidget, looks: int = 1) -> QImage:
        """Return what a widget looks like once nothing in it moves any more.

        Args:
            widget: What is looked at.
            looks: How many looks in a row have to show the same.

        Raises:
            DriveError: It never comes to rest.
        """
        before, same = QImage(), 0
        for _ in range(_LOOKS):
            self.settle()
            now = widget.grab().toImage()
            same = same + 1 if now == before else 0
            if same == looks:
                return now
            before = now
        raise DriveError(f"{widget.objectName()} never comes to rest")

    def dialog(self, kind: type[W], name: str, begin: Callable[[], object]) -> W:
        """Begin something that opens a dialog, and return the dialog.

        Raises:
            DriveError: It did not open.
        """
        begin()
        self.settle()
        dialog = self.window.findChild(kind, name)
        if dialog is None or not dialog.isVisible():
            raise DriveError(f"the dialog {name} did not open")
        return dialog

    def triggered(self, action: ActionId, name: str) -> QDialog:
        """Trigger an action that opens a dialog, and return the dialog."""
        return self.dialog(QDialog, name, self.window.actions_by_id[action].trigger)

    def end_at_errors(self) -> None:
        """Let an error in the window end what is waited for instead of passing by."""
        sys.excepthook = self._on_error

    def _wait(self, milliseconds: int) -> None:
        loop = QEventLoop()
        timer = QTimer()
        timer.setSingleShot(True)
        timer.timeout.connect(loop.quit)
        timer.start(milliseconds)
        self._loop = loop
        loop.exec()
        self._loop = None
        timer.stop()

    def _leave(self) -> None:
        if self._loop is not None:
            self._loop.quit()

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        self._failure = Failed(what="the window met an error", why=f"{kind.__name__}: {error}")
        self._leave()

    def _on_failure(self, failure: Failed) -> None:
        self._failure = failure
        self._leave()
