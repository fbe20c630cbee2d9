"""The steps of the whole job in a row: which are done, which is next, which have to be done again."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from qgui.ui.actions import ActionId, Actions
from qgui.ui.steps import STEPS, StepNow, StepState, state_word, step_title
from qgui.ui.theme import Theme


class StepStrip(QWidget):
    """A button for each step; a press does the step. Icon, colour and, where it is stale, a word tell its state.

    Signals:
        retold: The steps are shown otherwise than before.

    Args:
        actions: The window's actions, which do the steps.
        theme: For the icons.
        parent: Qt parent.
    """

    retold = Signal()

    def __init__(self, actions: Actions, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions, self._theme = actions, theme
        self._brief = False
        self._shown: dict[ActionId, StepNow] = {}
        self.buttons: dict[ActionId, QToolButton] = {}
        self.setObjectName("workSteps")
        self.setAccessibleName(self.tr("Steps"))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for action in STEPS:
            if self.buttons:
                row.addWidget(self._arrow())
            self.buttons[action] = button = self._button(action)
            row.addWidget(button)
            actions[action].changed.connect(lambda action=action: self._draw(action))
        theme.changed.connect(self._draw_all)

    def _arrow(self) -> QLabel:
        arrow = QLabel("›", self)
        arrow.setProperty("faint", True)
        arrow.setFixedWidth(arrow.fontMetrics().horizontalAdvance(arrow.text()) + 2)
        return arrow

    def _button(self, action: ActionId) -> QToolButton:
        button = QToolButton(self)
        button.setObjectName(f"workStep_{action.value}")
        button.setText(step_title(action))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setAutoRaise(True)
        button.clicked.connect(self._actions[action].trigger)
        return button

    def show_steps(self, steps: Sequence[StepNow]) -> None:
        """Show how far each step is."""
        before, self._shown = self._shown, {step.action: step for step in steps}
        self._draw_all()
        if self._shown != before:
            self.retold.emit()

    def set_brief(self, brief: bool) -> None:
        """Leave the words of the states to icons and tooltips where there is little room."""
        if brief is not self._brief:
            self._brief = brief
            self._draw_all()

    def _draw_all(self) -> None:
        for action in self._shown:
            self._draw(action)

    def _draw(self, action: ActionId) -> None:
        """Show a step as it is, and whether its action is possible now."""
        step = self._shown.get(action)
        if step is None:
            return
        button, possible = self.buttons[action], self._actions[action].isEnabled()
        word, tip = state_word(step.state), self._actions[action].toolTip()
        title = step_title(action)
        button.setText(self.tr("{step}: {state}").format(step=title, state=word) if self._tells(step) else title)
        button.setEnabled(possible)
        button.setAccessibleName(self.tr("{step}: {state}").format(step=title, state=word))
        button.setToolTip(" ".join(filter(None, (step.sentence, tip))))
        button.setAccessibleDescription(button.toolTip())
        emphasized = step.following and possible
        if bool(button.property("nextStep")) != emphasized:
            button.setProperty("nextStep", emphasized)
            button.style().unpolish(button)
            button.style().polish(button)
        button.setIcon(self._theme.icon(f"step-{step.state.value}", self._colour(step, emphasized)))

    def _tells(self, step: StepNow) -> bool:
        """Whether the state stands on the button as a word: only what was done and is not right any more."""
        return step.state is StepState.STALE and not self._brief

    def _colour(self, step: StepNow, emphasized: bool) -> str:
        colours = self._theme.colours
        if emphasized:
            return colours.on_accent
        return {
            StepState.DONE: colours.good,
            StepState.STALE: colours.bad,
            StepState.NEXT: colours.accent,
            StepState.WAITING: colours.faint,
            StepState.UNNEEDED: colours.faint,
        }[step.state]
