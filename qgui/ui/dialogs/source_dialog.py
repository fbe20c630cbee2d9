"""What the dialogs for models and data have in common: kinds on the left, their fields on the right."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from qgui.ui.pages import Pages


class SourceDialog(QDialog):
    """A dialog in which a kind of source and its details are chosen.

    Args:
        name: Object name.
        title: Window title.
        ok: Text of the button that goes on.
        parent: Qt parent.
    """

    def __init__(self, name: str, title: str, ok: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._complete = False
        self.setObjectName(name)
        self.setWindowTitle(title)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.kinds = QListWidget(self)
        self.kinds.setObjectName(f"{name}Kinds")
        self.kinds.setAccessibleName(self.tr("Kind of source"))
        self.kinds.setToolTip(self.tr("Where it comes from."))
        self.kinds.setSpacing(3)
        self.pages = Pages(self)
        self.pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.problem = QLabel(self)
        self.problem.setObjectName(f"{name}Problem")
        self.problem.setWordWrap(True)
        self.problem.setProperty("faint", True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel, self)
        cancel = self.buttons.button(QDialogButtonBox.StandardButton.Cancel)
        cancel.setObjectName(f"{name}Cancel")
        cancel.setAccessibleName(self.tr("Cancel"))
        cancel.setToolTip(self.tr("Open nothing."))
        self.ok = QPushButton(ok, self)
        self.ok.setObjectName(f"{name}Open")
        self.ok.setAccessibleName(ok)
        self.ok.setProperty("primary", True)
        self.ok.setDefault(True)
        self.buttons.addButton(self.ok, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.body = QVBoxLayout()
        self.body.addWidget(self.pages)
        columns = QHBoxLayout()
        columns.setSpacing(14)
        columns.addWidget(self.kinds)
        columns.addLayout(self.body, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(columns, 1)
        layout.addWidget(self.problem)
        layout.addWidget(self.buttons)
        self.kinds.currentRowChanged.connect(self.pages.setCurrentIndex)
        self.kinds.currentRowChanged.connect(lambda _: self.check())
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 96)

    def add_page(self, text: str, tool_tip: str, page: QWidget) -> None:
        """Add a kind of source."""
        item = QListWidgetItem(text)
        item.setToolTip(tool_tip)
        self.kinds.addItem(item)
        self.pages.addWidget(page)

    def finish(self) -> None:
        """Fit the list of kinds to its texts and choose the first; call when all pages are added."""
        width = self.kinds.sizeHintForColumn(0) + 4 * self.kinds.frameWidth()
        self._complete = True
        self.body.addStretch(1)
        self.kinds.setFixedWidth(width + self.fontMetrics().averageCharWidth() * 3)
        self.kinds.setCurrentRow(0)

    def check(self) -> None:
        """Enable the button, or say what is missing."""
        if not self._complete:
            return
        reason = self.missing()
        self.ok.setEnabled(not reason)
        self.ok.setToolTip(reason or self.tr("Open it."))
        self.problem.setText(reason or self.preview())

    def missing(self) -> str:
        """Return what has to be filled in yet; dialogs say it."""
        raise NotImplementedError

    def preview(self) -> str:
        """Return what the choice is called on the command line."""
        raise NotImplementedError
