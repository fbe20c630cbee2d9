"""What a person can do, as Qt actions: text, icon, shortcut, one sentence, and why it is not possible now."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence

from qgui.core.language import say
from qgui.ui.theme import Theme


class ActionId(enum.Enum):
    """Every action of the window."""

    OPEN_MODEL = "openModel"
    OPEN_RECIPE = "openRecipe"
    APPLY_RECIPE = "applyRecipe"
    OPEN_DATA = "openData"
    SAVE = "save"
    SAVE_AS = "saveAs"
    SAVE_REPORT = "saveReport"
    CLOSE_MODEL = "closeModel"
    QUIT = "quit"
    UNDO = "undo"
    REDO = "redo"
    RULES = "rules"
    DECIDE = "decide"
    ADVICE = "advice"
    FILTER = "filter"
    SELECT_MATCHING = "selectMatching"
    CALIBRATE = "calibrate"
    QUANTIZE = "quantize"
    TRAIN = "train"
    COMPARE = "compare"
    EXPORT = "export"
    MEASURE_BACKENDS = "measureBackends"
    BENCHMARKS = "benchmarks"
    CANCEL = "cancel"
    RESET_LAYOUT = "resetLayout"
    PREFERENCES = "preferences"
    PALETTE = "palette"
    GUIDE = "guide"
    ABOUT = "about"


@dataclass(frozen=True)
class ActionText:
    """How an action is shown.

    Attributes:
        text: In menus.
        short: On the toolbar.
        sentence: As tooltip and status tip.
        icon: Name of its icon, empty for none.
        shortcut: Standard key or key sequence, None for none.
        role: Its place in the menu of macOS.
    """

    text: str
    short: str
    sentence: str
    icon: str = ""
    shortcut: QKeySequence.StandardKey | str | None = None
    role: QAction.MenuRole = QAction.MenuRole.NoRole


def action_texts() -> dict[ActionId, ActionText]:
    """Return how every action is shown."""
    key = QKeySequence.StandardKey
    role = QAction.MenuRole
    return {
        ActionId.OPEN_MODEL: ActionText(
            say("Open &model…"), say("Open model"), say("Choose the model to quantize."), "open-model", "Ctrl+M"
        ),
        ActionId.OPEN_RECIPE: ActionText(
            say("&Open recipe…"),
            say("Open recipe"),
            say("Open decisions saved as a .qgui file."),
            "open-recipe",
            key.Open,
        ),
        ActionId.APPLY_RECIPE: ActionText(
            say("Apply rec&ipe to this model…"),
            say("Apply recipe"),
            say("Take the decisions of a .qgui file, perhaps of another model, for the open model."),
        ),
        ActionId.OPEN_DATA: ActionText(
            say("Open &data…"),
            say("Open data"),
            say("Choose the data for calibration and evaluation."),
            "open-data",
            "Ctrl+D",
        ),
        ActionId.SAVE: ActionText(
            say("&Save"), say("Save"), say("Save the decisions as a .qgui file."), "save", key.Save
        ),
        ActionId.SAVE_AS: ActionText(
            say("Save &as…"), say("Save as"), say("Save the decisions under another name."), "", key.SaveAs
        ),
        ActionId.SAVE_REPORT: ActionText(
            say("Save &report…"),
            say("Save report"),
            say("Write what is known of the model as one web page, to read, send or print."),
        ),
        ActionId.CLOSE_MODEL: ActionText(
            say("&Close model"), say("Close"), say("Close the model and go back to the start page."), "", key.Close
        ),
        ActionId.QUIT: ActionText(say("&Quit"), say("Quit"), say("Leave QGUI."), "", key.Quit, role.QuitRole),
        ActionId.UNDO: ActionText(say("&Undo"), say("Undo"), say("Take the last decision back."), "undo", key.Undo),
        ActionId.REDO: ActionText(say("&Redo"), say("Redo"), say("Take the undone decision again."), "redo", key.Redo),
        ActionId.RULES: ActionText(
            say("Ru&les by pattern…"),
            say("Rules"),
            say("Decide for all layers of a type, or whose path begins alike."),
            "",
            "Ctrl+R",
        ),
        ActionId.DECIDE: ActionText(
            say("&Decide layer by layer"),
            say("Recipe"),
            say("Go to the layer table, where every layer gets its mode."),
            "layers",
            "Ctrl+L",
        ),
        ActionId.ADVICE: ActionText(
            say("&Advice for this model"),
            say("Advice"),
            say("Explain what is advised for this model and why, and decide it piece by piece."),
            "info",
            "Ctrl+I",
        ),
        ActionId.FILTER: ActionText(
            say("&Filter layers"), say("Filter"), say("Put the cursor into the layer filter."), "filter", key.Find
        ),
        ActionId.SELECT_MATCHING: ActionText(
            say("Select all &matching"),
            say("Select matching"),
            say("Select every layer that the filter lets through."),
            "",
            "Ctrl+Shift+A",
        ),
        ActionId.CALIBRATE: ActionText(
            say("&Calibrate"),
            say("Calibrate"),
            say("Run the calibration samples once; every observer's range follows from that."),
            "calibrate",
            "F5",
        ),
        ActionId.QUANTIZE: ActionText(
            say("&Quantize"),
            say("Quantize"),
            say("Make the quantized model; calibrates first if needed."),
            "quantize",
            "F6",
        ),
        ActionId.TRAIN: ActionText(
            say("&Train (QAT)"),
            say("Train (QAT)"),
            say("Train the layers in mode qat with fake quantization; calibrates first if needed."),
            "train",
            "F8",
        ),
        ActionId.COMPARE: ActionText(
            say("C&ompare"),
            say("Compare"),
            say("Measure accuracy, latency and size against the float model; quantizes first if needed."),
            "compare",
            "F7",
        ),
        ActionId.EXPORT: ActionText(
            say("&Export…"),
            say("Export"),
            say("Write the quantized model to files and check each in a fresh process."),
            "export",
            "Ctrl+E",
        ),
        ActionId.MEASURE_BACKENDS: ActionText(
            say("Measure backen&ds…"),
            say("Measure backends"),
            say("Time the quantized model on every backend of this machine and offer the fastest."),
            "star",
        ),
        ActionId.BENCHMARKS: ActionText(
            say("&Benchmarks"),
            say("Benchmarks"),
            say("Show the tables that PyTorch published and run their rows on this machine."),
            "compare",
        ),
        ActionId.CANCEL: ActionText(
            say("Ca&ncel job"), say("Cancel"), say("Stop the running job; no decision is lost."), "cancel", "Ctrl+."
        ),
        ActionId.RESET_LAYOUT: ActionText(
            say("&Reset layout"),
            say("Reset layout"),
            say("Put the layer table and the inspector back where they stood at first."),
            "reset-view",
        ),
        ActionId.PREFERENCES: ActionText(
            say("&Preferences…"),
            say("Preferences"),
            say("Appearance, language, threads, backend, memory limit, and which folders you trust."),
            "settings",
            key.Preferences,
            role.PreferencesRole,
        ),
        ActionId.PALETTE: ActionText(
            say("&Find an action…"),
            say("Find an action"),
            say("Type a part of its name; every action of the menus is found."),
            "",
            "Ctrl+Shift+P",
        ),
        ActionId.GUIDE: ActionText(
            say("&Guide"), say("Guide"), say("Explain the control that has the focus."), "help", key.HelpContents
        ),
        ActionId.ABOUT: ActionText(
            say("&About QGUI"), say("About"), say("Version, engine and processor."), "info", None, role.AboutRole
        ),
    }


class Actions:
    """The actions of one window.

    Args:
        parent: Owns the actions.
        theme: For the icons.
    """

    def __init__(self, parent: QObject, theme: Theme) -> None:
        self._theme = theme
        self._texts = action_texts()
        self._actions = {name: self._made(parent, name, text) for name, text in self._texts.items()}
        theme.changed.connect(self._draw_icons)
        self._draw_icons()

    def __getitem__(self, name: ActionId) -> QAction:
        return self._actions[name]

    def allow(self, reasons: Mapping[ActionId, str]) -> None:
        """Enable the actions without a reason against them; the others say it."""
        for name, action in self._actions.items():
            reason = reasons.get(name, "")
            action.setEnabled(not reason)
            sentence = reason or self._texts[name].sentence
            action.setStatusTip(sentence)
            keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            action.setToolTip(f"{sentence} ({keys})" if keys and not reason else sentence)

    def _made(self, parent: QObject, name: ActionId, text: ActionText) -> QAction:
        action = QAction(text.text, parent)
        action.setObjectName(name.value)
        action.setIconText(text.short)
        action.setMenuRole(text.role)
        if isinstance(text.shortcut, str):
            action.setShortcut(QKeySequence(text.shortcut))
        elif text.shortcut is not None:
            action.setShortcuts(text.shortcut)
        return action

    def _draw_icons(self) -> None:
        for name, action in self._actions.items():
            if self._texts[name].icon:
                action.setIcon(self._theme.icon(self._texts[name].icon))
