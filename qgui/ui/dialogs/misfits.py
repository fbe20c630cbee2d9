"""What of an opened recipe does not fit the model: a list with the reasons."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
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

from qgui.core.fitting import Misfit
from qgui.ui.row_table import set_up_rows


class MisfitDialog(QDialog):
    """Lists what was decided otherwise than a recipe says, and why.

    Args:
        misfits: Layers and patterns with reasons.
        notes: What else should be known about the recipe.
        parent: Qt parent.
    """

    def __init__(self, misfits: Sequence[Misfit], notes: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._misfits, self._notes = misfits, notes
        self.setObjectName("misfitDialog")
        self.setWindowTitle(self.tr("What of the recipe does not fit"))
        self.setWindowModality(Qt.WindowModality.WindowModal)
        character = self.fontMetrics().averageCharWidth()
        self.setMinimumWidth(character * 104)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(self._text("misfitSummary", self._summary()))
        self.table = self._build_table()
        self.table.setVisible(bool(misfits))
        layout.addWidget(self.table, 1)
        for number, note in enumerate(notes):
            layout.addWidget(self._text(f"misfitNote{number}", note))
        layout.addLayout(self._build_buttons())
        self.setMinimumHeight(self.fontMetrics().height() * (8 + 2 * min(len(misfits), 10)) if misfits else 0)

    def _summary(self) -> str:
        if not self._misfits:
            return self.tr("Everything in the recipe fits this model.")
        if len(self._misfits) == 1:
            return self.tr("One thing does not fit this model or machine; everything else applies.")
        count = len(self._misfits)
        return self.tr("{count} things do not fit this model or machine; everything else applies.").format(count=count)

    def _text(self, name: str, text: str) -> QLabel:
        label = QLabel(text, self)
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _build_table(self) -> QTableWidget:
        table = QTableWidget(len(self._misfits), 2, self)
        set_up_rows(table, "misfitTable", self.tr("What does not fit"))
        table.setToolTip(self.tr("Layers and patterns of the recipe, and why they are not taken as they are."))
        table.setHorizontalHeaderLabels([self.tr("Layer or pattern"), self.tr("Why, and what holds instead")])
        table.setWordWrap(True)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for row, misfit in enumerate(self._misfits):
            for column, text in enumerate((misfit.subject, misfit.why)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
                table.setItem(row, column, item)
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        return table

    def _build_buttons(self) -> QHBoxLayout:
        copy = QPushButton(self.tr("Copy"), self)
        copy.setObjectName("misfitCopy")
        copy.setAccessibleName(self.tr("Copy the list"))
        copy.setToolTip(self.tr("Copy the list to the clipboard."))
        copy.setAutoDefault(False)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text()))
        close = QPushButton(self.tr("Close"), self)
        close.setObjectName("misfitClose")
        close.setAccessibleName(self.tr("Close"))
        close.setToolTip(self.tr("Go on with what fits."))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.addWidget(copy)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def text(self) -> str:
        """Return the list as text."""
        return "\n".join([*map(str, self._misfits), *self._notes])
