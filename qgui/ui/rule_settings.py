"""A form for what a rule by pattern sets: one box for each setting, which may be left as it is."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from qgui.core import patterns
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Mode, Observer, PatternRule, observer_name
from qgui.ui.choice_box import ChoiceBox
from qgui.ui.choices import Choice, scheme_label


class RuleSettings(QWidget):
    """Shows and changes the settings of a rule by pattern.

    Signals:
        changed: The rule with what the person chose.

    Args:
        parent: Qt parent.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rule = PatternRule("")
        self.setObjectName("ruleSettings")
        self.boxes: dict[str, ChoiceBox] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        for place, (key, title, tip) in enumerate(self._titles()):
            box = ChoiceBox(f"ruleSetting_{key}", title, tip, self)
            box.chosen.connect(lambda value, key=key: self._choose(key, value))
            label = QLabel(title, self)
            label.setBuddy(box)
            row, side = divmod(place, 2)
            grid.addWidget(label, row, 2 * side)
            grid.addWidget(box, row, 2 * side + 1)
            self.boxes[key] = box
        self.show_rule(None)

    def _titles(self) -> tuple[tuple[str, str, str], ...]:
        return (
            ("mode", self.tr("Mode"), self.tr("How the matched layers compute.")),
            ("observer", self.tr("Observer"), self.tr("What chooses the ranges of their outputs.")),
            ("weight_qscheme", self.tr("Weight qscheme"), self.tr("One scale per output channel, or one per tensor.")),
            ("weight_observer", self.tr("Weight observer"), self.tr("What chooses the ranges of their weights.")),
            ("weight_dtype", self.tr("Weight dtype"), self.tr("Type of their stored weights.")),
            ("activation_qscheme", self.tr("Output qscheme"), self.tr("Whether their ranges are mirrored at zero.")),
            ("equalize", self.tr("Equalization"), self.tr("Whether their channels may be scaled against neighbours'.")),
            ("correct_bias", self.tr("Bias correction"), self.tr("Whether their biases take up the mean error.")),
            ("adaround", self.tr("AdaRound"), self.tr("Whether their weights learn to be rounded up or down.")),
        )

    def show_rule(self, rule: PatternRule | None) -> None:
        """Show a rule; nothing can be chosen where there is none."""
        self._rule = rule or PatternRule("")
        self.setEnabled(rule is not None)
        for key, box in self.boxes.items():
            box.set_choices(self._choices(key), getattr(self._rule, key))

    def _choices(self, key: str) -> list[Choice]:
        choices = [Choice(None, self.tr("as it is")), *self._values(key)]
        present = getattr(self._rule, key)
        if all(choice.value != present for choice in choices):
            alone = PatternRule("", **{key: present})
            choices.append(Choice(present, patterns.settings_line(alone).partition("=")[2]))
        return choices

    def _values(self, key: str) -> list[Choice]:
        match key:
            case "mode":
                return [Choice(mode, mode.value) for mode in Mode]
            case "observer" | "weight_observer":
                return [Choice(Observer(kind), observer_name(kind)) for kind in AUTOMATIC_OBSERVERS]
            case "weight_qscheme":
                return [Choice(name, scheme_label(name)) for name in ("per_channel_symmetric", "per_tensor_symmetric")]
            case "activation_qscheme":
                return [Choice(name, scheme_label(name)) for name in ("per_tensor_affine", "per_tensor_symmetric")]
            case "weight_dtype":
                return [Choice(name, name) for name in ("qint8", "float16")]
        return [Choice(True, self.tr("on")), Choice(False, self.tr("off"))]

    def _choose(self, key: str, value: object) -> None:
        self._rule = msgspec.structs.replace(self._rule, **{key: value})
        self.changed.emit(self._rule)
