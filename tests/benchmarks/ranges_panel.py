"""What dragging a range and stepping through layers take: `python tests/benchmarks/ranges_panel.py [--json]`.

The whole window, offscreen, with a model of 300 tensors that reach as far as real ones do: 4 batches, tails, a ReLU.
`drag_ms`: from the mouse event to the painted frame. `select_cold_ms`, `select_warm_ms`: from the key in the layer
table to the painted plot with the lines of all observers; cold, nothing was computed for the layer before.
Each with median, 95th percentile and maximum in milliseconds, and the same of the processor's time (`cpu`), which tells
what is left of a number when nothing else runs on the machine.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ui"))

import numpy as np
import ui_samples
from painting import Clock, Painted, Sample, summary
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from qgui.core.recipe import AUTOMATIC_OBSERVERS, DataReference, ModelReference
from qgui.core.statistics import BINS, CalibrationRecord, TensorStatistics
from qgui.ui.app import create_application
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName

TENSORS = 300


def statistics(seed: int) -> TensorStatistics:
    """Return what a calibration pass would leave for a tensor: every third one is the output of a ReLU."""
    random = np.random.default_rng(seed)
    values = random.standard_t(4, 40_000) * random.uniform(0.2, 4.0) + random.normal(0.0, 0.5)
    if seed % 3 == 0:
        values = np.maximum(values, 0.0)
    counts, edges = np.histogram(values[values != 0], BINS, range=(values.min(), values.max()))
    batches = values.reshape(4, -1)
    return TensorStatistics(
        counts=counts.astype(np.float64),
        low=float(edges[0]),
        high=float(edges[-1]),
        batch_min=batches.min(axis=1).astype(np.float32),
        batch_max=batches.max(axis=1).astype(np.float32),
        elements=values.size,
        total=float(values.sum()),
        energy=float((values**2).sum()),
        zeros=float(np.mean(values == 0)),
    )


class Measurement:
    """One window on the large model."""

    def __init__(self, folder: Path) -> None:
        create_application()
        self.window = MainWindow(Settings(folder / "settings.ini"), Theme(ThemeName.LIGHT), state_folder=folder)
        self.window.build_panels()
        self.window.document.set_machine(ui_samples.MACHINE)
        self.model = ui_samples.large_model(TENSORS)
        self.window.document.open_model(self.model, ModelReference("example:large"), DataReference())
        self.window.document.open_data(ui_samples.data(), DataReference("example:digits"))
        self.window.resize(1280, 800)
        self.window.show()
        self.panel = self.window.workbench.ranges_panel
        self.record = CalibrationRecord(
            {tensor.name: statistics(place) for place, tensor in enumerate(self.model.tensors)},
            tuple(range(20)), 4, "m", "example:digits",
        )  # fmt: skip
        self.settle()

    def settle(self) -> None:
        """Let everything happen that waits, but for what is computed ahead."""
        for _ in range(20):
            QApplication.processEvents()

    def calibrate(self, ahead: bool) -> None:
        """Take fresh statistics; compute ahead what the window computes when nobody does anything, or nothing."""
        self.window.document.set_statistics(self.record)
        if not ahead:
            self.panel.idle.drop(self.panel._ahead)
        self.window.layer_panel.select([self.model.layers[0].name])
        self.settle()
        ranges, recipe = self.window.document.ranges, self.window.document.recipe
        assert ranges is not None
        while ahead and not all(
            ranges.knows(tensor.name, candidate)
            for tensor in self.model.tensors
            for candidate in ranges.candidates(tensor.name, ranges.setting(tensor.name, recipe))
        ):
            QApplication.processEvents()

    def select(self, steps: int) -> list[Sample]:
        """Press Down in the layer table, and wait each time for the painted plot."""
        view, plot = self.window.layer_panel.view, self.panel.plot
        painted = Painted(plot.viewport())
        view.setFocus()
        times: list[Sample] = []
        while len(times) < steps:
            shown, frames = self.panel.title.text(), painted.frames
            clock = Clock()
            QTest.keyClick(view, Qt.Key.Key_Down)
            layer = self.window.layer_panel.selected_rows()[0].layer
            if layer is None or shown.endswith(f" {layer.name}"):
                self.settle()  # the row of a module shows its first layer, which is then shown already
                continue
            while (
                self.panel.title.text() == shown
                or painted.frames == frames
                or len(self.panel.model._choices) < len(AUTOMATIC_OBSERVERS)
                or self.panel._waiting
            ):
                QApplication.processEvents()
            times.append(clock.read())
            self.settle()
        return times

    def drag(self, steps: int) -> list[Sample]:
        """Drag the upper handle to and fro, and wait for the frame of each mouse event."""
        plot = self.panel.plot
        viewport = plot.viewport()
        assert plot.region.handles is not None
        begin = round(plot.pixel_of(plot.region.handles[1]))
        y = viewport.height() * 3 // 4
        painted = Painted(viewport)
        times: list[Sample] = []
        QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=QPoint(begin, y))
        for step in range(1, steps + 1):
            x = begin - abs((step + 60) % 120 - 60)
            frames = painted.frames
            clock = Clock()
            QTest.mouseMove(viewport, QPoint(x, y))
            while painted.frames == frames:
                QApplication.processEvents()
            times.append(clock.read())
            if x == begin:
                times.pop()  # back where it began there may be nothing to draw
        QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=QPoint(begin - 7, y))
        self.settle()
        return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as name:
        measurement = Measurement(Path(name))
        measurement.calibrate(ahead=False)
        cold = measurement.select(options.steps)
        measurement.calibrate(ahead=True)
        warm = measurement.select(options.steps)
        drag = measurement.drag(options.steps)
        measurement.window.close_without_asking()
    result = {"tensors": TENSORS, "drag_ms": summary(drag), "select_cold_ms": summary(cold)}
    result["select_warm_ms"] = summary(warm)
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:16} {value}")


if __name__ == "__main__":
    main()
