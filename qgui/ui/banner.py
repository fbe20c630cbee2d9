"""A strip with a sentence and, where there is something to do about it, a button."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget


class Banner(QFrame):
    """A hint or a warning inside a panel.

    Args:
        name: Object name.
        kind: `hint` or `warning`.
        parent: Qt parent.
    """

    def __init__(self, name: str, kind: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setProperty("banner", kind)
        self.label = QLabel(self)
        self.label.setObjectName(f"{name}Text")
        self.label.setWordWrap(True)
        policy = self.label.sizePolicy()
        policy.setHorizontalPolicy(QSizePolicy.Policy.Expanding)
        self.label.setSizePolicy(policy)
        self.button = QPushButton(self)
        self.button.setObjectName(f"{name}Button")
        self.button.hide()
        self._action: Callable[[], object] | None = None
        self.button.clicked.connect(self._on_clicked)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 5, 8, 5)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.button)
        self._row = layout

    def add_button(self, button: QPushButton) -> None:
        """Add another button at the end."""
        self._row.addWidget(button)

    def tell(self, text: str, button: str = "", tool_tip: str = "", action: Callable[[], object] | None = None) -> None:
        """Show a sentence, with a button that does something about it; hide where the sentence is empty."""
        self.label.setText(text)
        self.setAccessibleName(text)
        self.button.setText(button)
        self.button.setAccessibleName(button)
        self.button.setToolTip(tool_tip)
        self.button.setVisible(bool(button))
        self._action = action
        self.setVisible(bool(text))

    def _on_clicked(self) -> None:
        if self._action is not None:
            self._action()
