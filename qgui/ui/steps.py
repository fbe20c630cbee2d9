"""What can be done now, why the rest cannot, and what comes next."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from qgui.core.language import say
from qgui.core.recipe import Mode
from qgui.ui.actions import ActionId
from qgui.ui.document import Document


def reasons_against(document: Document, busy: str) -> dict[ActionId, str]:
    """Return why actions are not possible now; those that are possible are left out.

    Args:
        document: What is open.
        busy: What is being done, empty when nothing is.
    """
    reasons: dict[ActionId, str] = {}
    if document.model is None:
        closed = say("Open a model first.")
        for action in (
            ActionId.APPLY_RECIPE,
            ActionId.RULES,
            ActionId.OPEN_DATA,
            ActionId.SAVE,
            ActionId.SAVE_AS,
            ActionId.SAVE_REPORT,
            ActionId.CLOSE_MODEL,
            ActionId.DECIDE,
            ActionId.ADVICE,
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
        reasons[ActionId.UNDO] = say("There is no decision to take back.")
    if not document.undo_stack.canRedo():
        reasons[ActionId.REDO] = say("There is no undone decision.")
    if busy:
        wait = say("{title}: wait until it is done, or cancel it.").format(title=busy)
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
        reasons[ActionId.CANCEL] = say("No job is running.")
    return reasons


def _reasons_with_model(document: Document) -> dict[ActionId, str]:
    reasons: dict[ActionId, str] = {}
    no_data = say("Open data first; random data is enough to measure latency.")
    model = document.model
    if document.data is None:
        for action in (ActionId.CALIBRATE, ActionId.COMPARE, ActionId.MEASURE_BACKENDS, ActionId.EXPORT):
            reasons[action] = no_data
    elif model is not None and not model.tensors:
        reasons[ActionId.CALIBRATE] = say("The model does not trace: dynamic quantization needs no calibration.")
    if _all_float(document):
        every_float = say("Every layer is float: choose another mode for at least one.")
        for action in (ActionId.QUANTIZE, ActionId.COMPARE, ActionId.EXPORT, ActionId.MEASURE_BACKENDS):
            reasons.setdefault(action, every_float)
    if document.must_calibrate and document.data is None:
        reasons[ActionId.QUANTIZE] = say("Static layers need ranges from data: open some first.")
    if not document.trains:
        reasons[ActionId.TRAIN] = say("No layer is in mode qat: give that mode to the layers that are to be trained.")
    elif document.data is None:
        reasons[ActionId.TRAIN] = say("Training needs samples: open data first.")
    if document.machine is not None and len(document.machine.backends) < 2:
        reasons.setdefault(ActionId.MEASURE_BACKENDS, say("This machine supports one backend only."))
    return reasons


def next_step(document: Document) -> tuple[ActionId, str] | None:
    """Return the next sensible action and a sentence about it; None when the work is done."""
    if document.model is None:
        return ActionId.OPEN_MODEL, say("Open a model, or try an example.")
    if document.data is None:
        if document.needs_calibration:
            return ActionId.OPEN_DATA, say("Next: open data to calibrate and compare with.")
        return ActionId.OPEN_DATA, say("Next: open data to compare with.")
    if _all_float(document):
        return ActionId.DECIDE, say("Next: choose a mode other than float for at least one layer.")
    if document.needs_calibration and document.ranges is None:
        return ActionId.CALIBRATE, say("Next: calibrate, to see what each observer would choose.")
    if document.must_calibrate:
        why = say("The statistics are stale ({why}): calibrate again.")
        return ActionId.CALIBRATE, why.format(why=document.statistics_stale)
    if document.result is None:
        return ActionId.QUANTIZE, say("Next: quantize with these decisions.")
    if document.result_stale:
        return ActionId.QUANTIZE, say("The decisions have changed: quantize again.")
    if document.comparison is None or document.comparison_stale:
        return ActionId.COMPARE, say("Next: compare with the float model.")
    if not document.exports:
        return ActionId.EXPORT, say("Next: export, or sort the layers by SQNR and decide again.")
    if document.exports_stale:
        return ActionId.EXPORT, say("The exported files hold earlier decisions: export again.")
    return None


def _all_float(document: Document) -> bool:
    return all(rule.mode is Mode.FLOAT for rule in document.recipe.rules.values())


class StepState(enum.Enum):
    """How far a step of the job is."""

    DONE = "done"
    NEXT = "next"
    STALE = "stale"
    WAITING = "waiting"
    UNNEEDED = "unneeded"


@dataclass(frozen=True)
class StepNow:
    """A step of the job as it is now.

    Attributes:
        action: What does it.
        state: How far it is.
        sentence: What was done, what is to be done, or why it is not needed.
        following: Whether it is the one to do now.
    """

    action: ActionId
    state: StepState
    sentence: str
    following: bool = False


#: The steps of the whole job, in their order.
STEPS = (
    ActionId.OPEN_MODEL,
    ActionId.OPEN_DATA,
    ActionId.DECIDE,
    ActionId.CALIBRATE,
    ActionId.QUANTIZE,
    ActionId.COMPARE,
    ActionId.EXPORT,
)


def step_title(action: ActionId) -> str:
    """Return what a step is called."""
    return {
        ActionId.OPEN_MODEL: say("Model"),
        ActionId.OPEN_DATA: say("Data"),
        ActionId.DECIDE: say("Recipe"),
        ActionId.CALIBRATE: say("Calibrate"),
        ActionId.QUANTIZE: say("Quantize"),
        ActionId.COMPARE: say("Compare"),
        ActionId.EXPORT: say("Export"),
    }[action]


def state_word(state: StepState) -> str:
    """Return what a state is called."""
    return {
        StepState.DONE: say("done"),
        StepState.NEXT: say("next"),
        StepState.STALE: say("stale"),
        StepState.WAITING: say("not yet"),
        StepState.UNNEEDED: say("not needed"),
    }[state]


def steps_now(document: Document) -> tuple[StepNow, ...]:
    """Return how far each step of the job is; at most one of them is the one to do now."""
    following = next_step(document)
    found = []
    for action in STEPS:
        state, sentence = _state_of(document, action)
        if following is not None and action is following[0]:
            state = StepState.STALE if state is StepState.STALE else StepState.NEXT
            found.append(StepNow(action, state, following[1], following=True))
        else:
            found.append(StepNow(action, state, sentence))
    return tuple(found)


def _state_of(document: Document, action: ActionId) -> tuple[StepState, str]:
    match action:
        case ActionId.OPEN_MODEL if document.model is not None:
            return StepState.DONE, say("Open: {title}.").format(title=document.model.title)
        case ActionId.OPEN_DATA if document.data is not None:
            return StepState.DONE, say("Open: {source}.").format(source=document.data.source)
        case ActionId.DECIDE if document.model is not None and not _all_float(document):
            return StepState.DONE, say("Every layer has a mode; each can still be changed.")
        case ActionId.CALIBRATE if document.model is not None and not document.needs_calibration:
            return StepState.UNNEEDED, say("No layer needs ranges from data.")
        case ActionId.CALIBRATE:
            return _made(document.ranges is not None, bool(document.statistics_stale))
        case ActionId.QUANTIZE:
            return _made(document.result is not None, document.result_stale)
        case ActionId.COMPARE:
            return _made(document.comparison is not None, document.comparison_stale)
        case ActionId.EXPORT:
            return _made(bool(document.exports), document.exports_stale)
    return StepState.WAITING, ""


def _made(exists: bool, stale: bool) -> tuple[StepState, str]:
    if not exists:
        return StepState.WAITING, ""
    if stale:
        return StepState.STALE, say("Belongs to earlier decisions.")
    return StepState.DONE, say("Belongs to the present decisions.")
