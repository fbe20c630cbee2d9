"""Float and quantized side by side: accuracy, latency, size, and each layer."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QTableView,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from qgui.core.results import Comparison
from qgui.ui import formatting
from qgui.ui import settings as options
from qgui.ui.banner import Banner
from qgui.ui.cards import Card
from qgui.ui.compare_plots import ComparePlots, series_label
from qgui.ui.comparison_rows import accuracy_text, delta_texts
from qgui.ui.comparison_tables import LayerResultModel, QuantityModel
from qgui.ui.document import Document
from qgui.ui.row_table import set_up_rows
from qgui.ui.runtimes_tab import RuntimesTab
from qgui.ui.settings import Option, Settings
from qgui.ui.slowness_tab import SlownessTab
from qgui.ui.speed_work import SpeedWork
from qgui.ui.theme import Theme


class ComparePanel(QWidget):
    """Shows a comparison and asks for a new one.

    Signals:
        comparison_wanted: The person wants to measure.
        layer_wanted: The person wants to see a layer.

    Args:
        document: Whose comparison.
        theme: For the colours.
        settings: For threads, batch size and runs.
        plots: The plots, made before.
        work: Measures runtimes and ways out.
        parent: Qt parent.
    """

    comparison_wanted = Signal()
    layer_wanted = Signal(str)

    def __init__(
        self,
        document: Document,
        theme: Theme,
        settings: Settings,
        plots: ComparePlots,
        work: SpeedWork,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._settings = settings
        self._shown: Comparison | None = None
        self.setObjectName("comparePanel")
        self.cards = {
            "accuracy": Card("accuracyCard", self.tr("Accuracy"), self.tr("Both models see the same samples.")),
            "speed": Card("speedCard", self.tr("Speed"), self.tr("Measured in turn, in one run, with pinned threads.")),
            "size": Card("sizeCard", self.tr("Size"), self.tr("Size of the state dict on disk.")),
            "sqnr": Card("sqnrCard", self.tr("Output SQNR"), self.tr("Signal to noise ratio of the model's output.")),
        }
        self.latency, self.accuracy, self.size_plot = plots.latency, plots.accuracy, plots.size
        for plot, what, tip in (
            (plots.accuracy, self.tr("Accuracy"), self.tr("Share of right answers.")),
            (plots.size, self.tr("Size"), self.tr("Size of the state dict on disk.")),
        ):
            plot.setAccessibleName(what)
            plot.setToolTip(tip)
        self.quantities = QuantityModel(self)
        self.layers = LayerResultModel(theme, self)
        self.layer_plot = plots.layers
        self.stale = Banner("compareStale", "warning", self)
        self.empty = Banner("compareEmpty", "hint", self)
        self._boxes: dict[QSpinBox, Option[int]] = {}
        self.notes = QLabel(self)
        self.notes.setObjectName("compareNotes")
        self.notes.setWordWrap(True)
        self.notes.setProperty("faint", True)
        self.tabs = QTabWidget(self)
        self.tabs.setObjectName("compareTabs")
        self.tabs.setAccessibleName(self.tr("Views of the comparison"))
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self._build_overview(), self.tr("Overview"))
        self.tabs.addTab(self._build_layers(), self.tr("Layers"))
        self.runtimes = RuntimesTab(work, theme, self)
        self.tabs.addTab(self.runtimes, self.tr("Runtimes"))
        self.slowness = SlownessTab(work, theme, plots.slow_layers, self)
        self.slowness.layer_wanted.connect(self.layer_wanted)
        self.tabs.addTab(self.slowness, self.tr("Why is it not faster?"))
        self.tabs.addTab(self._build_numbers(), self.tr("Numbers"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        layout.addLayout(self._build_controls())
        for widget in (self.stale, self.empty):
            layout.addWidget(widget)
        layout.addWidget(self.tabs, 1)
        self.filler = QWidget(self)
        self.filler.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout.addWidget(self.filler, 1)
        document.results_changed.connect(self._refresh)
        document.model_changed.connect(self._refresh)
        document.data_changed.connect(self._refresh)
        self._refresh()

    def _build_controls(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(6)
        for name, text, tip, option, limit in (
            ("threads", self.tr("Threads"), self.tr("Threads that both models may use."), options.THREADS, 256),
            ("batch", self.tr("Batch size"), self.tr("Samples in each timed run."), options.BATCH_SIZE, 1024),
            ("runs", self.tr("Runs"), self.tr("Timed runs of each variant."), options.RUNS, 1000),
        ):
            box = self._spin_box(name, text, tip, option, limit)
            label = QLabel(text, self)
            label.setBuddy(box)
            row.addWidget(label)
            row.addWidget(box)
        row.addStretch(1)
        self.button = QPushButton(self.tr("Compare"), self)
        self.button.setObjectName("compareButton")
        self.button.setAccessibleName(self.tr("Compare"))
        self.button.setProperty("primary", True)
        self.button.clicked.connect(self.comparison_wanted)
        row.addWidget(self.button)
        return row

    def _spin_box(self, name: str, text: str, tip: str, option: Option[int], limit: int) -> QSpinBox:
        box = QSpinBox(self)
        box.setObjectName(f"compare_{name}")
        box.setAccessibleName(text)
        box.setToolTip(tip)
        box.setRange(3 if name == "runs" else 1, limit)
        box.setValue(self._settings.get(option))
        box.valueChanged.connect(lambda value: self._settings.set(option, value))
        self._boxes[box] = option
        return box

    def follow_settings(self) -> None:
        """Show the numbers as they were set elsewhere."""
        for box, option in self._boxes.items():
            box.setValue(self._settings.get(option))

    def _build_overview(self) -> QWidget:
        body = QWidget(self)
        grid = QGridLayout(body)
        grid.setContentsMargins(0, 6, 0, 0)
        grid.setSpacing(8)
        for place, card in enumerate(self.cards.values()):
            grid.addWidget(card, 0, place)
            grid.setColumnStretch(place, 1)
        line = self.fontMetrics().height()
        self.latency.setMinimumHeight(11 * line)
        for plot in (self.accuracy, self.size_plot):
            plot.setMinimumHeight(6 * line)
        self.accuracy_frame = self._framed(QLabel(self.tr("Accuracy"), self), self.accuracy)
        self.latency_title = QLabel(self)
        self.latency_title.setObjectName("latencyTitle")
        grid.addWidget(self._framed(self.latency_title, self.latency), 1, 0, 1, 4)
        bars = QHBoxLayout()
        bars.setSpacing(8)
        bars.addWidget(self.accuracy_frame, 1)
        bars.addWidget(self._framed(QLabel(self.tr("Size on disk"), self), self.size_plot), 1)
        grid.addLayout(bars, 2, 0, 1, 4)
        grid.setRowStretch(1, 2)
        grid.setRowStretch(2, 1)
        grid.addWidget(self.notes, 3, 0, 1, 4)
        scroll = QScrollArea(self)
        scroll.setObjectName("compareOverview")
        scroll.setAccessibleName(self.tr("Overview of the comparison"))
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        return scroll

    def _framed(self, title: QLabel, plot: QWidget) -> QFrame:
        frame = QFrame(self)
        frame.setProperty("card", True)
        title.setProperty("faint", True)
        title.setWordWrap(True)
        layout = QVBoxLayout(frame)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(2)
        layout.addWidget(title)
        layout.addWidget(plot, 1)
        return frame

    def _build_layers(self) -> QWidget:
        body = QWidget(self)
        self.quantity = QComboBox(body)
        self.quantity.setObjectName("layerQuantity")
        self.quantity.setAccessibleName(self.tr("What is plotted"))
        self.quantity.setToolTip(self.tr("Choose what the bars show for each layer."))
        self.quantity.addItems([self.tr("SQNR of each layer"), self.tr("Latency of each layer")])
        self.quantity.currentIndexChanged.connect(self._show_layer_plot)
        self.layer_table = self._table("layerResults", self.tr("Layers"), body)
        self.layer_table.setAccessibleDescription(
            self.tr("SQNR and time of each layer, float against quantized; a header sorts.")
        )
        self.layer_table.setModel(self.layers)
        self.layer_table.setSortingEnabled(True)
        header = self.layer_table.horizontalHeader()
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        # The end of a path tells more than its beginning.
        self.layer_table.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.layer_table.clicked.connect(lambda index: self.layer_wanted.emit(self.layers.name(index.row())))
        self.layer_table.activated.connect(lambda index: self.layer_wanted.emit(self.layers.name(index.row())))
        self.layer_plot.layer_clicked.connect(self.layer_wanted)
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(self.quantity, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.layer_plot, 2)
        layout.addWidget(self.layer_table, 3)
        return body

    def _build_numbers(self) -> QWidget:
        body = QWidget(self)
        table = self._table("quantities", self.tr("All numbers"), body)
        table.setAccessibleDescription(self.tr("Every measured number, float against quantized, with its spread."))
        table.setModel(self.quantities)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.horizontalHeader().setStretchLastSection(True)
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(table)
        return body

    def _table(self, name: str, accessible_name: str, parent: QWidget) -> QTableView:
        table = QTableView(parent)
        set_up_rows(table, name, accessible_name)
        return table

    def show_slowness(self) -> None:
        """Bring what int8 loses time with to the front."""
        self.tabs.setCurrentWidget(self.slowness)

    def set_available(self, reason: str) -> None:
        """Enable the button, or say why it cannot be used."""
        self.runtimes.set_available(reason)
        self.slowness.set_available(reason)
        self.button.setEnabled(not reason)
        self.button.setToolTip(
            reason or self.tr("Measure both models; what changed since is calibrated and quantized first.")
        )

    # Showing

    def _refresh(self) -> None:
        comparison = self._document.comparison
        self.tabs.setVisible(comparison is not None)
        self.filler.setVisible(comparison is None)
        self.empty.tell(
            ""
            if comparison is not None
            else self.tr(
                "Nothing is compared yet. Compare measures accuracy, latency and size of both models, in turn and on "
                "the same samples."
            )
        )
        self.stale.tell(
            self.tr("The decisions have changed since: these numbers are of an earlier quantized model.")
            if self._document.comparison_stale
            else "",
            self.tr("Compare again"),
            self.tr("Quantize with the present decisions and measure again."),
            self.button.click,
        )
        if comparison is not self._shown:
            self._shown = comparison
            self.quantities.show_comparison(comparison)
            self.layers.show_comparison(comparison)
            self._show_layer_plot()
            if comparison is not None:
                self._show_cards(comparison)
                self._show_plots(comparison)
                self.notes.setText("\n".join(comparison.notes))

    def _show_cards(self, comparison: Comparison) -> None:
        before, after = comparison.float_accuracy, comparison.quantized_accuracy
        if before is not None and after is not None:
            lost = comparison.accuracy_delta is not None and comparison.accuracy_delta.high < 0
            difference, interval = delta_texts(comparison)
            lines = [
                self.tr("float {value}").format(value=accuracy_text(before)),
                difference,
                self.tr("95 % interval {range}").format(range=interval) if interval else "",
            ]
            self.cards["accuracy"].show_number(
                accuracy_text(after),
                "\n".join(filter(None, lines)),
                "bad" if lost else "",
            )
        else:
            self.cards["accuracy"].show_number(formatting.NOTHING, self.tr("The data has no labels."))
        best, fastest = comparison.best_latency("quantized"), comparison.best_latency("float")
        over_eager = self.tr("{ratio} × over float eager, a slower float")
        lines = [
            f"{formatting.number(fastest.median_ms, 3)} → {formatting.milliseconds(best.median_ms)}",
            f"{series_label(fastest)} → {series_label(best)}",
            over_eager.format(ratio=formatting.number(comparison.speedup_over_eager, 3))
            if fastest.runtime != "eager"
            else "",
        ]
        verdict = "good" if comparison.speedup > 1.05 else "bad" if comparison.speedup < 0.95 else ""
        self.cards["speed"].show_number(f"{formatting.number(comparison.speedup, 3)} ×", "\n".join(lines), verdict)
        ratio = comparison.float_bytes / max(comparison.quantized_bytes, 1)
        sizes = f"{formatting.size(comparison.float_bytes)} → {formatting.size(comparison.quantized_bytes)}"
        self.cards["size"].show_number(
            f"{formatting.number(ratio, 3)} ×", self.tr("smaller: {sizes}").format(sizes=sizes)
        )
        agreement = (
            self.tr("same best class for {share}").format(share=formatting.percent(comparison.agreement, 2))
            if comparison.agreement is not None
            else ""
        )
        self.cards["sqnr"].show_number(formatting.decibel(comparison.output_sqnr_db), agreement)

    def _show_plots(self, comparison: Comparison) -> None:
        self.latency.show_latencies(comparison.latencies)
        setting = self.tr("Latency of every run: {backend}, threads {threads}, batch {batch}, {runs} runs in turn")
        runs = max((latency.runs for latency in comparison.latencies), default=0)
        self.latency_title.setText(
            setting.format(
                backend=comparison.backend, threads=comparison.threads, batch=comparison.batch_size, runs=runs
            )
        )
        before, after = comparison.float_accuracy, comparison.quantized_accuracy
        if before is not None and after is not None:
            texts = accuracy_text(before), accuracy_text(after)
            if before.top1 is not None and after.top1 is not None:
                self.accuracy.show_pair((100 * before.top1, 100 * after.top1), texts, limit=100)
                self.accuracy.label("bottom", self.tr("top-1 in %"))
            else:
                self.accuracy.show_pair((before.metric or 0.0, after.metric or 0.0), texts)
                self.accuracy.label("bottom", before.metric_name)
        else:
            self.accuracy.show_pair(None, ("", ""))
        megabytes = comparison.float_bytes / 1e6, comparison.quantized_bytes / 1e6
        self.size_plot.show_pair(
            megabytes, (formatting.size(comparison.float_bytes), formatting.size(comparison.quantized_bytes))
        )
        self.size_plot.label("bottom", self.tr("size in MB"))
        self.accuracy_frame.setVisible(before is not None)

    def _show_layer_plot(self) -> None:
        self.layer_plot.show_layers(self._document.comparison, self.quantity.currentIndex() == 0)
