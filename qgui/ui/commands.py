"""The undo steps. Every change of the recipe that a person makes is one of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PySide6.QtGui import QUndoCommand

from qgui.core.recipe import DataReference, Rule
from qgui.core.training import Training

if TYPE_CHECKING:
    from qgui.ui.document import Document

#: Qt merges commands with the same id only; -1 means never.
_MERGEABLE = 1
_MERGEABLE_TRAINING = 2
_SINGLE = -1


class ChangeRecipe(QUndoCommand):
    """Replace the rules of some layers, and the backend where one is given.

    Args:
        document: What is changed.
        text: What the person did, as shown in the Edit menu.
        rules: Layer path to its new rule.
        backend: The new quantized engine, None to keep it.
        merge_key: Successive steps with one key become one step (dragging, turning a spin box).
    """

    def __init__(
        self,
        document: Document,
        text: str,
        rules: Mapping[str, Rule],
        backend: str | None = None,
        merge_key: str = "",
    ) -> None:
        super().__init__(text)
        self._document = document
        self._after: dict[str, Rule | None] = dict(rules)
        self._before = {name: document.recipe.rules.get(name) for name in rules}
        self._backend_before = document.recipe.backend
        self._backend_after = backend or document.recipe.backend
        self._merge_key = merge_key

    def id(self) -> int:
        return _MERGEABLE if self._merge_key else _SINGLE

    def redo(self) -> None:
        self._document.swap(self._after, self._backend_after)

    def undo(self) -> None:
        self._document.swap(self._before, self._backend_before)

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, ChangeRecipe) or other._merge_key != self._merge_key:
            return False
        if other._after.keys() != self._after.keys() or other._backend_after != self._backend_after:
            return False
        self._after = other._after
        self.setObsolete(self._after == self._before)
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
