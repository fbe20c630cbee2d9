"""What is advised for the open model: gathers what is known, shows it, and does what the person takes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMainWindow

from qgui.core.adviser.matter import Known
from qgui.core.adviser.proposals import Proposal
from qgui.ui import formatting
from qgui.ui.actions import ActionId, Actions
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.step_texts import step_label
from qgui.ui.workbench import Workbench

if TYPE_CHECKING:
    from qgui.ui.advice_window import AdviceWindow

#: Jobs of advice that are actions of the window.
_ACTIONS = {
    "backends": ActionId.MEASURE_BACKENDS,
    "compare": ActionId.COMPARE,
    "calibrate": ActionId.CALIBRATE,
    "train": ActionId.TRAIN,
}


class Adviser(QObject):
    """Explains the advice for the open model in a window of its own.

    Args:
        window: The main window.
        document: The model and the decisions.
        actions: Do the jobs that say more.
        workbench: Shows what was found.
    """

    def __init__(self, window: QMainWindow, document: Document, actions: Actions, workbench: Workbench) -> None:
        super().__init__(window)
        self._window, self._document = window, document
        self._actions, self._workbench = actions, workbench
        self._shown: AdviceWindow | None = None
        self._later = Later(self._refresh, self)
        for signal in (
            document.model_changed,
            document.model_described,
            document.recipe_changed,
            document.statistics_changed,
            document.results_changed,
        ):
            signal.connect(self._ask)
        for name in _ACTIONS.values():
            actions[name].changed.connect(self._ask)

    def show(self) -> None:
        """Show what is advised, and why."""
        from qgui.ui.advice_window import AdviceWindow

        if self._shown is None:
            self._shown = AdviceWindow(self._window)
            self._shown.taken.connect(self.take)
            self._shown.job_wanted.connect(self._do)
        self._shown.show()
        self._refresh()
        self._shown.raise_()
        self._shown.activateWindow()

    def take(self, proposal: Proposal) -> None:
        """Decide what was proposed, as one undo step."""
        document = self._document
        if proposal.kind == "backend":
            document.change_backend(proposal.backend)
        else:
            text = step_label(proposal.step) if proposal.kind == "step" else proposal.text
            document.decide(text, proposal.layers, proposal.edit(document.recipe.backend))

    def _ask(self) -> None:
        if self._shown is not None and self._shown.isVisible():
            self._later.ask()

    def _refresh(self) -> None:
        if self._shown is None:
            return
        known = self._known()
        if known is None:
            self._shown.show_advice((), self._job)
            return
        from qgui.core.adviser.explained import explain

        self._shown.show_advice(explain(known), self._job)

    def _known(self) -> Known | None:
        document = self._document
        if document.model is None or document.machine is None:
            return None
        added = document.measured.added_noise if document.measured is not None and not document.measured_stale else {}
        return Known(
            model=document.model,
            recipe=document.recipe,
            machine=document.machine,
            comparison=document.comparison,
            comparison_stale=document.comparison_stale,
            timings=document.timings,
            timings_stale=document.timings_stale,
            added_noise=added,
            calibrated=document.ranges is not None,
        )

    def _job(self, job: str) -> tuple[str, str, str]:
        """Return what a job is called, what it does, and why it is not possible now."""
        if job in _ACTIONS:
            action = self._actions[_ACTIONS[job]]
            return formatting.without_mnemonic(action.text()), action.toolTip(), self._why_not(action)
        return {
            "observers": (
                self.tr("Best per layer"),
                self.tr("Use for every layer the observer of the least predicted error, as one undo step."),
                "",
            ),
            "slowness": (
                self.tr("Why is it not faster?"),
                self.tr("Show slow layers, their causes and the ways out, each measured before it is taken."),
                "",
            ),
        }.get(job, ("", "", ""))

    def _why_not(self, action: QAction) -> str:
        return "" if action.isEnabled() else action.toolTip()

    def _do(self, job: str) -> None:
        if job in _ACTIONS:
            self._actions[_ACTIONS[job]].trigger()
            return
        jobs: dict[str, Callable[[], None]] = {
            "observers": self._workbench.find_best_observers,
            "slowness": self._workbench.show_slowness,
        }
        jobs[job]()
        self._window.activateWindow()
