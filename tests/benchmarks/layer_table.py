"""What a model of 5,000 layers takes: `python tests/benchmarks/layer_table.py [--json] [--layers 5000]`.

The whole window, offscreen, all panels built; only the engine's part is played, by the bytes that it would send. Every
figure ends when the table has been painted and the window has nothing more to do at once.
`open_ms`: from the arrival of the bytes that describe the model. `first_open_ms`: the same, from the start page.
`filter_ms`: from a key in the filter, for every key of some words and for taking them back.
`filter_changed_ms`: the same for a mode or a type picked from the boxes beside it.
`change_all_ms`: from choosing a mode for all layers, which are selected, and from undoing it.
`change_calibrated_ms`: the same with data and statistics of every tensor.
`select_all_ms`: from Ctrl+A. `scroll_ms`: from a notch of the wheel, a page and a jump of the scroll bar, for a frame.
Each with median, 95th percentile and maximum in milliseconds, and the same of the processor's time (`cpu`), which tells
what is left of a number when nothing else runs on the machine; and with what is aimed at, and whether it is reached.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ui"))

import ui_samples
from painting import Clock, Painted, Sample, summary
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from qgui.core import messages
from qgui.core.calibration import settings_of
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.core.statistics import CalibrationRecord
from qgui.ui.app import create_application
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName

#: Which of the numbers of a figure has to be at most how many milliseconds.
AIMS = {
    "open_ms": ("p50", 100.0),
    "first_open_ms": ("p50", 100.0),
    "filter_ms": ("p95", 50.0),
    "filter_changed_ms": ("p95", 50.0),
    "change_all_ms": ("p95", 50.0),
    "change_calibrated_ms": ("p95", 50.0),
    "scroll_ms": ("p95", 1000 / 60),
}
PATIENCE_MS = 30_000
WORDS = ("conv", "stage41.3.conv5", "layer", "2d")


class Measurement:
    """A window, and a model as large as wanted."""

    def __init__(self, folder: Path, layers: int) -> None:
        create_application()
        self.model = ui_samples.large_model(layers)
        self.window = MainWindow(Settings(folder / "settings.ini"), Theme(ThemeName.LIGHT), state_folder=folder)
        self.window.build_panels()
        self.window.resize(1280, 800)
        self.window.show()
        self.client = self.window.client
        self.client._hear(messages.Ready(machine=ui_samples.MACHINE))
        self.panel = self.window.layer_panel
        self.view = self.panel.view
        self.painted = Painted(self.view.viewport())
        self.settle()

    def settle(self) -> None:
        """Let everything happen that waits."""
        for _ in range(20):
            QApplication.processEvents()

    def timed(self, act: Callable[[], object], fully: bool = True) -> Sample:
        """Act, and wait until the table is painted, and with `fully` until nothing more follows from the act."""
        frames = self.painted.frames
        clock = Clock()
        act()
        while self.painted.frames == frames:
            QApplication.processEvents()
            if clock.read()[0] > PATIENCE_MS:
                raise SystemExit("the table was not painted: what was done changed nothing in it")
        if fully:
            # What is asked for in the next turn, such as the summary, belongs to the act.
            QApplication.processEvents()
        sample = clock.read()
        self.settle()
        return sample

    def answer(self, answered: Callable[[int], messages.Event]) -> Callable[[], None]:
        """Return the arrival of what the engine would answer to the job that waits."""
        job = self.client.current
        assert job is not None
        body = messages.frame(answered(job.command.job))[4:]
        return lambda: self.client._hear(messages.decode_event(body))

    def opening(self) -> Sample:
        """Open the model."""
        reference = ModelReference("example:large")
        self.window.open_model(reference)
        self.settle()
        return self.timed(self.answer(lambda job: messages.ModelOpened(job=job, model=self.model, reference=reference)))

    def close(self) -> None:
        """Go back to the start page."""
        self.window.document.close_model()
        self.settle()

    def calibrate(self) -> None:
        """Have data, and statistics of every tensor."""
        document = self.window.document
        document.open_data(ui_samples.data(), DataReference("example:digits"))
        one = ui_samples.statistics(0)
        tensors = {tensor.name: one for tensor in self.model.tensors}
        settings = settings_of(document.recipe, self.model.layers)
        document.set_statistics(CalibrationRecord(tensors, tuple(range(20)), 20, "m", "example:digits", settings))
        self.settle()

    def filtering(self) -> Iterator[Sample]:
        """Type words into the filter, letter by letter, and take them back."""
        text = self.panel.filter_row.text
        text.setFocus()
        for word in WORDS:
            for letter in word:
                yield self.timed(lambda letter=letter: QTest.keyClicks(text, letter))
            for _ in word:
                yield self.timed(lambda: QTest.keyClick(text, Qt.Key.Key_Backspace))

    def choosing(self) -> Iterator[Sample]:
        """Pick from the boxes of the filter."""
        row = self.panel.filter_row
        for box in (row.mode_box, row.type_box):
            for place in (*range(1, box.count()), 0):
                yield self.timed(lambda box=box, place=place: box.setCurrentIndex(place))

    def select_all(self) -> Sample:
        """Select every layer with the key for that."""
        self.view.setFocus()
        self.view.clearSelection()
        self.settle()
        return self.timed(lambda: QTest.keyClick(self.view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier))

    def changing(self) -> Iterator[Sample]:
        """Decide for all selected layers, and undo it."""
        for mode in (Mode.FLOAT, Mode.QAT, Mode.FLOAT, Mode.STATIC):
            yield self.timed(self.panel.menu.mode_actions[mode].trigger)
            yield self.timed(self.window.document.undo_stack.undo)
            yield self.timed(self.window.document.undo_stack.redo)

    def scrolling(self) -> Iterator[Sample]:
        """Turn the wheel, turn pages, and pull the bar."""
        self.view.expandAll()
        viewport, bar = self.view.viewport(), self.view.verticalScrollBar()
        middle = QPointF(viewport.rect().center())

        def turn(notches: int) -> None:
            event = QWheelEvent(
                middle, viewport.mapToGlobal(middle), QPoint(), QPoint(0, -120 * notches), Qt.MouseButton.NoButton,
                Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
            )  # fmt: skip
            QApplication.sendEvent(viewport, event)

        bar.setValue(0)
        self.settle()
        for _ in range(100):
            yield self.timed(lambda: turn(1), fully=False)
        for _ in range(50):
            yield self.timed(lambda: bar.triggerAction(bar.SliderAction.SliderPageStepAdd), fully=False)
        for step in range(50):
            yield self.timed(lambda step=step: bar.setValue(bar.maximum() * step // 50), fully=False)


def measure(folder: Path, layers: int, rounds: int) -> dict[str, object]:
    """Return all figures."""
    measurement = Measurement(folder, layers)
    samples: dict[str, list[Sample]] = {"first_open_ms": [], "open_ms": []}
    for _ in range(rounds):
        samples["first_open_ms"].append(measurement.opening())
        samples["open_ms"].append(measurement.opening())
        measurement.close()
    measurement.opening()
    samples["filter_ms"] = list(measurement.filtering())
    samples["filter_changed_ms"] = list(measurement.choosing())
    samples["scroll_ms"] = list(measurement.scrolling())
    samples["select_all_ms"] = [measurement.select_all()]
    samples["change_all_ms"] = list(measurement.changing())
    measurement.calibrate()
    measurement.select_all()
    samples["change_calibrated_ms"] = list(measurement.changing())
    measurement.window.close_without_asking()
    result: dict[str, object] = {"layers": layers}
    for name, found in samples.items():
        result[name] = summary(found, AIMS.get(name))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--layers", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=7, help="how often the model is opened")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), options.layers, options.rounds)
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:22} {value}")


if __name__ == "__main__":
    main()
