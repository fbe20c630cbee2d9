"""Every panel, every dialog and the start page against pictures of them, in light and dark."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from picture_comparison import (
    OTHER_FONT,
    REFERENCES,
    SAME_FONT,
    difference,
    kept,
    remember_font,
    seen_difference,
    tolerance,
)
from pyqtgraph import GraphicsView
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QImage
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from qgui.core.language import LANGUAGES, SOURCE_LANGUAGE, language
from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.driver import Driver
from qgui.ui.gallery import Gallery, Subject
from qgui.ui.main_window import MainWindow
from qgui.ui.theme import Theme, ThemeName

SIZE = QSize(1280, 800)
#: Set by `make references`: keep what is seen instead of comparing it.
RENEW = bool(os.environ.get("QGUI_RENEW_PICTURES"))
BOTH = pytest.mark.parametrize("name", [ThemeName.LIGHT, ThemeName.DARK])


@pytest.fixture(autouse=True)
def _fonts(qapp: QApplication) -> None:
    if not QFontInfo(qapp.font()).family():
        pytest.skip("this machine has no fonts, so there is nothing to see")


@pytest.fixture
def themed(request: pytest.FixtureRequest, theme: Theme, name: ThemeName) -> MainWindow:
    """The window in a theme, with the scripted worker running."""
    theme.choose(name)
    window: MainWindow = request.getfixturevalue("window")
    return window


@pytest.fixture
def compared(qtbot: QtBot, opened: MainWindow) -> MainWindow:
    """The window with a comparison in front, in the size of the pictures."""
    opened.resize(SIZE)
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "compare"):
        opened.compare()
    return opened


@pytest.fixture
def font(qapp: QApplication) -> Iterator[Callable[[str, int], None]]:
    """Return a function that sets family and points of the program's font."""
    before = qapp.font()
    yield lambda family, points: qapp.setFont(QFont(family, points))
    qapp.setFont(before)


def seen(window: MainWindow) -> QImage:
    return Driver(window).still(window)


def readable(name: str) -> bool:
    """Whether a font of this machine can write a language."""
    system = QFontDatabase.WritingSystem
    writing = {"zh_CN": system.SimplifiedChinese}.get(name, system.Latin)
    return bool(QFontDatabase.families(writing))


@pytest.mark.skipif(language() != SOURCE_LANGUAGE or RENEW, reason="it is the one that starts the others")
@pytest.mark.parametrize("other", [name for name in LANGUAGES if name != SOURCE_LANGUAGE])
def test_that_everything_looks_as_it_did_in_another_language(qapp: QApplication, other: str) -> None:
    if not readable(other):
        pytest.skip(f"no font of this machine can write {LANGUAGES[other]}")
    test = f"{__file__}::{test_that_everything_looks_as_it_did.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test],
        check=False,
        env={**os.environ, "QGUI_TEST_LANGUAGE": other},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@BOTH
def test_that_everything_looks_as_it_did(themed: MainWindow, name: ThemeName, tmp_path: Path) -> None:
    pictures: dict[str, QImage] = {}
    subject = Subject(
        ModelReference("example:digits-cnn"), DataReference("example:digits"), 1, SIZE, tmp_path / "export"
    )
    Gallery(Driver(themed), subject, lambda _, place, image: pictures.update({place: image}), (name,)).walk()
    folder = REFERENCES / name.value / language()
    if RENEW:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for place, image in pictures.items():
            assert kept(image).save(str(folder / f"{place}.png"))
        remember_font(QApplication.font(), language())
        pytest.skip("the references are renewed")
    graphs = {"graph", "graph-quantized"}
    assert {path.stem for path in folder.glob("*.png")} - graphs == set(pictures) - graphs
    assert different(pictures, folder, tmp_path / "pictures") == []


def different(pictures: dict[str, QImage], folder: Path, out: Path) -> list[str]:
    """Return a line for each picture that is too far from its reference, and leave it in a folder to look at."""
    lines = []
    for place, image in pictures.items():
        allowed = tolerance(QApplication.font(), language(), place)
        reference = QImage(str(folder / f"{place}.png"))
        found = difference(image, reference)
        if found.score > allowed:
            out.mkdir(exist_ok=True)
            image.save(str(out / f"{place}.png"))
            seen_difference(image, reference).save(str(out / f"{place}-difference.png"))
            lines.append(
                f"{place}: differs by {found.score:.2f}, {allowed} is allowed; most in {found.where}; see "
                f"{out / place}.png, {out / place}-difference.png and the reference {folder / place}.png"
            )
    return lines


def test_that_a_picture_equals_itself_and_its_reference(compared: MainWindow) -> None:
    image = seen(compared)
    assert difference(image, image).score == 0
    assert difference(image, kept(image)).score < SAME_FONT / 3


def test_that_a_panel_without_content_is_found(compared: MainWindow) -> None:
    before = kept(seen(compared))
    for widget in compared.workbench.compare_panel.findChildren(QWidget):
        widget.hide()
    # With the font of the references it is found even by those who have another one.
    own = tolerance(QApplication.font(), language()) == SAME_FONT
    assert difference(seen(compared), before).score > (OTHER_FONT if own else SAME_FONT)


def test_that_a_plot_without_its_curves_is_found(compared: MainWindow) -> None:
    tabs = compared.workbench.compare_panel.tabs
    for place in (0, 1):
        tabs.setCurrentIndex(place)
        before = kept(seen(compared))
        for view in compared.findChildren(GraphicsView):
            for item in view.scene().items() if view.isVisible() else ():
                if type(item).__name__ in {"BarGraphItem", "ScatterPlotItem", "PlotCurveItem"}:
                    item.setVisible(False)
        assert difference(seen(compared), before).score > SAME_FONT


def test_that_the_colours_of_another_theme_are_found(compared: MainWindow) -> None:
    before = kept(seen(compared))
    compared.theme.choose(ThemeName.DARK)
    assert difference(seen(compared), before).score > OTHER_FONT


def test_that_a_missing_toolbar_is_found(compared: MainWindow) -> None:
    before = kept(seen(compared))
    compared.bar.hide()
    assert difference(seen(compared), before).score > SAME_FONT


def test_that_another_font_is_no_other_window(
    request: pytest.FixtureRequest, font: Callable[[str, int], None], tmp_path: Path
) -> None:
    families = QFontDatabase.families()
    family = next((name for name in ("Liberation Serif", "DejaVu Serif") if name in families), families[0])
    font(family, 11)
    window: MainWindow = request.getfixturevalue("compared")
    assert tolerance(QApplication.font(), language()) == OTHER_FONT
    assert different({"compare-overview": seen(window)}, REFERENCES / "light" / "en", tmp_path) == []


def test_that_a_difference_is_told_with_the_pictures_to_look_at(qapp: QApplication, tmp_path: Path) -> None:
    black = QImage(SIZE, QImage.Format.Format_RGB888)
    black.fill(QColor("black"))
    (line,) = different({"start": black}, REFERENCES / "light" / "en", tmp_path / "out")
    assert line.startswith("start: differs by ")
    assert (tmp_path / "out" / "start.png").is_file()
    assert (tmp_path / "out" / "start-difference.png").is_file()
