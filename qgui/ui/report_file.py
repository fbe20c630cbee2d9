"""Writing the report of the open document to a file, in a thread: the window does not wait for its many drawings."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal, SignalInstance
from PySide6.QtWidgets import QFileDialog, QWidget

import qgui
from qgui.core.errors import QguiError
from qgui.core.training_run import training_key
from qgui.ui import settings as options
from qgui.ui.document import Document
from qgui.ui.filing import show
from qgui.ui.settings import Settings
from qgui.ui.speed_work import SpeedWork
from qgui.ui.training_work import TrainingWork
from qgui.ui.workflow import failure_of

#: Name of the report in a folder.
NAME = "report.html"


class ReportFile(QObject):
    """Writes reports of a document.

    Signals:
        written: The path of a report that is whole.
        failed: A `Failed`, to be shown.

    Args:
        document: What is told of.
        speed: Knows the runtimes and why int8 is not faster.
        training: Knows what the last training came to.
        settings: For the folder.
        window: Parent of the dialog.
    """

    written = Signal(object)
    failed = Signal(object)

    def __init__(
        self, document: Document, training: TrainingWork, speed: SpeedWork, settings: Settings, window: QWidget
    ) -> None:
        super().__init__(window)
        self._document, self._training, self._speed = document, training, speed
        self._settings, self._window = settings, window

    def ask(self) -> None:
        """Let the person choose a file and write the report to it."""
        folder = self._settings.get(options.LAST_FOLDER) or str(Path.home())
        name = Path(self._document.title).with_suffix(".html")
        dialog = QFileDialog(self._window, self.tr("Save report"), str(Path(folder) / name))
        dialog.setObjectName("saveReportDialog")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("html")
        dialog.setNameFilter(self.tr("Web pages ({pattern})").format(pattern="*.html"))
        dialog.fileSelected.connect(lambda path: self.write(Path(path)))
        show(dialog)

    def write(self, path: Path, pictures: Sequence[tuple[str, str]] = ()) -> None:
        """Write the report of what is known now; an earlier file is replaced when the new one is whole.

        Args:
            path: The file.
            pictures: Caption and `data:` address of each picture.
        """
        # numpy and the templates are not imported before the first paint.
        from qgui.core.report.content import Picture, ReportContent, dated

        document = self._document
        if document.model is None:
            return
        trained = self._training.watch.outcome
        content = ReportContent(
            model=document.model,
            recipe=document.recipe,
            made=dated(),
            version=qgui.__version__,
            data=document.data,
            machine=document.machine,
            ranges=document.ranges,
            comparison=document.comparison,
            explanation=self._speed.explanation,
            runtimes=None if self._speed.table_stale else self._speed.table,
            training=trained if trained is not None and trained.key == training_key(document.recipe) else None,
            exports=document.exports,
            stale=self._staleness(),
            pictures=tuple(Picture(caption, address) for caption, address in pictures),
        )
        threading.Thread(target=self._write, args=(content, path), name="report", daemon=True).start()

    def _staleness(self) -> str:
        document = self._document
        old = []
        if document.comparison_stale:
            old.append(self.tr("The measurements are of an earlier quantized model: the decisions have changed since."))
        if document.statistics_stale:
            why = self.tr("The statistics are stale: {why}.")
            old.append(why.format(why=document.statistics_stale))
        return " ".join(old)

    def _write(self, content: object, path: Path) -> None:
        from qgui.core.recipe_file import write_atomically
        from qgui.core.report import page

        try:
            write_atomically(path, page.html(content).encode())  # type: ignore[arg-type]
        except QguiError as error:
            self._tell(self.failed, failure_of(error))
        else:
            self._tell(self.written, path)

    def _tell(self, signal: SignalInstance, value: object) -> None:
        # The window may be closed by now.
        with contextlib.suppress(RuntimeError):
            signal.emit(value)
