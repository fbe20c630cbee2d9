"""Tick boxes for the steps better than rounding, with what each did to the selected layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QCheckBox, QGridLayout, QGroupBox, QLabel, QMenu, QWidget

from qgui.core import decisions, legality
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import STEPS, Step
from qgui.ui import formatting
from qgui.ui.document import Document
from qgui.ui.step_texts import step_label, step_sentence


class StepBoxes(QGroupBox):
    """Shows and decides the steps better than rounding for one or several layers.

    Args:
        document: Whose layers.
        parent: Qt parent.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTitle(self.tr("Better than rounding"))
        self.setObjectName("stepBoxes")
        self._document = document
        self._layers: list[Layer] = []
        self.boxes: dict[Step, QCheckBox] = {}
        self.notes: dict[Step, QLabel] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 6, 0, 0)
        grid.setVerticalSpacing(4)
        for row, step in enumerate(STEPS):
            box = QCheckBox(step_label(step), self)
            box.setObjectName(f"step_{step}")
            box.setAccessibleName(step_label(step))
            box.clicked.connect(partial(self._on_clicked, step))
            note = self._note_label(f"stepNote_{step}")
            note.setIndent(box.fontMetrics().averageCharWidth() * 3)
            grid.addWidget(box, 2 * row, 0)
            grid.addWidget(note, 2 * row + 1, 0)
            self.boxes[step], self.notes[step] = box, note
        self.reason = self._note_label("stepReason")
        grid.addWidget(self.reason, 2 * len(STEPS), 0)

    def _note_label(self, name: str) -> QLabel:
        label = QLabel(self)
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setProperty("faint", True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def show_layers(self, layers: Sequence[Layer], kinds: Sequence[Layer]) -> None:
        """Show the steps of layers that carry rules.

        Args:
            layers: The layers.
            kinds: One of each kind among them.
        """
        self._layers = list(layers)
        recipe = self._document.recipe
        rules = [recipe.rule(layer.name) for layer in kinds]
        reasons = [legality.step_reasons(layer, rule, recipe.backend) for layer, rule in zip(kinds, rules, strict=True)]
        against = {next(iter(found.values())) for found in reasons if len(set(found.values())) == 1}
        shared = against.pop() if len(against) == 1 and len(layers) == 1 else ""
        self.reason.setText(shared)
        self.reason.setVisible(bool(shared))
        for step, box in self.boxes.items():
            why = [found[step] for found in reasons]
            ticked = {bool(getattr(rule, step)) for rule, no in zip(rules, why, strict=True) if not no}
            box.setEnabled(bool(ticked))
            box.setTristate(len(ticked) > 1)
            states = Qt.CheckState
            box.setCheckState(
                states.PartiallyChecked if len(ticked) > 1 else states.Checked if True in ticked else states.Unchecked
            )
            reason = why[0] if why and not ticked else ""
            box.setToolTip(reason or step_sentence(step))
            note = "" if shared else reason or self._note(step)
            self.notes[step].setText(note)
            self.notes[step].setVisible(bool(note))

    def _note(self, step: Step) -> str:
        """Return what a step did to the layer, or what it still lacks."""
        if len(self._layers) != 1:
            return ""
        layer = self._layers[0]
        if not getattr(self._document.recipe.rule(layer.name), step):
            return ""
        if step == "equalize":
            partners = [name for pair in layer.equalizable for name in pair if name != layer.name]
            if not any(self._document.recipe.rule(name).equalize for name in partners):
                return self.tr("Takes effect once {layers} is ticked too.").format(
                    layers=self.tr(" or ").join(partners)
                )
        outcome = self._document.outcome(layer.name)
        found = next((effect for effect in outcome.effects if effect.step == step), None) if outcome else None
        if found is None:
            return self.tr("Quantize to see its effect.")
        sentence = self.tr("SQNR {before} → {after}")
        if self._document.result_stale:
            sentence = self.tr("SQNR {before} → {after}, before the last decisions")
        return sentence.format(before=formatting.decibel(found.before_db), after=formatting.decibel(found.after_db))

    def _on_clicked(self, step: Step) -> None:
        wanted = self.boxes[step].checkState() != Qt.CheckState.Unchecked
        decide_step(self._document, step, wanted, self._layers)


def decide_step(document: Document, step: Step, wanted: bool, layers: Sequence[Layer]) -> None:
    """Give a step to all of the layers that may have it, or take it from all, as one undo step."""
    backend = document.recipe.backend
    able = [layer.name for layer in layers if _may(document, layer, step)]
    without = say("Without {step}").format(step=step_label(step))
    text = step_label(step) if wanted else without
    document.decide(text, able, decisions.step_edit(step, wanted, backend))


def _may(document: Document, layer: Layer, step: Step) -> bool:
    recipe = document.recipe
    return not legality.step_reasons(layer, recipe.rule(layer.name), recipe.backend)[step]


class StepMenu(QMenu):
    """The same steps for all layers at once.

    Args:
        document: Whose layers.
        parent: Qt parent.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTitle(self.tr("&Better than rounding"))
        self.setObjectName("stepMenu")
        self.setToolTipsVisible(True)
        self._document = document
        self.steps: dict[Step, QAction] = {}
        for step in STEPS:
            action = self.addAction(step_label(step))
            action.setObjectName(f"stepAll_{step}")
            action.setCheckable(True)
            action.triggered.connect(partial(self._on_triggered, step))
            self.steps[step] = action
        self.aboutToShow.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Tick the steps that all layers have which may, and say why where none may."""
        model, recipe = self._document.model, self._document.recipe
        heads = [layer for layer in model.layers if layer.head] if model else []
        for step, action in self.steps.items():
            able = [layer for layer in heads if _may(self._document, layer, step)]
            action.setEnabled(bool(able))
            action.setChecked(bool(able) and all(getattr(recipe.rule(layer.name), step) for layer in able))
            tip = self.tr("{sentence} For all layers that may have it.").format(sentence=step_sentence(step))
            nothing = self.tr("Open a model first.") if model is None else self.tr("No layer may have it as it is now.")
            action.setToolTip(tip if able else nothing)

    def _on_triggered(self, step: Step) -> None:
        model, wanted = self._document.model, self.steps[step].isChecked()
        if model is not None:
            decide_step(self._document, step, wanted, [layer for layer in model.layers if layer.head])
        self.refresh()
