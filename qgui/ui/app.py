"""Starts the window."""

from __future__ import annotations

import gc
import logging
import logging.handlers
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import platformdirs
from PySide6.QtCore import QCoreApplication, Qt, QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from qgui.core.language import say
from qgui.core.messages import Failed
from qgui.core.resources import resources
from qgui.ui import language
from qgui.ui import settings as options
from qgui.ui.log_panel import LogBridge
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName
from qgui.ui.working_files import remove_leftovers

log = logging.getLogger("qgui")

#: How rarely Python looks for cycles: with thousands of layers a look takes longer than a frame may, and most of what a
#: window makes stays.
_COLLECTIONS = (20_000, 20, 20)
#: Names a file into which the time of the first paint is written, for the benchmark.
FIRST_PAINT_VARIABLE = "QGUI_FIRST_PAINT_FILE"


def run(argv: Sequence[str] = ()) -> int:
    """Open the window and return its exit code when it is closed.

    Args:
        argv: Name of the program, then the path of a recipe file where one is to be opened.
    """
    application = create_application()
    settings = Settings()
    theme = Theme(_stored_theme(settings), application)
    window = MainWindow(settings, theme)
    bridge = _log_to(window)
    _show_uncaught_errors(window)
    paths = [Path(argument) for argument in argv[1:]]
    window.first_painted.connect(lambda: _begin_work(window, paths))
    window.show()
    try:
        return application.exec()
    finally:
        log.removeHandler(bridge)


def prepare_application() -> None:
    """Set what has to be set before there is an application.

    The web engine of the graph panel demands it, though that is loaded when the panel is first shown.
    """
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)


def create_application() -> QApplication:
    """Return the application object, made if there is none."""
    existing = QApplication.instance()
    if existing is None:
        prepare_application()
        gc.set_threshold(*_COLLECTIONS)
    application = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    application.setApplicationName("qgui")
    application.setApplicationDisplayName("")
    application.setDesktopFileName("qgui")
    application.setStyle("Fusion")
    language.install(application)
    icon = resources() / "icons" / "qgui.svg"
    if icon.is_file():
        application.setWindowIcon(QIcon(str(icon)))
    return application


def _stored_theme(settings: Settings) -> ThemeName:
    try:
        return ThemeName(settings.get(options.THEME))
    except ValueError:
        return ThemeName.SYSTEM


def _begin_work(window: MainWindow, paths: list[Path]) -> None:
    """Load torch while the person looks at the window."""
    report = os.environ.get(FIRST_PAINT_VARIABLE)
    if report:
        Path(report).write_text(str(time.time()), encoding="utf-8")
    window.client.start()
    window.build_panels_soon()
    window.filing.offer_leftovers()
    remove_leftovers()
    if paths:
        window.filing.open_recipe(paths[0])


def _log_to(window: MainWindow) -> LogBridge:
    """Send log records to the window and to a file."""
    bridge = LogBridge(window)
    bridge.setFormatter(logging.Formatter("%(message)s"))
    bridge.source.line.connect(window.workbench.log_panel.add)
    log.addHandler(bridge)
    log.setLevel(logging.INFO)
    folder = Path(platformdirs.user_log_dir("qgui", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            folder / "qgui.log", maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True
        )
    except OSError:
        return bridge
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log.addHandler(file)
    return bridge


def _show_uncaught_errors(window: MainWindow) -> None:
    """Let an error that nobody handled be seen and logged instead of vanishing."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QCoreApplication.quit()
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        log.error("%s", details)
        failure = Failed(
            what=say("An unexpected error occurred in the window"),
            why=f"{kind.__name__}: {error}",
            next_step=say("Your decisions are kept. Save them, and copy the details if you want to report this."),
            details=details,
        )
        QTimer.singleShot(0, window, lambda: window.asking.show_failure(failure))

    sys.excepthook = hook
