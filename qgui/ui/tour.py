"""Drives the real window with the real engine through the whole job, takes pictures, and writes a report.

    python -m qgui.ui.tour --out DIR [--model SOURCE] [--data SOURCE] [--theme light|dark]

Works without a display.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QEventLoop, QMessageLogContext, QSize, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from qgui.core.messages import Failed
from qgui.core.recipe import DataReference, ModelReference
from qgui.ui import settings as options
from qgui.ui.actions import ActionId
from qgui.ui.app import create_application
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName

_PATIENCE_MS = 15 * 60 * 1000
_SIZE = QSize(1280, 800)


class TourError(Exception):
    """A step of the tour failed."""


class Tour:
    """One walk through the window.

    Args:
        window: The window, not shown yet.
        out: Where pictures, export and report go.
    """

    def __init__(self, window: MainWindow, out: Path) -> None:
        self._window = window
        self._out = out
        self._failure: Failed | None = None
        self._loop: QEventLoop | None = None
        self.pictures: list[Path] = []
        for old in (out / "pictures").glob("*.png"):
            old.unlink()
        # Else the dialog would ask whether to replace the files of the tour before.
        shutil.rmtree(out / "export", ignore_errors=True)
        sys.excepthook = self._on_error
        window.workflow.failed.connect(self._on_failure)

    def walk(self, model: ModelReference, data: DataReference) -> None:
        """Do the whole job.

        Raises:
            TourError: A step failed or took too long.
        """
        window, workflow = self._window, self._window.workflow
        window.resize(_SIZE)
        window.show()
        self._settle()
        window.client.start()
        window.build_panels()
        self._settle()
        self._picture("start")
        self._dialog("open-model", ActionId.OPEN_MODEL, "openModelDialog")
        self._step("model", lambda: window.open_model(model))
        self._picture("opened")
        self._dialog("open-data", ActionId.OPEN_DATA, "openDataDialog")
        self._step("data", lambda: workflow.open_data(data))
        if window.document.needs_calibration:
            self._step("calibrate", workflow.calibrate)
        self._step("quantize", workflow.quantize)
        self._select_interesting()
        self._picture("ranges")
        self._show_weights()
        self._picture("weights")
        self._step("compare", window.compare)
        self._picture("compare")
        panel = window.workbench.compare_panel
        for place, name in ((1, "compare-layers"), (panel.tabs.indexOf(panel.slowness), "compare-slowness")):
            panel.tabs.setCurrentIndex(place)
            self._picture(name)
        panel.tabs.setCurrentIndex(panel.tabs.count() - 1)
        self._picture("compare-numbers")
        panel.tabs.setCurrentIndex(0)
        self._export()
        window.workbench.show_log()
        self._picture("log")
        window.workbench.show_ranges()

    def _export(self) -> None:
        window = self._window
        window.settings.set(options.EXPORT_FOLDER, str(self._out / "export"))
        window.actions_by_id[ActionId.EXPORT].trigger()
        dialog = self._window.findChild(QDialog, "exportDialog")
        start = dialog.findChild(QWidget, "exportStart") if dialog is not None else None
        if dialog is None or start is None:
            raise TourError("the export dialog did not open")
        self._step("export", start.click)  # type: ignore[attr-defined]
        self._picture("export", dialog)
        dialog.accept()
        self._settle()

    def _dialog(self, name: str, action: ActionId, dialog_name: str) -> None:
        """Open a dialog, take its picture, and leave it."""
        self._window.actions_by_id[action].trigger()
        self._settle()
        dialog = self._window.findChild(QDialog, dialog_name)
        if dialog is None:
            raise TourError(f"the dialog {dialog_name} did not open")
        self._picture(name, dialog)
        dialog.reject()
        self._settle()

    def _select_interesting(self) -> None:
        """Select a layer in the middle of the network whose output has a range of its own."""
        document = self._window.document
        if document.model is None:
            return
        names = [
            layer.name
            for layer in document.model.layers
            if layer.head and layer.weight_shape and document.tensor_of(layer) is not None
        ]
        if names:
            self._window.layer_panel.select([names[len(names) // 3]])
        self._settle()

    def _show_weights(self) -> None:
        window = self._window
        window.workbench.tabs.setCurrentWidget(window.workbench.weights_panel)
        panel = window.workbench.weights_panel
        self._wait_until(lambda: panel.table.isVisible() or not window.client.current, "the weights")
        self._settle(400)
        self._wait_until(lambda: window.client.current is None, "the weights")

    def write_report(self) -> Path:
        """Write the report with all pictures and return where it lies.

        Raises:
            TourError: It could not be written.
        """
        path, written = self._out / "report.html", list[Path]()
        pictures = [
            (
                picture.stem.partition("-")[2].replace("-", ": "),
                f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}",
            )
            for picture in self.pictures
        ]
        self._window.report.written.connect(written.append)
        self._window.report.write(path, pictures)
        self._wait_until(lambda: path in written, "the report")
        return path

    # Waiting

    def _step(self, name: str, begin: Callable[[], object]) -> None:
        """Begin something and wait until it is finished."""
        finished: list[str] = []

        def on_finished(step: str) -> None:
            if step == name:
                finished.append(step)
                self._leave()

        self._window.workflow.step_finished.connect(on_finished)
        begin()
        if not finished and self._failure is None:
            self._wait(_PATIENCE_MS)
        self._window.workflow.step_finished.disconnect(on_finished)
        if self._failure is not None:
            raise TourError(f"{self._failure.what}: {self._failure.why}")
        if not finished:
            raise TourError(f"the step '{name}' took longer than {_PATIENCE_MS // 60_000} minutes")
        self._settle()

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(200):
            if condition():
                return
            self._settle(50)
        raise TourError(f"{what} did not come")

    def _settle(self, milliseconds: int = 150) -> None:
        """Let the window draw what is new."""
        QTimer.singleShot(milliseconds, self._leave)
        self._wait(milliseconds + 5_000)

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
        """Let an error in the window end the tour instead of passing by."""
        sys.__excepthook__(kind, error, trace)
        self._failure = Failed(what="the window met an error", why=f"{kind.__name__}: {error}")
        self._leave()

    def _on_failure(self, failure: Failed) -> None:
        self._failure = failure
        self._leave()

    def _picture(self, name: str, widget: QWidget | None = None) -> None:
        path = self._out / "pictures" / f"{len(self.pictures) + 1:02d}-{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (widget or self._window).grab().save(str(path)):
            raise TourError(f"could not write {path}")
        self.pictures.append(path)


def _drop_platform_chatter(_kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    """Let through what Qt says, but for what the offscreen platform cannot do."""
    if not message.startswith("This plugin does not support"):
        print(message, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Walk through the window; return 0, or 1 with a line on standard error."""
    options_given = _parse(argv)
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    chatter, hook = qInstallMessageHandler(_drop_platform_chatter), sys.excepthook
    out: Path = options_given.out.absolute()
    application = create_application()
    with tempfile.TemporaryDirectory(prefix="qgui-tour-") as folder:
        settings = Settings(Path(folder) / "settings.ini")
        settings.set(options.THREADS, options_given.threads)
        window = MainWindow(settings, Theme(ThemeName(options_given.theme), application), state_folder=Path(folder))
        tour = Tour(window, out)
        try:
            out.mkdir(parents=True, exist_ok=True)
            data = DataReference(options_given.data, calibrate=options_given.calibrate, evaluate=options_given.evaluate)
            tour.walk(ModelReference(options_given.model, options_given.weights), data)
            report = tour.write_report()
        except (TourError, OSError) as error:
            print(f"qgui tour: {error}", file=sys.stderr)
            return 1
        finally:
            window.close_without_asking()
            window.deleteLater()
            QApplication.processEvents()
            qInstallMessageHandler(chatter)
            sys.excepthook = hook
    print(f"Report:  {report}")
    print(f"Picture: {next(path for path in tour.pictures if 'compare' in path.name)}")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m qgui.ui.tour", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for report, pictures and export")
    parser.add_argument("--model", default="example:digits-cnn", help="model source")
    parser.add_argument("--weights", default="", help="weights of the model")
    parser.add_argument("--data", default="example:digits", help="data source")
    parser.add_argument("--calibrate", type=int, default=100, help="calibration samples")
    parser.add_argument("--evaluate", type=int, default=0, help="evaluation samples, 0 for all others")
    parser.add_argument("--threads", type=int, default=1, help="threads while measuring")
    parser.add_argument("--theme", choices=[name.value for name in ThemeName], default="light", help="colours")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
