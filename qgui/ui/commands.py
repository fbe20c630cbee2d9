"""The undo steps. Every change of the recipe that a person makes is one of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtGui import QUndoCommand

from qgui.core.recipe import DataReference, PatternRule, Recipe, Rule
from qgui.core.training import Training

if TYPE_CHECKING:
    from qgui.ui.document import Document

#: Qt merges commands with the same id only; -1 means never.
_MERGEABLE = 1
_MERGEABLE_TRAINING = 2
_SINGLE = -1


class RuleOrigins(NamedTuple):
    """Where the rules of a recipe come from: its fields of the same names."""

    patterns: tuple[PatternRule, ...]
    own: frozenset[str] | None
    underneath: dict[str, Rule]

    @classmethod
    def of(cls, recipe: Recipe) -> RuleOrigins:
        """Return where the rules of a recipe come from."""
        return cls(recipe.patterns, recipe.own, recipe.underneath)


class ChangeRecipe(QUndoCommand):
    """Replace rules of layers, patterns and the backend.

    Args:
        document: What is changed.
        text: What the person did, as shown in the Edit menu.
        after: The recipe with the new rules, patterns and backend; what else it holds is not taken over.
        merge_key: Successive steps with one key become one step (dragging, turning a spin box).
    """

    def __init__(
        self,
        document: Document,
        text: str,
        after: Recipe,
        merge_key: str = "",
    ) -> None:
        super().__init__(text)
        self._document = document
        before = document.recipe
        moved = {name for name in {**before.rules, **after.rules} if before.rules.get(name) != after.rules.get(name)}
        moved |= before.own_layers ^ after.own_layers | before.underneath.keys() ^ after.underneath.keys()
        if before.patterns != after.patterns:
            moved |= before.underneath.keys() | after.underneath.keys()
        names = sorted(moved & (before.rules.keys() | after.rules.keys()))
        self._after = {name: after.rules.get(name) for name in names}
        self._before = {name: before.rules.get(name) for name in names}
        self._origins_before, self._origins_after = RuleOrigins.of(before), RuleOrigins.of(after)
        self._backend_before, self._backend_after = before.backend, after.backend
        self._merge_key = merge_key

    def id(self) -> int:
        return _MERGEABLE if self._merge_key else _SINGLE

    def redo(self) -> None:
        self._document.swap(self._after, self._origins_after, self._backend_after)

    def undo(self) -> None:
        self._document.swap(self._before, self._origins_before, self._backend_before)

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, ChangeRecipe) or other._merge_key != self._merge_key:
            return False
        if other._after.keys() != self._after.keys() or other._backend_after != self._backend_after:
            return False
        self._after, self._origins_after = other._after, other._origins_after
        if self._after == self._before:
            self.undo()
            self.setObsolete(True)
        return True


class ChangeCalibration(QUndoCommand):
    """Leave samples out of calibration or take them back, or agree to ranges from the finite values only.

    Args:
        document: What is changed.
        text: What the person did, as shown in the Edit menu.
        after: The data reference with the new choices.
    """

    def __init__(self, document: Document, text: str, after: DataReference) -> None:
        super().__init__(text)
        self._document = document
        self._before = document.recipe.data
        self._after = after

    def redo(self) -> None:
        self._document.swap_calibration(self._after)

    def undo(self) -> None:
        self._document.swap_calibration(self._before)


class ChangeTraining(QUndoCommand):
    """Replace the training settings.

    Args:
        document: What is changed.
        text: What the person did, as shown in the Edit menu.
        training: The new settings.
        merge_key: Successive steps with one key become one step.
    """

    def __init__(self, document: Document, text: str, training: Training, merge_key: str = "") -> None:
        super().__init__(text)
        self._document = document
        self._before = document.recipe.training
        self._after = training
        self._merge_key = merge_key

    def id(self) -> int:
        return _MERGEABLE_TRAINING if self._merge_key else _SINGLE

    def redo(self) -> None:
        self._document.swap_training(self._after)

    def undo(self) -> None:
        self._document.swap_training(self._before)

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, ChangeTraining) or other._merge_key != self._merge_key:
            return False
        self._after = other._after
        self.setObsolete(self._after == self._before)
        return True
