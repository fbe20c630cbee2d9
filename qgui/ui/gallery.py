"""Every panel, every dialog that matters and the start page, in light and in dark: what pictures are taken of."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication, QDialog, QMessageBox, QPushButton, QWidget

from qgui.core import decisions, legality
from qgui.core.fitting import Misfit
from qgui.core.graphs import GraphKind
from qgui.core.messages import Failed
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.core.results import BackendTiming
from qgui.core.training import Training
from qgui.ui import settings as options
from qgui.ui.actions import ActionId
from qgui.ui.driver import DriveError, Driver
from qgui.ui.theme import ThemeName

THEMES = (ThemeName.LIGHT, ThemeName.DARK)

#: A page of the web engine rests once so many looks in a row show the same.
_PAGE_LOOKS = 12
#: So many pixels a side tell which colour a page has.
_SAMPLES = 24

#: Takes the picture of a name in a theme.
Take = Callable[[ThemeName, str, QImage], None]


@dataclass(frozen=True)
class Subject:
    """What is opened for the pictures.

    Attributes:
        model: The model.
        data: Its data.
        epochs: How long to train.
        size: Size of the window.
        exports: An empty folder for the export.
    """

    model: ModelReference
    data: DataReference
    epochs: int
    size: QSize
    exports: Path


class Gallery:
    """One walk past everything there is to see.

    Args:
        driver: Drives the window, which is shown, with its panels built and its worker started.
        subject: What is opened.
        take: Is given every picture.
        themes: In which the pictures are taken.
    """

    def __init__(self, driver: Driver, subject: Subject, take: Take, themes: Sequence[ThemeName] = THEMES) -> None:
        self._driver = driver
        self._window = driver.window
        self._subject = subject
        self._take = take
        self._themes = tuple(themes)

    def walk(self) -> None:
        """Take all pictures.

        Raises:
            DriveError: Something failed or did not come.
        """
        flash = QApplication.cursorFlashTime()
        QApplication.setCursorFlashTime(0)
        try:
            self._window.resize(self._subject.size)
            self._before_a_model()
            self._with_a_model()
            self._ranges()
            self._quantized()
            self._compared()
            self._trained()
            self._exported()
            self._questions()
            self._told()
            self._log()
        finally:
            QApplication.setCursorFlashTime(flash)

    # One picture

    def _picture(self, name: str, widget: QWidget | None = None, ready: Callable[[], bool] | None = None) -> None:
        """Take the pictures of one state, in both themes.

        Args:
            name: Of the files.
            widget: What is pictured; by default the window.
            ready: Whether a theme has arrived in a page that follows in its own time, and moves while it does.
        """
        # Changing the theme styles every widget anew, which takes longer than the picture: begin with the present one.
        present = self._window.theme.name
        for theme in sorted(self._themes, key=lambda theme: theme is not present):
            self._window.theme.choose(theme)
            if ready is not None:
                self._driver.wait_until(ready, f"'{name}' in {theme.value}")
            self._take(theme, name, self._driver.still(widget or self._window, 1 if ready is None else _PAGE_LOOKS))

    def _dialog(self, name: str, dialog: QDialog) -> None:
        """Take the pictures of a dialog, and leave it."""
        self._picture(name, dialog)
        dialog.reject()
        self._driver.settle()

    def _asked(self, name: str, dialog_name: str, begin: Callable[[], object]) -> None:
        self._dialog(name, self._driver.dialog(QDialog, dialog_name, begin))

    # The states

    def _before_a_model(self) -> None:
        driver, window = self._driver, self._window
        driver.wait_until(lambda: window.document.machine is not None, "the engine")
        self._picture("start")
        window.actions_by_id[ActionId.BENCHMARKS].trigger()
        driver.wait_until(
            lambda: window.benchmarks is not None and window.benchmarks.built and bool(window.benchmarks.work.states),
            "the benchmarks",
        )
        self._picture("benchmarks")
        if window.benchmarks is not None:
            window.benchmarks.back.click()
        self._dialog("open-model", driver.triggered(ActionId.OPEN_MODEL, "openModelDialog"))
        self._dialog("preferences", driver.triggered(ActionId.PREFERENCES, "preferencesDialog"))
        self._asked("guide", "guideWindow", lambda: window.help.show_page("observers"))

    def _with_a_model(self) -> None:
        driver, window = self._driver, self._window
        driver.step("model", lambda: window.open_model(self._subject.model))
        driver.step("data", lambda: window.workflow.open_data(self._subject.data))
        self._select()
        self._picture("opened")
        window.workbench.show_training()
        self._picture("training-before")
        window.workbench.show_comparison()
        self._picture("compare-before")
        self._dialog("open-data", driver.triggered(ActionId.OPEN_DATA, "openDataDialog"))
        self._dialog("rules", driver.triggered(ActionId.RULES, "rulesDialog"))
        self._dialog("palette", driver.triggered(ActionId.PALETTE, "commandPalette"))
        self._dialog("advice", driver.triggered(ActionId.ADVICE, "adviceWindow"))

    def _ranges(self) -> None:
        driver, window = self._driver, self._window
        work = window.workbench
        driver.step("calibrate", window.workflow.calibrate)
        driver.step("quantize", window.workflow.quantize)
        driver.wait_until(lambda: window.document.measured is not None, "what the activations became")
        self._picture("ranges")
        self._picture("inspector", window.docks.inspector)
        work.ranges_panel.as_table.click()
        self._picture("ranges-table")
        work.ranges_panel.as_table.click()
        work.tabs.setCurrentWidget(work.overview_panel)
        self._picture("overview")
        work.tabs.setCurrentWidget(work.weights_panel)
        driver.wait_until(work.weights_panel.table.isVisible, "the weights")
        self._picture("weights")

    def _quantized(self) -> None:
        """Take the pictures of the graphs, where there is a web engine."""
        try:
            importlib.import_module("qgui.ui.graph_view")
        except ImportError:
            return
        work = self._window.workbench
        work.tabs.setCurrentWidget(work.graph_panel)
        self._graph("float", "graph")
        self._graph("quantized", "graph-quantized")

    def _graph(self, kind: GraphKind, name: str) -> None:
        """Take the pictures of one graph."""
        panel, theme = self._window.workbench.graph_panel, self._window.theme
        panel.show_kind(kind)
        self._driver.wait_until(lambda: panel.drawn == kind, "the graph")

        def follows() -> bool:
            return panel.view is not None and _most_frequent(panel.view.grab().toImage()) == QColor(theme.colours.base)

        self._picture(name, ready=follows)

    def _compared(self) -> None:
        driver, window = self._driver, self._window
        panel = window.workbench.compare_panel
        driver.step("compare", window.compare)
        driver.press(panel.runtimes.button, "runtimes")
        for place, name in enumerate(("overview", "layers", "runtimes", "slowness", "numbers")):
            panel.tabs.setCurrentIndex(place)
            self._picture(f"compare-{name}")
        panel.tabs.setCurrentIndex(0)

    def _trained(self) -> None:
        driver, window = self._driver, self._window
        document, panel = window.document, window.workbench.training_panel
        model = document.model
        assert model is not None
        backend = document.recipe.backend
        names = [
            layer.name
            for layer in model.layers
            if layer.weight_shape and not legality.mode_reasons(layer, backend)[Mode.QAT]
        ]
        document.decide("Mode", names, decisions.mode_edit(Mode.QAT, backend))
        document.change_training("Training", Training(epochs=self._subject.epochs))
        window.workbench.show_training()
        driver.press(panel.start, "quantize")
        self._picture("training")

    def _exported(self) -> None:
        driver, window = self._driver, self._window
        window.workbench.show_ranges()
        window.settings.set(options.EXPORT_FOLDER, str(self._subject.exports))
        dialog = driver.triggered(ActionId.EXPORT, "exportDialog")
        self._picture("export", dialog)
        start = dialog.findChild(QPushButton, "exportStart")
        assert start is not None
        driver.press(start, "export")
        self._dialog("exported", dialog)

    def _questions(self) -> None:
        window, asking = self._window, self._window.asking
        timings = (BackendTiming("onednn", "torchscript", 0.8), BackendTiming("x86", "eager", 1.1))
        self._asked("backends", "backendDialog", lambda: asking.show_backends(timings))
        refused = Failed(
            what="Could not open network.pt", why="it wants to run code", needs_trust=True, file="/models/network.pt"
        )
        self._asked("trust", "trustDialog", lambda: asking.ask_for_trust(refused, _nothing))
        unfinite = Failed(what="Could not calibrate", why="NaN came out of features.3", needs_consent=True)
        self._asked("consent", "consentDialog", lambda: asking.ask_for_consent(unfinite, _nothing))
        misfits = (Misfit("features.9", "the model has no such layer."), Misfit("head", "it may not be dynamic."))
        self._asked("misfits", "misfitDialog", lambda: asking.show_misfits(misfits, ()))
        self._asked("about", "aboutBox", window.help.show_about)
        self._dialog("unsaved", self._driver.dialog(QMessageBox, "unsavedBox", lambda: window.filing.leave(_nothing)))

    def _told(self) -> None:
        failure = Failed(
            what="Could not open the data",
            why="there is no folder /photos",
            next_step="Choose another folder.",
            details="Traceback (most recent call last):\n  " + "\n  ".join(f"line {number}" for number in range(9)),
        )
        opened = self._driver.dialog(QDialog, "failureDialog", lambda: self._window.asking.show_failure(failure))
        self._picture("failure", opened)
        fold = opened.findChild(QPushButton, "failureFold")
        assert fold is not None
        fold.click()
        self._dialog("failure-details", opened)

    def _log(self) -> None:
        self._window.workbench.log_panel.add("warning", "Slower than float: a warning looks like this.")
        self._window.workbench.show_log()
        self._picture("log")

    def _select(self) -> None:
        """Select a layer in the middle of the network whose output has a range of its own."""
        select_interesting(self._driver)


def _nothing() -> None:
    pass


def select_interesting(driver: Driver) -> None:
    """Select a layer in the middle of the network whose weight and output have ranges, where there is one.

    Raises:
        DriveError: No model is open.
    """
    document = driver.window.document
    if document.model is None:
        raise DriveError("no model is open")
    heads = [layer for layer in document.model.layers if layer.head and layer.weight_shape and layer.tensor]
    static = [layer.name for layer in heads if document.recipe.rule(layer.name).mode is Mode.STATIC]
    names = static or [layer.name for layer in heads]
    if names:
        driver.window.layer_panel.select([names[len(names) // 3]])


def _most_frequent(image: QImage) -> QColor:
    """Return the colour that most of a picture has, by a sample of its pixels."""
    places = [
        (image.width() * x // _SAMPLES, image.height() * y // _SAMPLES)
        for x in range(1, _SAMPLES)
        for y in range(1, _SAMPLES)
    ]
    ((found, _),) = Counter(image.pixel(x, y) for x, y in places).most_common(1)
    return QColor(found)
