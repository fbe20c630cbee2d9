"""Tells of the end of long work when the window is not in front: by its task bar entry, and by the desktop."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget

from qgui.core.messages import Failed
from qgui.ui.worker_client import WorkerClient
from qgui.ui.workflow import Workflow

#: Work that took less is seen to end, in seconds.
LONG = 10.0
#: How long the desktop shows a notice, in milliseconds.
_SHOWN = 10_000


class LongWorkNotice(QObject):
    """Watches the jobs of a window.

    Args:
        window: The window; a click on the notice brings it to the front.
        client: Says when work begins.
        workflow: Says how it ended.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self, window: QWidget, client: WorkerClient, workflow: Workflow, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(window)
        self._window, self._client, self._clock = window, client, clock
        self._began: float | None = None
        self._title = self._outcome = ""
        self._tray: QSystemTrayIcon | None = None
        client.state_changed.connect(self._on_state)
        workflow.done.connect(self._note)
        workflow.failed.connect(self._on_failed)
        workflow.settled.connect(self._on_settled)

    def _on_state(self) -> None:
        job = self._client.current
        if job is not None and not job.quiet:
            if self._began is None:
                self._began, self._outcome = self._clock(), ""
            self._title = job.title

    def _note(self, sentence: str) -> None:
        self._outcome = sentence

    def _on_failed(self, failure: Failed) -> None:
        self._outcome = f"{failure.what}: {failure.why}"

    def _on_settled(self) -> None:
        began, self._began = self._began, None
        if began is None or self._clock() - began <= LONG or self._window.isActiveWindow():
            return
        QApplication.alert(self._window)
        self.show_notice(self._outcome or self.tr("{title}: ended.").format(title=self._title))

    def show_notice(self, sentence: str) -> None:
        """Let the desktop show a sentence, where it has a place for that."""
        if not QSystemTrayIcon.isSystemTrayAvailable() or not QSystemTrayIcon.supportsMessages():
            return
        if self._tray is None:
            self._tray = QSystemTrayIcon(self._window.windowIcon(), self)
            self._tray.messageClicked.connect(self._come_forward)
        self._tray.setToolTip(sentence)
        self._tray.show()
        self._tray.showMessage("QGUI", sentence, self._window.windowIcon(), _SHOWN)
        QTimer.singleShot(_SHOWN, self._tray, self._tray.hide)

    def _come_forward(self) -> None:
        self._window.raise_()
        self._window.activateWindow()
