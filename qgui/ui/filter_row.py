"""What the layer table is filtered by: a text, a type, a mode, and whether int8 turned out other than predicted."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QComboBox, QLineEdit, QToolButton, QWidget

from qgui.core.recipe import Mode, mode_name
from qgui.ui.delegates import MODE_MARKS
from qgui.ui.layer_tree import Row

#: In a narrower row, in characters, the boxes stand below the text.
_BESIDE_EACH_OTHER = 58


class FilterRow(QWidget):
    """The criteria, beside each other where there is room.

    Signals:
        changed: Another criterion is set.

    Args:
        parent: Qt parent.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLineEdit(self)
        self.text.setObjectName("layerFilterText")
        self.text.setAccessibleName(self.tr("Filter layers"))
        self.text.setPlaceholderText(self.tr("Filter by name or type"))
        self.text.setToolTip(self.tr("Show layers whose path or type contains this text (Ctrl+F)."))
        self.text.setClearButtonEnabled(True)
        self.type_box = self._box(
            "layerFilterType", self.tr("Filter by type"), self.tr("Show layers of one type only.")
        )
        self.mode_box = self._box(
            "layerFilterMode", self.tr("Filter by mode"), self.tr("Show layers of one mode only.")
        )
        self.mode_box.addItem(self.tr("All modes"), None)
        for mode in Mode:
            self.mode_box.addItem(f"{MODE_MARKS[mode]} {mode_name(mode)}", mode)
        boxes = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        boxes.addWidget(self.type_box, 1)
        boxes.addWidget(self.mode_box, 1)
        self.surprising = QToolButton(self)
        self.surprising.setObjectName("layerFilterSurprising")
        self.surprising.setText("Δ")
        self.surprising.setCheckable(True)
        self.surprising.setAccessibleName(self.tr("Only layers off their prediction"))
        self.surprising.setToolTip(
            self.tr("Show layers only whose measured SQNR is more than 1 dB from the predicted one.")
        )
        self.surprising.hide()
        boxes.addWidget(self.surprising)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addWidget(self.text, 1)
        self._layout.addLayout(boxes)
        for layout in (boxes, self._layout):
            layout.setSpacing(4)
        self.text.textChanged.connect(self.changed)
        self.type_box.currentIndexChanged.connect(self.changed)
        self.mode_box.currentIndexChanged.connect(self.changed)
        self.surprising.toggled.connect(self.changed)

    def _box(self, name: str, accessible_name: str, tool_tip: str) -> QComboBox:
        box = QComboBox(self)
        box.setObjectName(name)
        box.setAccessibleName(accessible_name)
        box.setToolTip(tool_tip)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(9)
        return box

    def criteria(self) -> tuple[str, str, Mode | None, bool]:
        """Return text, type, mode, and whether only surprising layers are wanted; empty values let all through."""
        mode = self.mode_box.currentData()
        return (
            self.text.text(),
            self.type_box.currentData() or "",
            Mode(mode) if mode else None,
            self.surprising.isChecked(),
        )

    def offer_surprising(self, offered: bool) -> None:
        """Offer to show surprising layers only; what is not offered is not in force either."""
        if not offered:
            self.surprising.setChecked(False)
        self.surprising.setVisible(offered)

    def fill_types(self, rows: Iterable[Row]) -> None:
        """Offer the types of the layers that carry a rule; the chosen one stays where it still exists."""
        chosen = self.type_box.currentData()
        counts: dict[str, int] = {}
        for row in rows:
            if row.layer is not None and row.layer.head:
                counts[row.layer.type] = counts.get(row.layer.type, 0) + 1
        self.type_box.blockSignals(True)
        self.type_box.clear()
        self.type_box.addItem(self.tr("All types"), "")
        for name, number in sorted(counts.items()):
            self.type_box.addItem(f"{name} ({number})", name)
        self.type_box.setCurrentIndex(max(0, self.type_box.findData(chosen)))
        self.type_box.blockSignals(False)

    def clear(self) -> None:
        """Let everything through; nothing is reported."""
        self.blockSignals(True)
        self.text.clear()
        self.type_box.setCurrentIndex(0)
        self.mode_box.setCurrentIndex(0)
        self.surprising.setChecked(False)
        self.blockSignals(False)

    def focus(self) -> None:
        """Put the cursor into the text."""
        self.text.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.text.selectAll()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = event.size().width() >= _BESIDE_EACH_OTHER * self.fontMetrics().averageCharWidth()
        direction = QBoxLayout.Direction
        self._layout.setDirection(direction.LeftToRight if wide else direction.TopToBottom)
