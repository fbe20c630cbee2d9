"""How quickly the window appears, and whether it ever waits.

    python tests/benchmarks/window.py [--json] [--model torchvision:resnet50] [--runs 5]

`first_paint_s`: from the start of a fresh process to the first painted window, median of several runs, with what is
aimed at, and whether it is reached.
`max_gap_ms`: longest gap of the window's event loop while the worker opens, calibrates and quantizes the model.
`torch_in_window`: whether torch was loaded into the window's process by then.
`web_engine`: whether Qt's web engine, which the graph needs, was loaded when the window had been painted, when a model
was open and quantized, and when the graph was seen; `reached` where it was not before. Its library is looked for in the
memory of the process (on Linux), and its modules among those that were imported.
`table_5000_ms`: from a model of 5,000 layers to the painted table.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgui.ui.main_window import MainWindow

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "ui"))


FIRST_PAINT_AIM_S = 1.0
_LIBRARY = "WebEngineCore"


def maps_web_engine(process: int) -> bool:
    """Return whether the library of Qt's web engine lies in the memory of a process; False where that is unknown."""
    maps = Path(f"/proc/{process}/maps")
    return maps.exists() and _LIBRARY in maps.read_text()


def web_engine_loaded() -> bool:
    """Return whether this process has loaded Qt's web engine."""
    return any("WebEngine" in name for name in sys.modules) or maps_web_engine(os.getpid())


def first_paint(runs: int, folder: Path) -> tuple[list[float], bool]:
    """Start the program as a person does; read when it had painted, and whether it had loaded the web engine."""
    seconds, web_engine = [], False
    for run in range(runs):
        report = folder / f"painted-{run}"
        environment = {**os.environ, "QGUI_FIRST_PAINT_FILE": str(report), "XDG_CONFIG_HOME": str(folder)}
        environment |= {"XDG_STATE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
        began = time.time()
        process = subprocess.Popen([sys.executable, "-m", "qgui"], env=environment, cwd=ROOT, start_new_session=True)
        while not (report.exists() and report.read_text()):
            if process.poll() is not None or time.time() - began > 60:
                raise SystemExit("the window did not open")
            time.sleep(0.005)
        seconds.append(float(report.read_text()) - began)
        web_engine |= maps_web_engine(process.pid)
        # With its worker, which would load torch beside the next start.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return seconds, web_engine


class Gaps:
    """Measures how long the event loop is away."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self.gaps: list[tuple[float, str]] = []
        self.phase = ""
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(1)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append((1000 * (now - self._last), self.phase))
        self._last = now

    def stop(self) -> None:
        self._timer.stop()


def longest_gap(model: str, data: str, folder: Path) -> tuple[dict[str, float], bool, dict[str, bool]]:
    """Let the worker do the job while the window's event loop is watched, then show the graph.

    Returns:
        The longest gap of each phase, whether torch was loaded, and when the web engine was.
    """
    from PySide6.QtCore import QEventLoop, QTimer

    from qgui.core.recipe import DataReference, ModelReference
    from qgui.ui.app import create_application
    from qgui.ui.main_window import MainWindow
    from qgui.ui.settings import Settings
    from qgui.ui.theme import Theme, ThemeName

    create_application()
    window = MainWindow(Settings(folder / "settings.ini"), Theme(ThemeName.LIGHT), state_folder=folder)
    loop = QEventLoop()
    failures: list[str] = []
    window.workflow.failed.connect(lambda failure: (failures.append(f"{failure.what}: {failure.why}"), loop.quit()))

    def wait_for(step: str) -> None:
        def on_step(name: str) -> None:
            if name == step:
                QTimer.singleShot(300, loop.quit)

        window.workflow.step_finished.connect(on_step)
        loop.exec()
        window.workflow.step_finished.disconnect(on_step)
        if failures:
            raise SystemExit(failures[0])

    window.show()
    window.client.ready.connect(lambda _: QTimer.singleShot(300, loop.quit))
    window.client.start()
    window.build_panels_soon()
    loop.exec()
    gaps = Gaps()
    for step, begin in (
        ("model", lambda: window.open_model(ModelReference(model))),
        ("data", lambda: window.workflow.open_data(DataReference(data, calibrate=16, evaluate=8))),
        ("calibrate", window.workflow.calibrate),
        ("quantize", window.workflow.quantize),
    ):
        gaps.phase = step
        begin()
        wait_for(step)
    gaps.stop()
    loaded = "torch" in sys.modules
    web_engine = {"quantized": web_engine_loaded(), "graph_seen": graph_loads_web_engine(window)}
    window.close_without_asking()
    worst: dict[str, float] = {}
    for gap, phase in gaps.gaps:
        worst[phase] = max(worst.get(phase, 0.0), gap)
    return worst, loaded, web_engine


def graph_loads_web_engine(window: "MainWindow") -> bool:
    """Show the graph, and return whether that loaded the web engine; False where it is not installed."""
    from qgui.ui.driver import DriveError, Driver

    panel = window.workbench.graph_panel
    window.workbench.tabs.setCurrentWidget(panel)
    try:
        Driver(window).wait_until(lambda: panel.view is not None, "the graph", 120_000)
    except DriveError:
        return False
    return web_engine_loaded()


def table_5000() -> float:
    """Return the milliseconds from 5,000 layers to their painted table, as a list or a tree, whichever takes longer."""
    import ui_samples
    from PySide6.QtWidgets import QApplication

    from qgui.core.recipe import DataReference, ModelReference
    from qgui.ui.app import create_application
    from qgui.ui.document import Document
    from qgui.ui.layer_panel import LayerPanel
    from qgui.ui.theme import Theme, ThemeName

    create_application()
    model = ui_samples.large_model(5_000)
    document = Document()
    panel = LayerPanel(document, Theme(ThemeName.LIGHT))
    panel.resize(800, 700)
    panel.show()
    QApplication.processEvents()
    times = []
    for _ in range(5):
        document.close_model()
        QApplication.processEvents()
        document.open_model(model, ModelReference("example:large"), DataReference())
        # The document is read by several panels; what is timed is the table: reset, expand, lay out, paint.
        for flat in (True, False):
            began = time.perf_counter()
            panel.model.set_flat(flat)
            panel.view.viewport().repaint()
            times.append(1000 * (time.perf_counter() - began))
    panel.close()
    return max(statistics.median(times[0::2]), statistics.median(times[1::2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--model", default="torchvision:resnet50")
    parser.add_argument("--data", default="random:1x3x224x224")
    parser.add_argument("--runs", type=int, default=5, help="starts of the program")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts, painted = first_paint(options.runs, folder)
        gaps, loaded, web_engine = longest_gap(options.model, options.data, folder)
        table = table_5000()
    early = painted or web_engine["quantized"]
    result = {
        "first_paint_s": round(statistics.median(starts), 3),
        "first_paint": {
            "aim": f"first_paint_s <= {FIRST_PAINT_AIM_S}",
            "reached": statistics.median(starts) <= FIRST_PAINT_AIM_S,
        },
        "first_paint_all_s": [round(start, 3) for start in starts],
        "max_gap_ms": round(max(gaps.values()), 1),
        "max_gap_by_phase_ms": {phase: round(gap, 1) for phase, gap in gaps.items()},
        "torch_in_window": loaded,
        "web_engine": {"painted": painted, **web_engine, "aim": "not before the graph is seen", "reached": not early},
        "table_5000_ms": round(table, 1),
    }
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:22} {value}")


if __name__ == "__main__":
    main()
