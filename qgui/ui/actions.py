"""What a person can do, as Qt actions: text, icon, shortcut, one sentence, and why it is not possible now."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QObject
from PySide6.QtGui import QAction, QKeySequence

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
            tr("Open &model…"), tr("Open model"), tr("Choose the model to quantize."), "open-model", "Ctrl+M"
        ),
        ActionId.OPEN_RECIPE: ActionText(
            tr("&Open recipe…"), tr("Open recipe"), tr("Open decisions saved as a .qgui file."), "open-recipe", key.Open
        ),
        ActionId.APPLY_RECIPE: ActionText(
            tr("Apply rec&ipe to this model…"),
            tr("Apply recipe"),
            tr("Take the decisions of a .qgui file, perhaps of another model, for the open model."),
        ),
        ActionId.OPEN_DATA: ActionText(
            tr("Open &data…"),
            tr("Open data"),
            tr("Choose the data for calibration and evaluation."),
            "open-data",
            "Ctrl+D",
        ),
        ActionId.SAVE: ActionText(tr("&Save"), tr("Save"), tr("Save the decisions as a .qgui file."), "save", key.Save),
        ActionId.SAVE_AS: ActionText(
            tr("Save &as…"), tr("Save as"), tr("Save the decisions under another name."), "", key.SaveAs
        ),
        ActionId.SAVE_REPORT: ActionText(
            tr("Save &report…"),
            tr("Save report"),
            tr("Write what is known of the model as one web page, to read, send or print."),
        ),
        ActionId.CLOSE_MODEL: ActionText(
            tr("&Close model"), tr("Close"), tr("Close the model and go back to the start page."), "", key.Close
        ),
        ActionId.QUIT: ActionText(tr("&Quit"), tr("Quit"), tr("Leave QGUI."), "", key.Quit, role.QuitRole),
        ActionId.UNDO: ActionText(tr("&Undo"), tr("Undo"), tr("Take the last decision back."), "undo", key.Undo),
        ActionId.REDO: ActionText(tr("&Redo"), tr("Redo"), tr("Take the undone decision again."), "redo", key.Redo),
        ActionId.RULES: ActionText(
            tr("Ru&les by pattern…"),
            tr("Rules"),
            tr("Decide for all layers of a type, or whose path begins alike."),
            "",
            "Ctrl+R",
        ),
        ActionId.DECIDE: ActionText(
            tr("&Decide layer by layer"),
            tr("Recipe"),
            tr("Go to the layer table, where every layer gets its mode."),
            "layers",
            "Ctrl+L",
        ),
        ActionId.FILTER: ActionText(
            tr("&Filter layers"), tr("Filter"), tr("Put the cursor into the layer filter."), "filter", key.Find
        ),
        ActionId.SELECT_MATCHING: ActionText(
            tr("Select all &matching"),
            tr("Select matching"),
            tr("Select every layer that the filter lets through."),
            "",
            "Ctrl+Shift+A",
        ),
        ActionId.CALIBRATE: ActionText(
            tr("&Calibrate"),
            tr("Calibrate"),
            tr("Run the calibration samples once; every observer's range follows from that."),
            "calibrate",
            "F5",
        ),
        ActionId.QUANTIZE: ActionText(
            tr("&Quantize"),
            tr("Quantize"),
            tr("Make the quantized model; calibrates first if needed."),
            "quantize",
            "F6",
        ),
        ActionId.TRAIN: ActionText(
            tr("&Train (QAT)"),
            tr("Train (QAT)"),
            tr("Train the layers in mode qat with fake quantization; calibrates first if needed."),
            "train",
            "F8",
        ),
        ActionId.COMPARE: ActionText(
            tr("C&ompare"),
            tr("Compare"),
            tr("Measure accuracy, latency and size against the float model; quantizes first if needed."),
            "compare",
            "F7",
        ),
        ActionId.EXPORT: ActionText(
            tr("&Export…"),
            tr("Export"),
            tr("Write the quantized model to files and check each in a fresh process."),
            "export",
            "Ctrl+E",
        ),
        ActionId.MEASURE_BACKENDS: ActionText(
            tr("Measure backen&ds…"),
            tr("Measure backends"),
            tr("Time the quantized model on every backend of this machine and offer the fastest."),
            "star",
        ),
        ActionId.BENCHMARKS: ActionText(
            tr("&Benchmarks"),
            tr("Benchmarks"),
            tr("Show the tables that PyTorch published and run their rows on this machine."),
            "compare",
        ),
        ActionId.CANCEL: ActionText(
            tr("Ca&ncel job"), tr("Cancel"), tr("Stop the running job; no decision is lost."), "cancel", "Ctrl+."
        ),
        ActionId.RESET_LAYOUT: ActionText(
            tr("&Reset layout"),
            tr("Reset layout"),
            tr("Put the layer table and the inspector back where they stood at first."),
            "reset-view",
        ),
        ActionId.PREFERENCES: ActionText(
            tr("&Preferences…"),
            tr("Preferences"),
            tr("Looks, threads, backend, memory limit, and which folders you trust."),
            "settings",
            key.Preferences,
            role.PreferencesRole,
        ),
        ActionId.PALETTE: ActionText(
            tr("&Find an action…"),
            tr("Find an action"),
            tr("Type a part of its name; every action of the menus is found."),
            "",
            "Ctrl+Shift+P",
        ),
        ActionId.GUIDE: ActionText(
            tr("&Guide"), tr("Guide"), tr("Explain the control that has the focus."), "help", key.HelpContents
        ),
        ActionId.ABOUT: ActionText(
            tr("&About QGUI"), tr("About"), tr("Version, engine and processor."), "info", None, role.AboutRole
        ),
    }


def tr(text: str) -> str:
    """Return a text in the language of the window."""
    return QCoreApplication.translate("actions", text)


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
