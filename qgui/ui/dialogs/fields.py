"""Fields that several dialogs have: a path with a button that browses, and a page of labelled fields."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSpinBox, QWidget


class PathField(QWidget):
    """A path that is typed or chosen.

    Signals:
        changed: The path differs.

    Args:
        name: Object name.
        accessible_name: What the path is.
        tool_tip: One sentence on what belongs here.
        file_filter: Which files to offer; empty for a folder.
        parent: Qt parent.
    """

    changed = Signal()

    def __init__(
        self, name: str, accessible_name: str, tool_tip: str, file_filter: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._filter = file_filter
        self._title = accessible_name
        self.edit = QLineEdit(self)
        self.edit.setObjectName(name)
        self.edit.setAccessibleName(accessible_name)
        self.edit.setToolTip(tool_tip)
        self.edit.textChanged.connect(self.changed)
        self.browse = QPushButton(self.tr("Browse…"), self)
        self.browse.setObjectName(f"{name}Browse")
        self.browse.setAccessibleName(self.tr("Browse for {what}").format(what=accessible_name))
        self.browse.setToolTip(self.tr("Choose from the files of this computer."))
        self.browse.setAutoDefault(False)
        self.browse.clicked.connect(self._choose)
        self.setFocusProxy(self.edit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(self.browse)

    @property
    def path(self) -> str:
        """The path as typed."""
        return self.edit.text().strip()

    def set_path(self, path: str) -> None:
        """Show a path."""
        self.edit.setText(path)

    def _choose(self) -> None:
        dialog = QFileDialog(self, self._title, self.path)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile if self._filter else QFileDialog.FileMode.Directory)
        if self._filter:
            dialog.setNameFilter(self._filter)
        dialog.fileSelected.connect(self.edit.setText)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


class FieldPage(QWidget):
    """A form with a sentence above it.

    Args:
        sentence: What the page is about.
        parent: Qt parent.
    """

    def __init__(self, sentence: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = QFormLayout(self)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        label = QLabel(sentence, self)
        label.setWordWrap(True)
        label.setProperty("faint", True)
        self.form.addRow(label)

    def add(self, text: str, field: QWidget) -> None:
        """Add a field with its label."""
        label = QLabel(text, self)
        label.setBuddy(field)
        self.form.addRow(label, field)


def line_edit(
    name: str, accessible_name: str, tool_tip: str, changed: Callable[[], None], placeholder: str = ""
) -> QLineEdit:
    """Return a line of text that reports its changes."""
    edit = QLineEdit()
    edit.setObjectName(name)
    edit.setAccessibleName(accessible_name)
    edit.setToolTip(tool_tip)
    edit.setPlaceholderText(placeholder)
    edit.textChanged.connect(changed)
    return edit


def spin_box(name: str, accessible_name: str, tool_tip: str, bounds: tuple[int, int]) -> QSpinBox:
    """Return a field for a whole number between bounds."""
    box = QSpinBox()
    box.setObjectName(name)
    box.setAccessibleName(accessible_name)
    box.setToolTip(tool_tip)
    box.setRange(*bounds)
    return box
