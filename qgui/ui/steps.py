"""What can be done now, why the rest cannot, and what comes next."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from qgui.core.recipe import Mode
from qgui.ui.actions import ActionId
from qgui.ui.document import Document


def tr(text: str) -> str:
    """Return a text in the language of the window."""
    return QCoreApplication.translate("steps", text)


def reasons_against(document: Document, busy: str) -> dict[ActionId, str]:
    """Return why actions are not possible now; those that are possible are left out.

    Args:
        document: What is open.
        busy: What is being done, empty when nothing is.
    """
    reasons: dict[ActionId, str] = {}
    if document.model is None:
        closed = tr("Open a model first.")
        for action in (
            ActionId.APPLY_RECIPE,
            ActionId.RULES,
            ActionId.OPEN_DATA,
            ActionId.SAVE,
            ActionId.SAVE_AS,
            ActionId.SAVE_REPORT,
            ActionId.CLOSE_MODEL,
            ActionId.FILTER,
            ActionId.SELECT_MATCHING,
            ActionId.CALIBRATE,
            ActionId.QUANTIZE,
            ActionId.TRAIN,
            ActionId.COMPARE,
            ActionId.EXPORT,
            ActionId.MEASURE_BACKENDS,
        ):
            reasons[action] = closed
    else:
        reasons.update(_reasons_with_model(document))
    if not document.undo_stack.canUndo():
        reasons[ActionId.UNDO] = tr("There is no decision to take back.")
    if not document.undo_stack.canRedo():
        reasons[ActionId.REDO] = tr("There is no undone decision.")
    if busy:
        wait = tr("{title}: wait until it is done, or cancel it.").format(title=busy)
        for action in (
            ActionId.OPEN_MODEL,
            ActionId.OPEN_RECIPE,
            ActionId.APPLY_RECIPE,
            ActionId.OPEN_DATA,
            ActionId.CLOSE_MODEL,
            ActionId.CALIBRATE,
            ActionId.QUANTIZE,
            ActionId.TRAIN,
            ActionId.COMPARE,
            ActionId.EXPORT,
            ActionId.MEASURE_BACKENDS,
        ):
            reasons.setdefault(action, wait)
    else:
        reasons[ActionId.CANCEL] = tr("No job is running.")
    return reasons


def _reasons_with_model(document: Document) -> dict[ActionId, str]:
    reasons: dict[ActionId, str] = {}
    no_data = tr("Open data first; random data is enough to measure latency.")
    model = document.model
    if document.data is None:
        for action in (ActionId.CALIBRATE, ActionId.COMPARE, ActionId.MEASURE_BACKENDS, ActionId.EXPORT):
            reasons[action] = no_data
    elif model is not None and not model.tensors:
        reasons[ActionId.CALIBRATE] = tr("The model does not trace: dynamic quantization needs no calibration.")
    if all(rule.mode is Mode.FLOAT for rule in document.recipe.rules.values()):
        every_float = tr("Every layer is float: choose another mode for at least one.")
        for action in (ActionId.QUANTIZE, ActionId.COMPARE, ActionId.EXPORT, ActionId.MEASURE_BACKENDS):
            reasons.setdefault(action, every_float)
    if document.must_calibrate and document.data is None:
        reasons[ActionId.QUANTIZE] = tr("Static layers need ranges from data: open some first.")
    if not document.trains:
        reasons[ActionId.TRAIN] = tr("No layer is in mode qat: give that mode to the layers that are to be trained.")
    elif document.data is None:
        reasons[ActionId.TRAIN] = tr("Training needs samples: open data first.")
    if document.machine is not None and len(document.machine.backends) < 2:
        reasons.setdefault(ActionId.MEASURE_BACKENDS, tr("This machine supports one backend only."))
    return reasons


def next_step(document: Document) -> tuple[ActionId, str] | None:
    """Return the next sensible action and a sentence about it; None when the work is done."""
    if document.model is None:
        return ActionId.OPEN_MODEL, tr("Open a model, or try an example.")
    if document.data is None:
        if document.needs_calibration:
            return ActionId.OPEN_DATA, tr("Next: open data to calibrate and compare with.")
        return ActionId.OPEN_DATA, tr("Next: open data to compare with.")
    if all(rule.mode is Mode.FLOAT for rule in document.recipe.rules.values()):
        return None
    if document.needs_calibration and document.ranges is None:
        return ActionId.CALIBRATE, tr("Next: calibrate, to see what each observer would choose.")
    if document.must_calibrate:
        why = tr("The statistics are stale ({why}): calibrate again.")
        return ActionId.CALIBRATE, why.format(why=document.statistics_stale)
    if document.result is None:
        return ActionId.QUANTIZE, tr("Next: quantize with these decisions.")
    if document.result_stale:
        return ActionId.QUANTIZE, tr("The decisions have changed: quantize again.")
    if document.comparison is None or document.comparison_stale:
        return ActionId.COMPARE, tr("Next: compare with the float model.")
    if not document.exports:
        return ActionId.EXPORT, tr("Next: export, or sort the layers by SQNR and decide again.")
    return None
