"""Why is it not faster? What int8 loses time with, and the ways out, each measured before it is taken."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from qgui.core.slowness import Explanation, SlowIsland, WayOut, WayOutEffect
from qgui.ui import formatting
from qgui.ui.compare_plots import LayerPlot
from qgui.ui.row_table import set_up_rows
from qgui.ui.slowness_table import SlowColumn, SlowModel
from qgui.ui.speed_work import SpeedWork
from qgui.ui.theme import Theme


class SlownessTab(QWidget):
    """Shows slow layers and islands with their causes, and lets ways out be measured and taken.

    Signals:
        layer_wanted: The path of a layer that the person wants to see.

    Args:
        work: Explains, measures and takes.
        theme: For the colours.
        plot: For the times of all layers.
        parent: Qt parent.
    """

    layer_wanted = Signal(str)

    def __init__(self, work: SpeedWork, theme: Theme, plot: LayerPlot, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._shown: Explanation | None = None
        self._why_not = ""
        self._buttons: list[tuple[WayOut, QPushButton, QPushButton, QLabel]] = []
        self.setObjectName("slownessTab")
        self.summary = QLabel(self)
        self.summary.setObjectName("slownessSummary")
        self.summary.setWordWrap(True)
        self.model = SlowModel(theme, self)
        self.table = self._build_table()
        self.plot = plot
        self.plot.setParent(self)
        self.plot.setMinimumHeight(8 * self.fontMetrics().height())
        self.plot.layer_clicked.connect(self._select)
        self.reason = QLabel(self)
        self.reason.setObjectName("slownessReason")
        self.reason.setWordWrap(True)
        self.reason.setProperty("faint", True)
        self.reason.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.ways = QFrame(self)
        self.ways.setObjectName("waysOut")
        self.ways.setProperty("card", True)
        self.grid = QGridLayout(self.ways)
        self.grid.setContentsMargins(8, 6, 8, 6)
        self.grid.setVerticalSpacing(4)
        self.grid.setColumnStretch(1, 1)
        self.measure_all = QPushButton(self.tr("Measure all"), self.ways)
        self.measure_all.setObjectName("waysMeasureAll")
        self.measure_all.setAccessibleName(self.tr("Measure all ways out"))
        self.measure_all.clicked.connect(lambda: self._work.measure(*(way for way, *_ in self._buttons)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(self.summary)
        layout.addWidget(self.table, 3)
        layout.addWidget(self.reason)
        layout.addWidget(self.plot, 2)
        layout.addWidget(self.ways)
        work.changed.connect(self._refresh)
        self._refresh()

    def _build_table(self) -> QTableView:
        table = QTableView(self)
        set_up_rows(table, "slownessTable", self.tr("What int8 loses time with"))
        table.setToolTip(self.tr("Layers slower in int8 than in float, and float islands, the greatest loss first."))
        table.setModel(self.model)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTextElideMode(Qt.TextElideMode.ElideLeft)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(SlowColumn.LAYER, QHeaderView.ResizeMode.Stretch)
        table.selectionModel().currentRowChanged.connect(lambda current, _: self._show_reason(current.row()))
        table.activated.connect(lambda index: self.layer_wanted.emit(self.model.layer(index.row())))
        return table

    def set_available(self, reason: str) -> None:
        """Enable measuring, or say why it is not possible now."""
        self._why_not = reason
        self._refresh_ways()

    # Showing

    def _refresh(self) -> None:
        explanation = self._work.explanation
        if explanation is not self._shown:
            self._shown = explanation
            self.model.show_explanation(explanation)
            self.summary.setText(explanation.summary if explanation is not None else "")
            found = self.model.rowCount() > 0
            self.table.setVisible(found)
            self.reason.setVisible(found)
            rows = self.table.verticalHeader().defaultSectionSize() * self.model.rowCount()
            header = self.table.horizontalHeader().sizeHint().height()
            self.table.setMaximumHeight(header + rows + 2 * self.table.frameWidth() + 2)
            self.plot.show_layers(self._work.comparison, sqnr=False)
            self._fill_ways(explanation.ways if explanation is not None else ())
            if found:
                self.table.selectRow(0)
        self._refresh_ways()

    def _show_reason(self, row: int) -> None:
        finding = self.model.finding(row)
        if finding is None:
            self.reason.setText("")
        elif isinstance(finding, SlowIsland):
            told = self.tr("{reason} Dequantize {before} ms, work {work} ms, quantize {after} ms.")
            island = finding.island
            times = [formatting.number(v, 3) for v in (island.dequantize_ms, island.work_ms, island.quantize_ms)]
            self.reason.setText(told.format(reason=finding.reason, before=times[0], work=times[1], after=times[2]))
        else:
            self.reason.setText(f"{finding.name}: {finding.reason}")

    def _select(self, layer: str) -> None:
        """Select the row of a layer; one that loses nothing is shown where it is decided."""
        for row in range(self.model.rowCount()):
            if self.model.layer(row) == layer:
                self.table.selectRow(row)
                return
        self.layer_wanted.emit(layer)

    def _fill_ways(self, ways: tuple[WayOut, ...]) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None and widget is not self.measure_all:
                widget.setParent(None)
                widget.deleteLater()
        self._buttons.clear()
        self.ways.setVisible(bool(ways))
        if ways:
            title = QLabel(self.tr("Ways out: measured before they are adopted"), self.ways)
            title.setProperty("faint", True)
            self.grid.addWidget(title, 0, 0, 1, 2)
            self.grid.addWidget(self.measure_all, 0, 2)
        for place, way in enumerate(ways):
            name = QLabel(way.text, self.ways)
            name.setToolTip(", ".join(way.layers) or way.text)
            effect = QLabel(self.ways)
            effect.setObjectName(f"wayEffect{place}")
            effect.setWordWrap(True)
            measure = self._button(f"wayMeasure{place}", self.tr("Measure"), way)
            measure.clicked.connect(lambda _=False, way=way: self._work.measure(way))
            take = self._button(f"wayTake{place}", self._take_text(way), way)
            take.clicked.connect(lambda _=False, way=way: self._work.take(way))
            for column, widget in enumerate((name, effect, measure, take)):
                self.grid.addWidget(widget, place + 1, column)
            self._buttons.append((way, measure, take, effect))

    def _button(self, name: str, text: str, way: WayOut) -> QPushButton:
        button = QPushButton(text, self.ways)
        button.setObjectName(name)
        button.setAccessibleName(f"{text}: {way.text}")
        return button

    def _take_text(self, way: WayOut) -> str:
        return self.tr("Export…") if way.kind == "runtime" else self.tr("Adopt")

    def _refresh_ways(self) -> None:
        best = self._best_way()
        self.measure_all.setEnabled(not self._why_not)
        self.measure_all.setToolTip(self._why_not or self.tr("Measure every way out, one after the other."))
        for way, measure, take, label in self._buttons:
            effect = self._work.effect(way)
            measure.setEnabled(not self._why_not)
            measure.setToolTip(
                self._why_not or self.tr("Time the model as it is, with this way out, and the float model, in turn.")
            )
            usable = effect is not None and effect.after_ms is not None and not self._why_not
            take.setEnabled(usable)
            take.setToolTip(self._why_not or self._take_tip(way, effect))
            take.setProperty("primary", usable and way == best)
            take.style().unpolish(take)
            take.style().polish(take)
            label.setText(self._effect_text(effect))

    def _best_way(self) -> WayOut | None:
        """Return the way out after which the model is fastest, of those that gain anything."""
        effects = [effect for way, *_ in self._buttons if (effect := self._work.effect(way)) is not None]
        gaining = [effect for effect in effects if effect.gain is not None and effect.gain > 1.05]
        return min(gaining, key=lambda effect: effect.after_ms or 0.0).way if gaining else None

    def _take_tip(self, way: WayOut, effect: WayOutEffect | None) -> str:
        if effect is None:
            return self.tr("Measure it first: its effect is known before it is adopted.")
        if effect.after_ms is None:
            return effect.problem
        if way.kind == "runtime":
            return self.tr("Choose formats and folder; the decisions stay as they are.")
        return self.tr("Decide so; one step of undo takes it back.")

    def _effect_text(self, effect: WayOutEffect | None) -> str:
        if effect is None:
            return self.tr("not measured")
        if effect.after_ms is None:
            return effect.problem
        times = self.tr("{before} → {after} ({gain}), float {float}").format(
            before=formatting.number(effect.before_ms, 3),
            after=formatting.milliseconds(effect.after_ms),
            gain=self._gain_text(effect.gain or 0.0),
            float=formatting.milliseconds(effect.float_ms),
        )
        if effect.before_db is None or effect.after_db is None:
            return times
        before = formatting.decibel(effect.before_db).removesuffix(" dB")
        return f"{times}, SQNR {before} → {formatting.decibel(effect.after_db)}"

    def _gain_text(self, gain: float) -> str:
        if 0.95 < gain < 1.05:
            return self.tr("about as fast")
        if gain >= 1:
            return self.tr("{gain} × as fast").format(gain=formatting.number(gain, 3))
        return self.tr("{gain} × slower").format(gain=formatting.number(1 / gain, 3))
