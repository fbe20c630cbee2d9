"""What can be decided for the selected layers, as actions and menus: what none of them may have says why."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from qgui.core import decisions
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Mode, WeightDtype, WeightScheme, mode_name, observer_name
from qgui.ui.choices import mode_sentence, observer_sentence, scheme_label
from qgui.ui.delegates import MODE_MARKS
from qgui.ui.document import Document

_WEIGHT_SCHEMES: tuple[WeightScheme, ...] = ("per_channel_symmetric", "per_tensor_symmetric")
_WEIGHT_DTYPES: tuple[WeightDtype, ...] = ("qint8", "float16")


class LayerMenu(QObject):
    """Decides for all selected layers at once.

    Signals:
        matching_wanted: The person wants to select all layers that match the filter.
        same_type_wanted: The person wants to select all layers of the type of the current one.

    Args:
        document: Whose layers.
        parent: Owns the actions; their shortcuts work in its window.
    """

    matching_wanted = Signal()
    same_type_wanted = Signal()

    def __init__(self, document: Document, parent: QWidget) -> None:
        super().__init__(parent)
        self._document = document
        self._selected: tuple[str, ...] = ()
        self.mode_actions = {mode: self._mode_action(mode, number) for number, mode in enumerate(Mode, start=1)}
        parent.addActions(list(self.mode_actions.values()))
        document.recipe_changed.connect(self._refresh)
        self._refresh()

    def _mode_action(self, mode: Mode, number: int) -> QAction:
        action = QAction(f"{MODE_MARKS[mode]} {mode_name(mode)}", self.parent())
        action.setObjectName(f"setMode_{mode.value}")
        action.setShortcut(QKeySequence(f"Ctrl+{number}"))
        action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        action.triggered.connect(lambda _=False: self._set_mode(mode))
        return action

    def show_layers(self, names: tuple[str, ...]) -> None:
        """Take the selected layers, the current one first."""
        self._selected = names
        self._refresh()

    def _refresh(self) -> None:
        """Enable the modes that a selected layer may have; the others say why not."""
        model, recipe = self._document.model, self._document.recipe
        heads = decisions.heads(model, self._selected) if model is not None else ()
        kinds = [layer.name for layer in decisions.one_of_each_kind(recipe, heads)]
        for mode, action in self.mode_actions.items():
            reason = self._reason_against(decisions.mode_edit(mode, recipe.backend), kinds)
            action.setEnabled(not reason)
            action.setToolTip(reason or mode_sentence(mode))

    def _targets(self, of_range: bool = False) -> Sequence[str]:
        """Return the selected layers, or those that decide the ranges of their outputs."""
        names = self._selected
        return self._document.range_owners(names) if of_range else names

    def _reason_against(self, edit: decisions.Edit, targets: Sequence[str]) -> str:
        model = self._document.model
        if model is None or not targets:
            return self.tr("Select a layer first.")
        return decisions.reason_against(model, self._document.recipe, targets, edit)

    # The menu

    def fill(self, menu: QMenu) -> None:
        """Fill a menu anew with what can be decided for the selected layers."""
        menu.clear()
        for child in menu.findChildren(QMenu, options=Qt.FindChildOption.FindDirectChildrenOnly):
            child.deleteLater()
        names = self._selected
        heading = menu.addAction(names[0] if len(names) == 1 else self.tr("{count} layers").format(count=len(names)))
        heading.setEnabled(False)
        heading.setToolTip(self.tr("What is decided in this menu applies to the selected layers."))
        menu.addSeparator()
        modes = self._submenu(menu, self.tr("Set &mode"))
        modes.addActions(list(self.mode_actions.values()))
        weights = self._submenu(menu, self.tr("&Weights"))
        for scheme in _WEIGHT_SCHEMES:
            label = scheme_label(scheme)
            tip = self.tr("Scale of the weight, for all selected layers.")
            done = self.tr("Weights {scheme}").format(scheme=label)
            self._add(weights, label, tip, done, decisions.weight_scheme_edit(scheme))
        weights.addSeparator()
        for dtype in _WEIGHT_DTYPES:
            tip = self.tr("Type of the stored weight, for all selected layers.")
            done = self.tr("Weight {dtype}").format(dtype=dtype)
            self._add(weights, dtype, tip, done, decisions.weight_dtype_edit(dtype, self._document.recipe.backend))
        observers = self._submenu(menu, self.tr("&Observer"))
        for kind in AUTOMATIC_OBSERVERS:
            done = self.tr("Observer {name}").format(name=observer_name(kind))
            edit = decisions.activation_kind_edit(kind)
            self._add(observers, observer_name(kind), observer_sentence(kind), done, edit, of_range=True)
        menu.addSeparator()
        self._add_selections(menu)
        if self._document.recipe.patterns:
            text, tip = self.tr("Follow rules by &pattern"), self.tr("Take back what was decided for these layers.")
        else:
            text, tip = self.tr("Set as &advised"), self.tr("Give the selected layers the rules that are advised.")
        back = menu.addAction(text, lambda: self._document.give_back(self._selected))
        reason = self._why_not_back()
        back.setEnabled(not reason)
        back.setToolTip(reason or tip)

    def _why_not_back(self) -> str:
        if not self._selected:
            return self.tr("Select a layer first.")
        own = self._document.recipe.own_layers
        model = self._document.model
        if model is not None and any(layer.name in own for layer in decisions.heads(model, self._selected)):
            return ""
        return self.tr("Nothing was decided for the selected layers themselves.")

    def _submenu(self, menu: QMenu, title: str) -> QMenu:
        submenu = menu.addMenu(title)
        submenu.setToolTipsVisible(True)
        nothing = "" if self._selected else self.tr("Select a layer first.")
        submenu.setEnabled(not nothing)
        submenu.menuAction().setToolTip(nothing or self.tr("For all selected layers, as one step."))
        return submenu

    def _add(
        self, menu: QMenu, text: str, tool_tip: str, done: str, edit: decisions.Edit, *, of_range: bool = False
    ) -> None:
        """Add an entry that applies an edit, to the layers themselves or to those that decide their ranges."""
        action = menu.addAction(text, lambda: self._document.decide(done, self._targets(of_range), edit))
        reason = self._reason_against(edit, self._targets(of_range))
        action.setEnabled(not reason)
        action.setToolTip(reason or tool_tip)

    def _add_selections(self, menu: QMenu) -> None:
        matching = menu.addAction(self.tr("Select all that match the &filter"), self.matching_wanted.emit)
        matching.setToolTip(self.tr("Select every layer that the filter lets through, to decide for all at once."))
        same = menu.addAction(self.tr("Select all of this &type"), self.same_type_wanted.emit)
        nothing = "" if self._selected else self.tr("Select a layer first.")
        same.setEnabled(not nothing)
        same.setToolTip(nothing or self.tr("Select every layer of the type of the current one."))

    def _set_mode(self, mode: Mode) -> None:
        edit = decisions.mode_edit(mode, self._document.recipe.backend)
        self._document.decide(self.tr("Mode {mode}").format(mode=mode_name(mode)), self._targets(), edit)
