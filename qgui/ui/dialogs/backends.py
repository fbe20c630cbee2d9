"""What each backend of this machine takes for the quantized model."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from qgui.core.results import BackendTiming
from qgui.ui import formatting
from qgui.ui.row_table import set_up_rows


class BackendDialog(QDialog):
    """Shows measured backends and offers the fastest.

    Signals:
        chosen: The name of a backend.

    Args:
        timings: The measurements, fastest first.
        present: The backend in use.
        parent: Qt parent.
    """

    chosen = Signal(str)

    def __init__(self, timings: Sequence[BackendTiming], present: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timings = list(timings)
        self.setObjectName("backendDialog")
        self.setWindowTitle(self.tr("Backends on this machine"))
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 104)
        sentence = QLabel(
            self.tr(
                "The quantized model on each backend, measured in turn. Backends add differently, so look at SQNR too."
            ),
            self,
        )
        sentence.setWordWrap(True)
        sentence.setProperty("faint", True)
        self.table = self._build_table(present)
        self.use = QPushButton(self)
        self.use.setObjectName("backendUse")
        self.use.setProperty("primary", True)
        self.use.clicked.connect(self._on_use)
        leave = QPushButton(self.tr("Keep {name}").format(name=present), self)
        leave.setObjectName("backendKeep")
        leave.setAccessibleName(leave.text())
        leave.setToolTip(self.tr("Go on with the present backend."))
        leave.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(leave)
        row.addWidget(self.use)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(sentence)
        layout.addWidget(self.table)
        layout.addLayout(row)
        self.table.currentCellChanged.connect(lambda *_: self._show_choice())
        self.table.selectRow(0)
        self._show_choice()

    def _build_table(self, present: str) -> QTableWidget:
        titles = [self.tr("Backend"), self.tr("Runtime"), self.tr("Median latency"), self.tr("Output SQNR"), ""]
        table = QTableWidget(len(self._timings), len(titles), self)
        set_up_rows(table, "backendTable", self.tr("Backends"))
        table.setAccessibleDescription(self.tr("How long one sample takes with every backend, fastest first."))
        table.setHorizontalHeaderLabels(titles)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(len(titles) - 1, QHeaderView.ResizeMode.Stretch)
        fastest = self._timings[0].median_ms if self._timings else None
        for place, timing in enumerate(self._timings):
            for column, text in enumerate(self._texts(timing, place, fastest, present)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column in {2, 3}:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                table.setItem(place, column, item)
        height = table.horizontalHeader().sizeHint().height() + sum(table.rowHeight(r) for r in range(table.rowCount()))
        table.setFixedHeight(height + 6)
        return table

    def _texts(self, timing: BackendTiming, place: int, fastest: float | None, present: str) -> tuple[str, ...]:
        if timing.median_ms is None or not fastest:
            remark = timing.problem
        elif place == 0:
            remark = self.tr("★ fastest")
        else:
            remark = self.tr("{ratio} times as long").format(ratio=formatting.number(timing.median_ms / fastest, 3))
        if timing.backend == present:
            remark = self.tr("{remark}, in use").format(remark=remark)
        runtime = "TorchScript" if timing.runtime == "torchscript" else timing.runtime
        return (
            timing.backend,
            runtime,
            formatting.milliseconds(timing.median_ms),
            formatting.decibel(timing.sqnr_db),
            remark,
        )

    def _selected(self) -> BackendTiming | None:
        row = self.table.currentRow()
        return self._timings[row] if 0 <= row < len(self._timings) else None

    def _show_choice(self) -> None:
        timing = self._selected()
        usable = timing is not None and timing.median_ms is not None
        self.use.setEnabled(usable)
        self.use.setText(self.tr("Use {name}").format(name=timing.backend if timing else ""))
        self.use.setAccessibleName(self.use.text())
        self.use.setToolTip(
            self.tr("Choose this backend; you can undo it.") if usable else self.tr("The model does not run there.")
        )

    def _on_use(self) -> None:
        timing = self._selected()
        if timing is not None:
            self.chosen.emit(timing.backend)
        self.accept()
