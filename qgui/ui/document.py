"""What is open: the recipe with its undo history, the model, the data, and what the jobs found out.

The recipe is an immutable value. A panel never edits it: it asks the document, which pushes an undo step, swaps the
recipe and says which layers changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from qgui.core import advice, decisions, fitting, recipe_file
from qgui.core.fitting import Fitted, Misfit, fitted
from qgui.core.layers import Layer, ModelDescription, Tensor
from qgui.core.legality import needs_reduced_range
from qgui.core.recipe import DataReference, Mode, ModelReference, PatternRule, Recipe, Rule
from qgui.core.results import (
    DataDescription,
    MachineDescription,
)
from qgui.core.training import Training
from qgui.ui.commands import ChangeCalibration, ChangeRecipe, ChangeTraining, RuleOrigins
from qgui.ui.findings import Findings

if TYPE_CHECKING:
    pass

SUFFIX = ".qgui"


@dataclass(frozen=True)
class RecipeChange:
    """What a swap of the recipe changed.

    Attributes:
        layers: Paths of the layers whose rule differs.
        backend: Whether the backend differs.
    """

    layers: tuple[str, ...]
    backend: bool


class Document(Findings):
    """The open model with the decisions about it, and with what was found out about them.

    Signals:
        recipe_changed: A `RecipeChange`; rules or backend differ.
        model_changed: Another model is open, or none.
        model_described: The same model is described anew (shapes became known).
        data_changed: Other data is open, or none.
        file_changed: Path or modified mark differ.
        notice: A sentence about something that was decided differently than asked.
    """

    recipe_changed = Signal(object)
    model_changed = Signal()
    model_described = Signal()
    data_changed = Signal()
    file_changed = Signal()
    notice = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.undo_stack = QUndoStack(self)
        self.machine: MachineDescription | None = None
        self.data: DataDescription | None = None
        self.path: Path | None = None
        self._layers: dict[str, Layer] = {}
        self._tensors: dict[str, Tensor] = {}
        self._other_changes = False
        self.undo_stack.cleanChanged.connect(self.file_changed)

    # What is open

    @property
    def title(self) -> str:
        """The name to show: that of the file, else that of the model."""
        if self.path is not None:
            return self.path.name
        return (self.model.title if self.model else self.tr("untitled")) + SUFFIX

    @property
    def modified(self) -> bool:
        """Whether there are decisions that no file holds."""
        return self.model is not None and (self._other_changes or not self.undo_stack.isClean())

    @property
    def decided(self) -> bool:
        """Whether the person decided anything beyond what was advised, or came back from a crash."""
        return self.modified or self.path is not None

    def layer(self, name: str) -> Layer | None:
        """Return a layer of the open model, None where there is no such."""
        return self._layers.get(name)

    def tensor_of(self, layer: Layer) -> Tensor | None:
        """Return the tensor that holds a layer's output, None where it has none."""
        return self._tensors.get(layer.tensor)

    def owner_of(self, layer: Layer) -> Tensor | None:
        """Return the tensor whose setting decides the range of a layer's output, None where it has no tensor."""
        tensor = self.tensor_of(layer)
        return self._tensors.get(tensor.owner, tensor) if tensor is not None else None

    def range_owners(self, names: Iterable[str]) -> list[str]:
        """Return the layers whose settings decide the ranges of the named layers' outputs, each once."""
        found: dict[str, None] = {}
        for name in names:
            layer = self._layers.get(name)
            owner = self.owner_of(layer) if layer is not None else None
            found[owner.layer if owner is not None else name] = None
        return list(found)

    def set_machine(self, machine: MachineDescription) -> None:
        """Take note of what the engine's machine can do."""
        self.machine = machine
        if self.model is None:
            self._set_recipe(msgspec.structs.replace(self.recipe, backend=machine.default_backend))

    def reduce_range(self, backend: str) -> bool:
        """Whether activations need to be limited to seven bits with a backend on this CPU."""
        return self.machine is not None and self.machine.reduce_range.get(backend, False)

    def open_model(
        self, model: ModelDescription, reference: ModelReference, data: DataReference, backend: str = ""
    ) -> None:
        """Begin with a model and the rules that are advised for it.

        Args:
            model: The model.
            reference: Where it comes from.
            data: Where the data comes from.
            backend: The backend to take where this machine has it; empty for the one that is advised.
        """
        if self.machine is None or backend not in self.machine.backends:
            backend = advice.advised_backend(model, self.machine)[0] if self.machine else self.recipe.backend
        rules = self._advised(model, backend)
        begun = Recipe(backend=backend, model=reference, data=data, rules=rules, own=frozenset())
        self._begin(model, begun, None)

    def open_recipe(self, model: ModelDescription, recipe: Recipe, path: Path | None) -> tuple[Misfit, ...]:
        """Begin with a model and the rules of a file; return what of them does not fit the model or the machine."""
        found, misfits = self._taken(model, recipe)
        self._begin(model, found.recipe, path)
        if found.recipe.backend != recipe.backend or found.misfits:
            self._other_changes = True
            self.file_changed.emit()
        return misfits

    def apply_recipe(self, recipe: Recipe) -> tuple[Misfit, ...]:
        """Take rules, patterns, backend and training of a recipe for the open model, as one undo step.

        Model and data stay, with their statistics. Returns what does not fit the model or the machine.
        """
        if self.model is None:
            return ()
        found, misfits = self._taken(self.model, recipe)
        text = self.tr("Apply recipe")
        self.undo_stack.beginMacro(text)
        self.undo_stack.push(ChangeRecipe(self, text, found.recipe))
        self.change_training(text, recipe.training)
        self.undo_stack.endMacro()
        return misfits

    def _taken(self, model: ModelDescription, recipe: Recipe) -> tuple[Fitted, tuple[Misfit, ...]]:
        backend, misfits = recipe.backend, []
        if self.machine is not None and backend not in self.machine.backends:
            backend = self.machine.default_backend
            why = self.tr("this machine does not have the backend; {backend} is taken instead.")
            misfits.append(Misfit(recipe.backend, why.format(backend=backend)))
        given = msgspec.structs.replace(recipe, backend=backend)
        given = fitting.with_own_found(given, self._advised(model, backend))
        found = fitted(given, model.layers, self.reduce_range(backend))
        return found, (*misfits, *found.told)

    def _advised(self, model: ModelDescription, backend: str) -> dict[str, Rule]:
        return advice.advised_rules(model, advice.advised_mode(model)[0], backend, self.reduce_range(backend))

    def describe_model(self, model: ModelDescription) -> None:
        """Take a fuller description of the open model, which the data's inputs made possible.

        Where a sample shows layers that were not known, they begin with the rules advised for them.
        """
        bare = self.recipe.without_patterns()
        advised = self._advised(model, bare.backend)
        known = {name: bare.rules.get(name, rule) for name, rule in advised.items()}
        legal = self._fitted(msgspec.structs.replace(bare, rules=known), model).recipe
        if legal.rules.keys() != self.recipe.rules.keys():
            self._set_recipe(legal)
            self.undo_stack.clear()
            self.file_changed.emit()
        self._set_model(model)
        self.model_described.emit()

    def close_model(self) -> None:
        """Have nothing open."""
        self._set_model(None)
        self._forget_data()
        backend = self.machine.default_backend if self.machine else self.recipe.backend
        self._set_recipe(Recipe(backend=backend))
        self._begin_history(None)
        self.model_changed.emit()

    def open_data(self, data: DataDescription, reference: DataReference) -> None:
        """Take opened data; statistics and results of other data are void."""
        same = reference == self.recipe.data
        self.data = data
        self._drop_statistics()
        if not same:
            self._set_recipe(msgspec.structs.replace(self.recipe, data=reference))
            self._other_changes = self._other_changes or self.path is not None
        self.data_changed.emit()
        self.statistics_changed.emit()
        self.results_changed.emit()
        self.file_changed.emit()

    # Decisions

    def decide(self, text: str, names: Iterable[str], edit: decisions.Edit, merge_key: str = "") -> None:
        """Apply an edit to layers as one undo step, and say which layers cannot have it."""
        if self.model is None:
            return
        decision = decisions.decide(self.model, self.recipe, names, edit)
        if decision.rules:
            self.undo_stack.push(ChangeRecipe(self, text, self.recipe.with_rules(decision.rules), merge_key))
        if decision.skipped:
            first, reason = next(iter(decision.skipped.items()))
            others = len(decision.skipped) - 1
            if others:
                sentence = self.tr("{count} layers stay as they are. {layer}: {reason}")
                self.notice.emit(sentence.format(count=others + 1, layer=first, reason=reason))
            else:
                self.notice.emit(self.tr("{layer} stays as it is: {reason}").format(layer=first, reason=reason))

    def change_training(self, text: str, training: Training, merge_key: str = "") -> None:
        """Choose how layers are trained, as one undo step."""
        if training != self.recipe.training:
            self.undo_stack.push(ChangeTraining(self, text, training, merge_key))

    def swap_training(self, training: Training) -> None:
        """Replace the training settings. Only undo steps call this."""
        self._set_recipe(msgspec.structs.replace(self.recipe, training=training))
        self.recipe_changed.emit(RecipeChange((), False))
        self.results_changed.emit()

    @property
    def trains(self) -> bool:
        """Whether a layer is to be trained."""
        return any(rule.mode is Mode.QAT for rule in self.recipe.rules.values())

    def change_backend(self, backend: str) -> None:
        """Choose the quantized engine, as one undo step with the rules that it makes necessary."""
        if backend == self.recipe.backend:
            return
        bare = self.recipe.without_patterns()
        widths = self._reduced_ranges(bare, backend)
        wished = msgspec.structs.replace(bare, backend=backend, rules={**bare.rules, **widths})
        found = self._fitted(wished)
        self.undo_stack.push(ChangeRecipe(self, self.tr("Backend {name}").format(name=backend), found.recipe))
        if found.misfits:
            sentence = self.tr("{backend} does not allow everything that was decided; changed: {layers}")
            self.notice.emit(sentence.format(backend=backend, layers=", ".join(found.changed)))
        elif widths:
            sentence = self.tr(
                "{backend}: activations now with seven bits (reduce range): {seven}, with eight: {eight}."
            )
            seven = sum(rule.activation.reduce_range for rule in widths.values())
            self.notice.emit(sentence.format(backend=backend, seven=seven, eight=len(widths) - seven))

    def _reduced_ranges(self, recipe: Recipe, backend: str) -> dict[str, Rule]:
        """Return the rules whose reduce range follows from the backend and differs with the new one."""
        rules = {}
        for name, rule in recipe.rules.items():
            layer = self._layers.get(name)
            if layer is None:
                continue
            before, after = (
                self.reduce_range(engine) or needs_reduced_range(layer, engine)
                for engine in (self.recipe.backend, backend)
            )
            if before != after and rule.activation.reduce_range == before:
                activation = msgspec.structs.replace(rule.activation, reduce_range=after)
                rules[name] = msgspec.structs.replace(rule, activation=activation)
        return rules

    def leave_out(self, sample: int) -> None:
        """Leave a sample out of calibration, as one undo step; the last one stays."""
        data = self.recipe.data
        if sample in data.excluded:
            return
        left = set(self.ranges.record.samples) - {*data.excluded, sample} if self.ranges is not None else {-1}
        if not left:
            sentence = self.tr("Sample {sample} stays: at least one sample has to be left for calibration.")
            self.notice.emit(sentence.format(sample=sample))
            return
        text = self.tr("Leave out sample {sample}").format(sample=sample)
        self._decide_calibration(text, excluded=tuple(sorted({*data.excluded, sample})))

    def take_back(self, sample: int) -> None:
        """Let a sample that was left out take part in calibration again, as one undo step."""
        excluded = self.recipe.data.excluded
        if sample in excluded:
            text = self.tr("Take back sample {sample}").format(sample=sample)
            self._decide_calibration(text, excluded=tuple(other for other in excluded if other != sample))

    def use_finite_only(self, finite_only: bool = True) -> None:
        """Agree that ranges come from the finite values only, or take that back, as one undo step."""
        if finite_only != self.recipe.data.finite_only:
            text = self.tr("Finite values only") if finite_only else self.tr("All values")
            self._decide_calibration(text, finite_only=finite_only)

    def _decide_calibration(self, text: str, **choices: tuple[int, ...] | bool) -> None:
        after = msgspec.structs.replace(self.recipe.data, **choices)
        self.undo_stack.push(ChangeCalibration(self, text, after))

    def swap_calibration(self, data: DataReference) -> None:
        """Replace the choices about calibration, where they were made for this data. Only undo steps call this."""
        now = self.recipe.data
        choices = {"excluded": data.excluded, "finite_only": data.finite_only}
        wished = msgspec.structs.replace(now, **choices)
        if wished != data:
            return
        self._set_recipe(msgspec.structs.replace(self.recipe, data=wished))
        self.recipe_changed.emit(RecipeChange((), False))
        self.results_changed.emit()

    def change_patterns(self, patterns: tuple[PatternRule, ...]) -> None:
        """Decide by patterns, as one undo step with all rules that follow from them."""
        if patterns != self.recipe.patterns:
            after = self.with_patterns(patterns).recipe
            self.undo_stack.push(ChangeRecipe(self, self.tr("Rules by pattern"), after))

    def with_patterns(self, patterns: tuple[PatternRule, ...]) -> Fitted:
        """Return what patterns would make of the open model."""
        return self._fitted(msgspec.structs.replace(self.recipe, patterns=patterns))

    def give_back(self, names: Iterable[str]) -> None:
        """Take back what was decided for single layers, as one undo step: patterns hold, else what is advised."""
        if self.model is None:
            return
        heads = [layer.name for layer in decisions.heads(self.model, names)]
        advised = self._advised(self.model, self.recipe.backend)
        after = self._fitted(fitting.given_back(self.recipe, heads, advised)).recipe
        if after != self.recipe:
            text = self.tr("Follow rules by pattern") if self.recipe.patterns else self.tr("As advised")
            self.undo_stack.push(ChangeRecipe(self, text, after))

    def _fitted(self, recipe: Recipe, model: ModelDescription | None = None) -> Fitted:
        model = model or self.model
        return fitted(recipe, model.layers if model is not None else (), self.reduce_range(recipe.backend))

    def swap(self, rules: Mapping[str, Rule | None], origins: RuleOrigins, backend: str) -> None:
        """Replace rules (None removes one), where they come from, and the backend. Only undo steps call this."""
        merged = dict(self.recipe.rules)
        for name, rule in rules.items():
            if rule is None:
                merged.pop(name, None)
            else:
                merged[name] = rule
        other_backend = backend != self.recipe.backend
        self._set_recipe(msgspec.structs.replace(self.recipe, rules=merged, backend=backend, **origins._asdict()))
        self.recipe_changed.emit(RecipeChange(tuple(rules), other_backend))
        self.results_changed.emit()

    # Files

    def save(self, path: Path) -> None:
        """Write the recipe to a file, which becomes the document's.

        Raises:
            QguiError: The file cannot be written.
        """
        recipe_file.save(self.recipe, path)
        self.path = path
        self._other_changes = False
        self.undo_stack.setClean()
        self.file_changed.emit()

    def mark_modified(self) -> None:
        """Count the decisions as unsaved, as after a recovery."""
        self._other_changes = True
        self.file_changed.emit()

    def _begin(self, model: ModelDescription, recipe: Recipe, path: Path | None) -> None:
        self._set_model(model)
        self._forget_data()
        self._set_recipe(recipe)
        self._begin_history(path)
        self.model_changed.emit()

    def _set_model(self, model: ModelDescription | None) -> None:
        self.model = model
        self._layers = {layer.name: layer for layer in model.layers} if model else {}
        self._tensors = {tensor.name: tensor for tensor in model.tensors} if model else {}

    def _begin_history(self, path: Path | None) -> None:
        self.path = path
        self._other_changes = False
        self.undo_stack.clear()
        self.file_changed.emit()

    def _forget_data(self) -> None:
        self.data = None
        self._drop_statistics()
        self.data_changed.emit()
        self.statistics_changed.emit()
        self.results_changed.emit()
