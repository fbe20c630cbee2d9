"""The middle of the window: a notice and the tabs, whose panels are built a little at a time after the first paint.

Plotting takes longer to import than all the rest of the window, so that happens in a thread while the person already
looks at the start page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QTabWidget, QVBoxLayout, QWidget

from qgui.ui.banner import Banner
from qgui.ui.document import Document
from qgui.ui.log_panel import LogPanel
from qgui.ui.settings import Settings
from qgui.ui.speed_work import SpeedWork
from qgui.ui.theme import Theme
from qgui.ui.training_work import TrainingWork
from qgui.ui.workflow import Workflow

if TYPE_CHECKING:
    from qgui.ui.compare_panel import ComparePanel
    from qgui.ui.graph_panel import GraphPanel
    from qgui.ui.overview_panel import OverviewPanel
    from qgui.ui.ranges_panel import RangesPanel
    from qgui.ui.training_panel import TrainingPanel
    from qgui.ui.weights_panel import WeightsPanel


_STYLED_AT_ONCE = 30


def load_panels() -> None:
    """Import what the panels need; may run in any thread."""
    from qgui.core import plan, statistics  # noqa: F401
    from qgui.ui import (  # noqa: F401
        benchmark_panel,
        compare_panel,
        graph_panel,
        overview_panel,
        ranges_panel,
        training_panel,
        weights_panel,
    )


class Workbench(QWidget):
    """The tabs around one document.

    Signals:
        calibration_wanted: The person wants to calibrate from here.
        data_wanted: The person wants to open data from here.
        quantization_wanted: The person wants to quantize from here.
        comparison_wanted: The person wants to measure from here.
        training_wanted: The person wants to train from here.
        layer_wanted: The path of a layer that the person wants to see.
        advice_wanted: The person wants to know why the model is advised what it is.
        step_wanted: 1 for the next layer, -1 for the one before.

    Args:
        document: What is shown.
        workflow: Asks the worker.
        training: Trains.
        speed: Measures runtimes and ways out.
        theme: For the colours.
        settings: What is remembered.
        parent: Qt parent.
    """

    calibration_wanted = Signal()
    data_wanted = Signal()
    quantization_wanted = Signal()
    comparison_wanted = Signal()
    training_wanted = Signal()
    layer_wanted = Signal(str)
    step_wanted = Signal(int)
    advice_wanted = Signal()

    ranges_panel: RangesPanel
    overview_panel: OverviewPanel
    weights_panel: WeightsPanel
    graph_panel: GraphPanel
    compare_panel: ComparePanel
    training_panel: TrainingPanel

    def __init__(
        self,
        document: Document,
        workflow: Workflow,
        training: TrainingWork,
        speed: SpeedWork,
        theme: Theme,
        settings: Settings,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._workflow = workflow
        self._training = training
        self._speed = speed
        self._theme = theme
        self._settings = settings
        self._layers: tuple[str, ...] = ()
        self._stale: set[RangesPanel | OverviewPanel | WeightsPanel | GraphPanel | TrainingPanel] = set()
        self._why_not_compare = self._why_not_train = ""
        self._introduction = ""
        self.built = False
        self.setObjectName("workbench")
        self.notice = Banner("notice", "hint", self)
        self.notice.hide()
        self.why = QPushButton(self.tr("Why?"), self.notice)
        self.why.setObjectName("noticeWhy")
        self.why.setAccessibleName(self.tr("Why is this advised?"))
        self.why.setToolTip(self.tr("Explain what is advised for this model, with its own numbers."))
        self.why.clicked.connect(self.advice_wanted)
        self.why.hide()
        self.notice.add_button(self.why)
        self.stale = Banner("statisticsStale", "warning", self)
        self.stale.hide()
        self.log_panel = LogPanel(theme, self)
        self.tabs = QTabWidget(self)
        self.tabs.setObjectName("centreTabs")
        self.tabs.setAccessibleName(self.tr("Panels"))
        self.tabs.setDocumentMode(True)
        self._add(self.log_panel, self.tr("Log"), self.tr("What the engine said."))
        self.tabs.currentChanged.connect(self._show_in_front)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.notice)
        column.addWidget(self.stale)
        column.addWidget(self.tabs, 1)

    # Building

    def build(self) -> Iterator[None]:
        """Build the panels, and pause after each piece of work."""
        from qgui.ui.compare_panel import ComparePanel
        from qgui.ui.compare_plots import ComparePlots
        from qgui.ui.graph_panel import GraphPanel
        from qgui.ui.measured_line import MeasuredLine
        from qgui.ui.overview_panel import OverviewPanel
        from qgui.ui.ranges_panel import RangesPanel
        from qgui.ui.sample_strip import SampleStrip
        from qgui.ui.training_panel import TrainingPanel
        from qgui.ui.weights_panel import WeightsPanel

        self.ranges_panel = RangesPanel(self._document, self._theme, self._settings, self)
        self.ranges_panel.calibration_wanted.connect(self.calibration_wanted)
        self.ranges_panel.data_wanted.connect(self.data_wanted)
        self.ranges_panel.step_wanted.connect(self.step_wanted)
        measured = MeasuredLine(self._document, self.ranges_panel.plot, self._theme, self.ranges_panel)
        self.ranges_panel.add_below(measured)
        self.ranges_panel.layer_shown.connect(measured.show_layer)
        samples = SampleStrip(self._document, self._workflow, self._theme, self.ranges_panel)
        self.ranges_panel.add_below(samples)
        self.ranges_panel.layer_shown.connect(samples.show_layer)
        self._insert(0, self.ranges_panel, self.tr("Ranges"), self.tr("What each observer makes of a layer's output."))
        yield
        self.overview_panel = OverviewPanel(self._document, self._theme, self.ranges_panel.idle, self)
        self.overview_panel.calibration_wanted.connect(self.calibration_wanted)
        self.overview_panel.layer_wanted.connect(self.layer_wanted)
        self.overview_panel.ranges_wanted.connect(self.show_ranges)
        self._insert(1, self.overview_panel, self.tr("Overview"), self.tr("The histograms of all layers."))
        yield
        self.weights_panel = WeightsPanel(self._document, self._workflow, self._theme, self)
        self._insert(2, self.weights_panel, self.tr("Weights"), self.tr("How the weight of a layer is spread."))
        yield
        self.graph_panel = GraphPanel(self._document, self._workflow, self._theme, self)
        self.graph_panel.data_wanted.connect(self.data_wanted)
        self.graph_panel.quantization_wanted.connect(self.quantization_wanted)
        self.graph_panel.layer_wanted.connect(self.layer_wanted)
        self._insert(3, self.graph_panel, self.tr("Graph"), self.tr("The layers and what flows between them."))
        yield
        plots = ComparePlots(self._theme)
        for _ in plots.build(self):
            yield
        self.compare_panel = ComparePanel(self._document, self._theme, self._settings, plots, self._speed, self)
        self.compare_panel.comparison_wanted.connect(self.comparison_wanted)
        self.compare_panel.layer_wanted.connect(self.layer_wanted)
        self._insert(4, self.compare_panel, self.tr("Compare"), self.tr("Float and quantized side by side."))
        yield
        self.training_panel = TrainingPanel(self._document, self._training, self._theme, self)
        self.training_panel.training_wanted.connect(self.training_wanted)
        self._insert(
            5, self.training_panel, self.tr("Training"), self.tr("Watch and steer the training of QAT layers.")
        )
        self.built = True
        self.set_why_not_compare(self._why_not_compare)
        self.set_why_not_train(self._why_not_train)
        self.show_layers(self._layers)
        self.tabs.setCurrentIndex(0)
        # Styling every widget for the first time would otherwise fall into the moment in which a model opens.
        for number, widget in enumerate(self.window().findChildren(QWidget)):
            widget.ensurePolished()
            if number % _STYLED_AT_ONCE == 0:
                yield

    def _insert(self, place: int, panel: QWidget, title: str, tip: str) -> None:
        self.tabs.setTabToolTip(self.tabs.insertTab(place, panel, title), tip)

    def _add(self, panel: QWidget, title: str, tip: str) -> None:
        self._insert(self.tabs.count(), panel, title, tip)

    # Showing

    def show_layers(self, names: tuple[str, ...]) -> None:
        """Show the selected layers."""
        self._layers = names
        panels = ("ranges_panel", "overview_panel", "weights_panel", "graph_panel", "training_panel")
        self._stale = {getattr(self, name) for name in panels} if self.built else set()
        self._show_in_front()

    def _show_in_front(self) -> None:
        """Show the selected layers in the panel that is seen; the others follow when they come to the front."""
        panel = self.tabs.currentWidget()
        if panel in self._stale:
            self._stale.discard(panel)
            panel.show_layers(self._layers)

    def set_why_not_compare(self, reason: str) -> None:
        """Say why comparing is not possible now; empty where it is."""
        self._why_not_compare = reason
        if self.built:
            self.compare_panel.set_available(reason)

    def show_staleness(self, why: str, why_not_calibrate: str) -> None:
        """Say above the tabs why the statistics are stale and offer to calibrate again; nothing where they are not."""
        sentence = self.tr("The statistics are stale: {why}. What is shown here is from before.").format(why=why)
        tip = why_not_calibrate or self.tr("Run the calibration samples again with these decisions.")
        text, wanted = self.tr("Calibrate"), self.calibration_wanted.emit
        self.stale.tell(sentence if why else "", text, tip, wanted)
        self.stale.button.setEnabled(not why_not_calibrate)

    def set_why_not_train(self, reason: str) -> None:
        """Say why training is not possible now; empty where it is."""
        self._why_not_train = reason
        if self.built:
            self.training_panel.set_available(reason)

    def follow_settings(self) -> None:
        """Show the number of threads as it was set elsewhere."""
        if self.built:
            self.compare_panel.follow_settings()

    @property
    def shows_graph(self) -> bool:
        """Whether the graph is in front, which waits for the quantized model and not for ranges."""
        return self.built and self.tabs.currentWidget() is self.graph_panel

    def show_training(self) -> None:
        """Bring the training to the front."""
        if self.built:
            self.tabs.setCurrentWidget(self.training_panel)

    def show_ranges(self) -> None:
        """Bring the ranges to the front."""
        if self.built:
            self.tabs.setCurrentWidget(self.ranges_panel)

    def show_comparison(self) -> None:
        """Bring the comparison to the front."""
        if self.built:
            self.tabs.setCurrentWidget(self.compare_panel)

    def show_slowness(self) -> None:
        """Bring to the front what int8 loses time with."""
        if self.built:
            self.show_comparison()
            self.compare_panel.show_slowness()

    def find_best_observers(self) -> None:
        """Find for every layer the observer of the least predicted error; the ranges tell what came of it."""
        if self.built:
            self.show_ranges()
            self.ranges_panel.best.start(None)

    def show_log(self) -> None:
        """Bring the log to the front."""
        self.tabs.setCurrentWidget(self.log_panel)

    def tell(self, sentence: str) -> None:
        """Show a sentence above the tabs until it is dismissed."""
        self.log_panel.add("info", sentence)
        self.why.hide()
        self.notice.tell(sentence, self.tr("OK"), self.tr("Hide this."), self.notice.hide)

    def introduce(self, sentence: str, more: bool = False) -> None:
        """Show a sentence about a fresh model or its data; it leaves with the first step of the work.

        Args:
            sentence: What to say.
            more: Whether what was said before still stands, where it has not been dismissed.
        """
        standing = more and self.notice.isVisible() and self.notice.label.text() == self._introduction
        self._introduction = f"{self._introduction} {sentence}" if standing else sentence
        self.tell(self._introduction)
        self.why.show()

    def end_introduction(self) -> None:
        """Hide the sentence about the fresh model, where it is still there."""
        if self.notice.label.text() == self._introduction:
            self.notice.hide()
