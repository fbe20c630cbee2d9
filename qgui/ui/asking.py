"""The dialogs around one document: what the person is asked, and what is told of outcomes."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from qgui.core.fitting import Misfit
from qgui.core.messages import Failed
from qgui.core.results import BackendTiming
from qgui.ui.dialogs.backends import BackendDialog
from qgui.ui.dialogs.export import ExportDialog
from qgui.ui.dialogs.failure import ConsentDialog, FailureDialog, TrustDialog
from qgui.ui.dialogs.misfits import MisfitDialog
from qgui.ui.dialogs.open_data import OpenDataDialog
from qgui.ui.dialogs.rules import RulesDialog
from qgui.ui.document import Document
from qgui.ui.filing import show
from qgui.ui.log_panel import LogPanel
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme
from qgui.ui.workflow import Then, Workflow


class Asking(QObject):
    """Opens the dialogs of one window.

    Args:
        window: Parent of the dialogs.
        document: What they are about.
        workflow: Does what is decided in them.
        settings: What is remembered.
        theme: For the icons.
        log: Keeps what failed.
    """

    def __init__(
        self,
        window: QWidget,
        document: Document,
        workflow: Workflow,
        settings: Settings,
        theme: Theme,
        log: LogPanel,
    ) -> None:
        super().__init__(window)
        self._window, self._document, self._workflow = window, document, workflow
        self._settings, self._theme, self._log = settings, theme, log

    def ask_for_data(self) -> OpenDataDialog | None:
        """Let the person choose data; None where no model is open."""
        if self._document.model is None:
            return None
        dialog = OpenDataDialog(self._document.model, self._document.recipe.data, self._window)
        dialog.chosen.connect(self._workflow.open_data)
        show(dialog)
        return dialog

    def ask_for_export(self) -> None:
        """Let the person choose folder and formats."""
        show(ExportDialog(self._document, self._workflow, self._settings, self._window))

    def ask_for_trust(self, failure: Failed, go_on: Then) -> None:
        """Ask whether code that a file holds may run."""
        dialog = TrustDialog(failure, self._theme, self._window)
        dialog.accepted.connect(lambda: dialog.remember(self._settings))
        dialog.accepted.connect(go_on)
        show(dialog)

    def ask_for_consent(self, failure: Failed, go_on: Then) -> None:
        """Ask whether ranges may come from the finite values only."""
        self._log.add("warning", f"{failure.what}: {failure.why}")
        dialog = ConsentDialog(failure, self._theme, self._window)
        dialog.accepted.connect(go_on)
        show(dialog)

    def show_failure(self, failure: Failed) -> None:
        """Show what failed."""
        self._log.add("error", f"{failure.what}: {failure.why}")
        show(FailureDialog(failure, self._theme, self._window))

    def show_backends(self, timings: tuple[BackendTiming, ...]) -> None:
        """Show measured backends and offer the fastest."""
        dialog = BackendDialog(timings, self._document.recipe.backend, self._window)
        dialog.chosen.connect(self._document.change_backend)
        show(dialog)

    def ask_for_rules(self, layer_type: str) -> None:
        """Let the person decide by pattern.

        Args:
            layer_type: What a new rule begins with.
        """
        dialog = RulesDialog(self._document, layer_type, self._window)
        dialog.decided.connect(self._document.change_patterns)
        show(dialog)

    def show_misfits(self, misfits: tuple[Misfit, ...], notes: tuple[str, ...]) -> None:
        """Show what of a recipe does not fit the model, and keep it in the log."""
        for misfit in misfits:
            self._log.add("warning", str(misfit))
        show(MisfitDialog(misfits, notes, self._window))
