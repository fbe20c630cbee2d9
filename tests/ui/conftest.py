"""Windows under test leave nothing behind: no timer, no process, no widget, no setting of the person."""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# The web engine draws without a graphics card, and its processes end with its last page: without its sandbox, which
# needs a helper that lives as long as the program. Tests show it nothing but pages of their own.
os.environ.setdefault("QT_QUICK_BACKEND", "software")
os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")
os.environ.setdefault("QTWEBENGINE_CHROMIUM_FLAGS", "--no-zygote")

import psutil
import pytest
import ui_samples
from PySide6.QtCore import QCoreApplication, QEvent, QThread, QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.app import create_application, prepare_application
from qgui.ui.document import Document
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName
from qgui.ui.worker_client import Timing, WorkerClient

SCRIPT = Path(__file__).with_name("scripted_worker.py")


@pytest.fixture(scope="session")
def qapp_cls() -> type[QApplication]:
    prepare_application()
    return QApplication


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from or written to the person's own folders."""
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))


@pytest.fixture(autouse=True)
def _nothing_left(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a running timer, a thread, a process or a top-level widget behind."""
    timers: list[tuple[weakref.ref[QTimer], str]] = []
    threads: list[weakref.ref[QThread]] = []
    begin_timer, begin_thread = QTimer.start, QThread.start

    def start_timer(self: QTimer, *arguments: int) -> None:
        caller = sys._getframe(1)
        timers.append((weakref.ref(self), f"{caller.f_code.co_filename}:{caller.f_lineno}"))
        begin_timer(self, *arguments)

    def start_thread(self: QThread, *arguments: object) -> None:
        threads.append(weakref.ref(self))
        begin_thread(self, *arguments)

    monkeypatch.setattr(QTimer, "start", start_timer)
    monkeypatch.setattr(QThread, "start", start_thread)
    before = set(map(id, qapp.topLevelWidgets()))
    working = set(threading.enumerate())
    yield
    settle()
    left = [f"widget {w.objectName() or w}" for w in qapp.topLevelWidgets() if id(w) not in before and _alive(w)]
    left += [f"timer started at {where}" for timer, where in timers if _running(timer())]
    left += ["thread" for thread in threads if (alive := thread()) is not None and alive.isRunning()]
    left += [f"thread {thread.name}" for thread in threading.enumerate() if thread not in working]
    # A page of the web engine is told to end; that takes its process a moment.
    children = [child for child in psutil.Process().children() if child.status() != "zombie"]
    _, staying = psutil.wait_procs(children, timeout=5)
    left += [f"process {child.pid}" for child in staying]
    assert not left, f"left behind: {left}"


def _running(timer: QTimer | None) -> bool:
    try:
        return timer is not None and timer.isActive()
    except RuntimeError:
        return False


def _alive(widget: object) -> bool:
    try:
        return widget.isVisible()  # type: ignore[attr-defined, no-any-return]
    except RuntimeError:
        return False


def settle() -> None:
    """Let deferred deletions and queued calls happen."""
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.ini")


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    create_application()
    theme = Theme(ThemeName.LIGHT)
    yield theme
    theme.deleteLater()


@pytest.fixture
def document(qapp: QApplication) -> Iterator[Document]:
    """A document with the sample model open and no data."""
    document = Document()
    document.set_machine(ui_samples.MACHINE)
    document.open_model(ui_samples.model(), ModelReference("example:digits-cnn"), DataReference())
    yield document
    document.deleteLater()


@pytest.fixture
def calibrated(document: Document) -> Document:
    """The document with data and statistics."""
    document.open_data(ui_samples.data(), DataReference("example:digits"))
    document.set_statistics(ui_samples.record())
    return document


@pytest.fixture
def heard(tmp_path: Path) -> Callable[[], list[str]]:
    """Return the names of the commands that the scripted worker heard, over all its lives; not the background ones."""

    def read() -> list[str]:
        file = tmp_path / "heard.txt"
        words = file.read_text().split() if file.exists() else []
        return [word for word in words if word not in {"MeasureActivations", "ShowSamples"}]

    return read


@pytest.fixture
def client(qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerClient]:
    """A client of the scripted worker, not started yet."""
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parent))
    client = WorkerClient([sys.executable, str(SCRIPT), str(tmp_path)], Timing(cancel=300, silence=20_000))
    yield client
    if isValid(client):
        client.shut_down()
        client.deleteLater()


@pytest.fixture
def window(
    qtbot: QtBot, settings: Settings, theme: Theme, client: WorkerClient, tmp_path: Path
) -> Iterator[MainWindow]:
    """The whole window with the scripted worker running."""
    window = MainWindow(settings, theme, client, state_folder=tmp_path / "state")
    with qtbot.waitSignals([window.first_painted, client.ready]):
        window.show()
        client.start()
    window.build_panels()
    yield window
    window.close_without_asking()
    window.deleteLater()
    settle()


@pytest.fixture
def opened(qtbot: QtBot, window: MainWindow) -> MainWindow:
    """The window with the sample model and data open."""
    with (
        qtbot.waitSignal(window.document.data_changed, check_params_cb=None),
        qtbot.waitSignal(window.workflow.step_finished, check_params_cb=lambda step: step == "data"),
    ):
        window.open_model(ModelReference("example:digits-cnn"), DataReference("example:digits"))
    return window
