"""A number with what it means above and what it came from below."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget


class Card(QFrame):
    """A frame with a caption, a large number and a sentence.

    Args:
        name: Object name.
        caption: What the number is.
        tool_tip: One sentence on how it was found.
        parent: Qt parent.
    """

    def __init__(self, name: str, caption: str, tool_tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setProperty("card", True)
        self.setToolTip(tool_tip)
        self.caption = QLabel(caption, self)
        self.caption.setProperty("faint", True)
        self.number = QLabel(self)
        self.number.setObjectName(f"{name}Number")
        font = self.number.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        font.setBold(True)
        self.number.setFont(font)
        self.text = QLabel(self)
        self.text.setObjectName(f"{name}Text")
        self.text.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(2)
        for label in (self.caption, self.number, self.text):
            layout.addWidget(label)
        layout.addStretch(1)

    def show_number(self, number: str, text: str, verdict: str = "") -> None:
        """Show a number and its sentence.

        Args:
            number: The number with its unit.
            text: What it came from.
            verdict: `good`, `bad` or nothing.
        """
        self.number.setText(number)
        for name in ("good", "bad"):
            self.number.setProperty(name, name == verdict)
        self.number.style().unpolish(self.number)
        self.number.style().polish(self.number)
        self.text.setText(text)
        self.setAccessibleName(f"{self.caption.text()}: {number}. {text}")
