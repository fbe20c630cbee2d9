"""Where the model runs best: float and int8 in every runtime of this machine."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from qgui.core import runtimes
from qgui.core.runtimes import RuntimeTable
from qgui.ui.banner import Banner
from qgui.ui.row_table import set_up_rows
from qgui.ui.runtime_table import BarDelegate, RuntimeColumn, RuntimeModel
from qgui.ui.speed_work import SpeedWork
from qgui.ui.theme import Theme


class RuntimesTab(QWidget):
    """Shows the measured runtimes and asks for new measurements.

    Args:
        work: Measures them.
        theme: For the colours.
        parent: Qt parent.
    """

    def __init__(self, work: SpeedWork, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._shown: RuntimeTable | None = None
        self.setObjectName("runtimesTab")
        self.sentence = QLabel(self)
        self.sentence.setObjectName("runtimesSentence")
        self.sentence.setWordWrap(True)
        self.button = QPushButton(self.tr("Measure runtimes"), self)
        self.button.setObjectName("runtimesButton")
        self.button.setAccessibleName(self.tr("Measure runtimes"))
        self.button.clicked.connect(work.measure_runtimes)
        self.stale = Banner("runtimesStale", "warning", self)
        self.model = RuntimeModel(theme, self)
        self.table = self._build_table()
        self.setting = QLabel(self)
        self.setting.setObjectName("runtimesSetting")
        self.setting.setProperty("faint", True)
        self.setting.setWordWrap(True)
        top = QHBoxLayout()
        top.addWidget(self.sentence, 1)
        top.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.stale)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.setting)
        layout.addStretch(0)
        work.changed.connect(self._refresh)
        self._refresh()

    def _build_table(self) -> QTableView:
        table = QTableView(self)
        set_up_rows(table, "runtimesTable", self.tr("Runtimes"))
        table.setToolTip(self.tr("Float and int8 in every runtime, the fastest first."))
        table.setModel(self.model)
        table.setItemDelegateForColumn(RuntimeColumn.MEDIAN, BarDelegate(table))
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(RuntimeColumn.MEDIAN, QHeaderView.ResizeMode.Stretch)
        return table

    def set_available(self, reason: str) -> None:
        """Enable the button, or say why it cannot be used."""
        self.button.setEnabled(not reason)
        self.button.setToolTip(
            reason or self.tr("Run float and int8 in every runtime that is installed, in turn; takes about a minute.")
        )

    def _refresh(self) -> None:
        table = self._work.table
        self.table.setVisible(table is not None)
        self.setting.setVisible(table is not None)
        self.stale.tell(
            self.tr("The decisions have changed since: these runtimes ran an earlier quantized model.")
            if self._work.table_stale
            else "",
        )
        if table is None:
            self.sentence.setText(
                self.tr(
                    "Not measured yet. Every runtime that is installed (PyTorch with each of its backends, ONNX "
                    "Runtime, OpenVINO) runs float and int8 in turn, with the same input and as many threads."
                )
            )
        if table is self._shown:
            return
        self._shown = table
        self.model.show_table(table)
        if table is not None:
            self.sentence.setText(runtimes.verdict(table))
            told = self.tr(
                "Threads {threads}, batch {batch}, all in turn in one run. Gain is over the best float. Memory is the "
                "peak of a fresh process that loads and runs the model."
            )
            lines = [told.format(threads=table.threads, batch=table.batch_size), *table.notes]
            self.setting.setText(" ".join(lines))
