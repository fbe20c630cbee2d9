"""Drives the real window with the real engine through the whole job, takes pictures, and writes a report.

    python -m qgui.ui.tour --out DIR [--model SOURCE] [--data SOURCE] [--theme light|dark]
    python -m qgui.ui.tour --out DIR --every-panel [--language en] [--language zh_CN] [--size 1280x800]

The second takes pictures of every panel and every dialog, light and dark, and in each language:
`DIR/light/en/ranges.png`. Works without a display.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, QSize, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from qgui.core import language as languages
from qgui.core.recipe import DataReference, ModelReference
from qgui.ui import settings as options
from qgui.ui.actions import ActionId
from qgui.ui.app import create_application
from qgui.ui.driver import DriveError, Driver
from qgui.ui.gallery import THEMES, Gallery, Subject, select_interesting
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName

_EPOCHS = 2


class Tour:
    """One walk through the window.

    Args:
        driver: Drives the window, which is not shown yet.
        out: Where pictures, export and report go.
    """

    def __init__(self, driver: Driver, out: Path) -> None:
        self._driver = driver
        self._window = driver.window
        self._out = out
        self.pictures: list[Path] = []
        for old in (out / "pictures").glob("*.png"):
            old.unlink()
        # Else the dialog would ask whether to replace the files of the tour before.
        shutil.rmtree(out / "export", ignore_errors=True)

    def walk(self, model: ModelReference, data: DataReference) -> None:
        """Do the whole job.

        Raises:
            DriveError: A step failed or took too long.
        """
        window, driver = self._window, self._driver
        workflow = window.workflow
        self._picture("start")
        self._dialog("open-model", ActionId.OPEN_MODEL, "openModelDialog")
        driver.step("model", lambda: window.open_model(model))
        self._picture("opened")
        self._dialog("open-data", ActionId.OPEN_DATA, "openDataDialog")
        driver.step("data", lambda: workflow.open_data(data))
        if window.document.needs_calibration:
            driver.step("calibrate", workflow.calibrate)
        driver.step("quantize", workflow.quantize)
        select_interesting(driver)
        self._picture("ranges")
        self._show_weights()
        self._picture("weights")
        driver.step("compare", window.compare)
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
        self._window.settings.set(options.EXPORT_FOLDER, str(self._out / "export"))
        dialog = self._driver.triggered(ActionId.EXPORT, "exportDialog")
        start = dialog.findChild(QPushButton, "exportStart")
        assert start is not None
        self._driver.press(start, "export")
        self._picture("export", dialog)
        dialog.accept()
        self._driver.settle()

    def _dialog(self, name: str, action: ActionId, dialog_name: str) -> None:
        """Open a dialog, take its picture, and leave it."""
        dialog = self._driver.triggered(action, dialog_name)
        self._picture(name, dialog)
        dialog.reject()
        self._driver.settle()

    def _show_weights(self) -> None:
        window, panel = self._window, self._window.workbench.weights_panel
        window.workbench.tabs.setCurrentWidget(panel)
        self._driver.wait_until(lambda: panel.table.isVisible() or not window.client.current, "the weights")

    def write_report(self) -> Path:
        """Write the report with all pictures and return where it lies.

        Raises:
            DriveError: It could not be written.
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
        self._driver.wait_until(lambda: path in written, "the report")
        return path

    def _picture(self, name: str, widget: QWidget | None = None) -> None:
        path = self._out / "pictures" / f"{len(self.pictures) + 1:02d}-{name}.png"
        _save(self._driver.still(widget or self._window), path)
        self.pictures.append(path)


def _save(image: QImage, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not image.save(str(path)):
        raise DriveError(f"could not write {path}")


def _drop_platform_chatter(_kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    """Let through what Qt says, but for what the offscreen platform cannot do."""
    if not message.startswith("This plugin does not support"):
        print(message, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Walk through the window; return 0, or 1 with a line on standard error."""
    given = _parse(argv)
    given.out = given.out.absolute()
    if given.every_panel and os.environ.get(languages.VARIABLE) not in given.language:
        return max(_in_language(language, given) for language in given.language)
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    chatter, hook = qInstallMessageHandler(_drop_platform_chatter), sys.excepthook
    application = create_application()
    with tempfile.TemporaryDirectory(prefix="qgui-tour-") as folder:
        settings = Settings(Path(folder) / "settings.ini")
        settings.set(options.THREADS, given.threads)
        window = MainWindow(settings, Theme(ThemeName(given.theme), application), state_folder=Path(folder))
        driver = Driver(window)
        driver.end_at_errors()
        try:
            given.out.mkdir(parents=True, exist_ok=True)
            _begin(driver, given.size)
            if given.every_panel:
                _every_panel(driver, given, Path(folder))
            else:
                _whole_job(driver, given)
        except (DriveError, OSError) as error:
            print(f"qgui tour: {error}", file=sys.stderr)
            return 1
        finally:
            window.close_without_asking()
            window.deleteLater()
            QApplication.processEvents()
            qInstallMessageHandler(chatter)
            sys.excepthook = hook
    return 0


def _begin(driver: Driver, size: QSize) -> None:
    """Show the window with all its panels and start its engine."""
    window = driver.window
    window.resize(size)
    window.show()
    driver.settle()
    window.client.start()
    window.build_panels()


def _whole_job(driver: Driver, given: argparse.Namespace) -> None:
    tour = Tour(driver, given.out)
    tour.walk(*_subjects(given))
    print(f"Report:  {tour.write_report()}")
    print(f"Picture: {next(path for path in tour.pictures if 'compare' in path.name)}")


def _every_panel(driver: Driver, given: argparse.Namespace, folder: Path) -> None:
    """Take the pictures of one language."""
    language = os.environ[languages.VARIABLE]
    folders = {theme: given.out / theme.value / language for theme in THEMES}
    for old in folders.values():
        shutil.rmtree(old, ignore_errors=True)

    def take(theme: ThemeName, name: str, image: QImage) -> None:
        _save(image, folders[theme] / f"{name}.png")

    model, data = _subjects(given)
    Gallery(driver, Subject(model, data, _EPOCHS, given.size, folder / "export"), take).walk()
    for theme, path in folders.items():
        print(f"{len(list(path.glob('*.png')))} pictures, {theme.value}, {language}: {path}")


def _in_language(language: str, given: argparse.Namespace) -> int:
    """Do the same in a process of its own, whose language is another."""
    environment = {**os.environ, languages.VARIABLE: language, "QT_QPA_PLATFORM": "offscreen"}
    arguments = ["--every-panel", "--language", language]
    for name in ("out", "model", "weights", "data", "calibrate", "evaluate", "threads"):
        arguments += [f"--{name}", str(getattr(given, name))]
    arguments += ["--size", f"{given.size.width()}x{given.size.height()}"]
    program = [sys.executable, "--python"] if getattr(sys, "frozen", False) else [sys.executable]
    return subprocess.run([*program, "-m", "qgui.ui.tour", *arguments], env=environment, check=False).returncode


def _subjects(given: argparse.Namespace) -> tuple[ModelReference, DataReference]:
    data = DataReference(given.data, calibrate=given.calibrate, evaluate=given.evaluate)
    return ModelReference(given.model, given.weights), data


def _size(text: str) -> QSize:
    width, _, height = text.partition("x")
    try:
        return QSize(int(width), int(height))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no size such as 1280x800") from error


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
    parser.add_argument("--size", type=_size, default=QSize(1280, 800), help="of the window, as 1280x800")
    every = parser.add_argument("--every-panel", action="store_true", help="pictures of everything, in both themes")
    parser.add_argument(
        "--language",
        action="append",
        choices=languages.LANGUAGES,
        help=f"with {every.option_strings[0]}; default: each",
    )
    given = parser.parse_args(argv)
    given.language = given.language or list(languages.LANGUAGES)
    return given


if __name__ == "__main__":
    raise SystemExit(main())
