"""Opening and saving recipe files, and asking before decisions are lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QAbstractButton, QDialog, QFileDialog, QMessageBox, QWidget

from qgui.core.errors import QguiError
from qgui.ui import formatting
from qgui.ui import settings as options
from qgui.ui.document import SUFFIX, Document
from qgui.ui.recovery import Autosave, Leftover, leftovers
from qgui.ui.settings import RecentEntry, Settings
from qgui.ui.worker_client import WorkerClient
from qgui.ui.workflow import Then, Workflow, failure_of


class Filing(QObject):
    """Keeps the decisions of one window in files.

    Signals:
        failed: A `Failed`, to be shown.
        saved: A sentence.
        leftovers_found: A `Leftover` that can be restored, or None.

    Args:
        window: Parent of the dialogs.
        document: Whose decisions.
        workflow: Opens what the files name.
        client: Asked whether a job runs.
        settings: For folders and recent files.
        autosave: Keeps decisions that no file holds.
    """

    failed = Signal(object)
    saved = Signal(str)
    leftovers_found = Signal(object)

    def __init__(
        self,
        window: QWidget,
        document: Document,
        workflow: Workflow,
        client: WorkerClient,
        settings: Settings,
        autosave: Autosave,
    ) -> None:
        super().__init__(window)
        self._window = window
        self._document = document
        self._workflow = workflow
        self._client = client
        self._settings = settings
        self._autosave = autosave
        self._after_saving: Then | None = None

    # Opening

    def ask_for_recipe(self) -> None:
        """Let the person choose a recipe file."""

        def ask() -> None:
            dialog = QFileDialog(self._window, self.tr("Open recipe"), self._settings.get(options.LAST_FOLDER))
            dialog.setNameFilter(self.tr("QGUI recipes ({pattern})").format(pattern=f"*{SUFFIX} *.json"))
            dialog.fileSelected.connect(lambda path: self.open_recipe(Path(path)))
            show(dialog)

        self.leave(ask)

    def open_recipe(self, path: Path) -> None:
        """Open a recipe file."""
        self._settings.set(options.LAST_FOLDER, str(path.absolute().parent))
        self._workflow.open_recipe(path)

    def ask_for_other_recipe(self) -> None:
        """Let the person choose a recipe file whose decisions the open model takes."""
        dialog = QFileDialog(
            self._window, self.tr("Apply recipe to this model"), self._settings.get(options.LAST_FOLDER)
        )
        dialog.setObjectName("applyRecipeDialog")
        dialog.setNameFilter(self.tr("QGUI recipes ({pattern})").format(pattern=f"*{SUFFIX} *.json"))
        dialog.fileSelected.connect(lambda path: self._workflow.apply_recipe(Path(path)))
        show(dialog)

    def offer_leftovers(self) -> None:
        """Look for decisions that a program which ended unexpectedly left behind."""
        found = leftovers(self._autosave.file.parent)
        self.leftovers_found.emit(found[0] if found else None)

    def restore(self, leftover: Leftover) -> None:
        """Open decisions that were kept before a crash; they are forgotten only once they are kept anew."""

        def restored() -> None:
            self._autosave.keep()
            self.discard(leftover)

        self._workflow.restore(leftover.recipe, leftover.path, restored)

    def discard(self, leftover: Leftover) -> None:
        """Throw away decisions that were kept before a crash."""
        leftover.discard()
        self.offer_leftovers()

    # Saving

    def save(self) -> None:
        """Save the decisions to their file, asking for one where there is none."""
        if self._document.path is None:
            self.save_as()
        else:
            self.save_to(self._document.path)

    def save_as(self) -> None:
        """Save the decisions to a file that the person chooses."""
        folder = self._settings.get(options.LAST_FOLDER) or str(Path.home())
        dialog = QFileDialog(self._window, self.tr("Save recipe"), str(Path(folder) / self._document.title))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(SUFFIX.removeprefix("."))
        dialog.setNameFilter(self.tr("QGUI recipes ({pattern})").format(pattern=f"*{SUFFIX}"))
        dialog.fileSelected.connect(lambda path: self.save_to(Path(path)))
        dialog.rejected.connect(self._stay)
        show(dialog)

    def save_to(self, path: Path) -> None:
        """Save the decisions to a file."""
        try:
            self._document.save(path)
        except QguiError as error:
            self._stay()
            self.failed.emit(failure_of(error))
            return
        self._settings.set(options.LAST_FOLDER, str(path.absolute().parent))
        self._settings.add_recent(RecentEntry("recipe", str(path.absolute())))
        self.saved.emit(self.tr("Saved {path}.").format(path=path))
        then, self._after_saving = self._after_saving, None
        if then is not None:
            then()

    def _stay(self) -> None:
        self._after_saving = None

    # Leaving

    def leave(self, then: Then) -> None:
        """Go on when the decisions are saved, given up, or there are none; ask where a job runs."""
        if self._client.busy:
            self._ask_about_job(lambda: self.leave(then))
        elif self._document.modified:
            self._ask_about_decisions(then)
        else:
            then()

    def _ask_about_job(self, then: Then) -> None:
        box = self._question("runningJobBox", self.tr("A job is still running."), self.tr("Cancel it and go on?"))
        stop = box.addButton(self.tr("Cancel the job"), QMessageBox.ButtonRole.AcceptRole)
        stay = box.addButton(self.tr("Keep working"), QMessageBox.ButtonRole.RejectRole)
        _explain(stop, "runningJobCancel", self.tr("Stop the job; your decisions stay."))
        _explain(stay, "runningJobStay", self.tr("Let the job go on."))

        def decided() -> None:
            if box.clickedButton() is stop:
                self._client.abandon()
                then()

        self._ask(box, decided)

    def _ask_about_decisions(self, then: Then) -> None:
        text = self.tr("Save your decisions for {name}?").format(name=self._document.title)
        box = self._question("unsavedBox", text, self.tr("Without saving they are lost."))
        buttons = QMessageBox.StandardButton
        box.setStandardButtons(buttons.Save | buttons.Discard | buttons.Cancel)
        box.setDefaultButton(buttons.Save)
        for button, part, sentence in (
            (buttons.Save, "Save", self.tr("Save the decisions, then go on.")),
            (buttons.Discard, "Discard", self.tr("Go on without the decisions.")),
            (buttons.Cancel, "Cancel", self.tr("Stay here with the decisions.")),
        ):
            _explain(box.button(button), f"unsaved{part}", sentence)

        def decided() -> None:
            pressed = box.standardButton(box.clickedButton())
            if pressed == buttons.Discard:
                then()
            elif pressed == buttons.Save:
                self._after_saving = then
                self.save()

        self._ask(box, decided)

    def _question(self, name: str, text: str, more: str) -> QMessageBox:
        box = QMessageBox(self._window)
        box.setObjectName(name)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("QGUI")
        box.setText(text)
        box.setInformativeText(more)
        return box

    def _ask(self, box: QMessageBox, decided: Callable[[], None]) -> None:
        box.finished.connect(lambda _: decided())
        show(box)


def _explain(button: QAbstractButton, name: str, sentence: str) -> None:
    button.setObjectName(name)
    button.setAccessibleName(formatting.without_mnemonic(button.text()))
    button.setToolTip(sentence)


def show(dialog: QDialog) -> None:
    """Show a dialog that blocks its window only, and remove it when it is closed."""
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
