"""Exporting: where, in which formats, and what came of it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from qgui.core.formats import BY_KEY, FORMATS, Format, why_not
from qgui.core.messages import Progress
from qgui.core.results import ExportResult
from qgui.ui import formatting
from qgui.ui import settings as options
from qgui.ui.dialogs.fields import PathField
from qgui.ui.document import Document
from qgui.ui.row_table import set_up_rows
from qgui.ui.settings import Settings
from qgui.ui.workflow import Workflow


class ExportDialog(QDialog):
    """Exports the quantized model; stays open and shows the checked files.

    Args:
        document: Whose model.
        workflow: Does the work.
        settings: For the remembered folder.
        parent: Qt parent.
    """

    def __init__(
        self, document: Document, workflow: Workflow, settings: Settings, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._workflow = workflow
        self._settings = settings
        self._written: tuple[ExportResult, ...] = ()
        self._working = False
        self.setObjectName("exportDialog")
        self.setWindowTitle(self.tr("Export"))
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 96)
        self.folder = PathField(
            "exportFolder", self.tr("Folder"), self.tr("The files are written into this folder."), "", self
        )
        self.folder.set_path(settings.get(options.EXPORT_FOLDER) or str(Path.home() / "qgui-export"))
        self.folder.changed.connect(self._check)
        self.formats = {form.key: self._format(form) for form in FORMATS}
        self.sentences = {form.key: self._sentence(form) for form in FORMATS}
        self._refused: dict[str, str] = {}
        self.message = QLabel(self)
        self.message.setObjectName("exportMessage")
        self.message.setWordWrap(True)
        self.table = self._build_table()
        self._build_buttons()
        self._lay_out()
        self._tips = {
            widget: widget.toolTip() for widget in (self.folder.edit, self.folder.browse, *self.formats.values())
        }
        document.results_changed.connect(self._refresh)
        document.recipe_changed.connect(lambda _: self._refuse())
        workflow.progressed.connect(self._on_progress)
        workflow.settled.connect(self._on_settled)
        self.finished.connect(lambda _: self._settings.set(options.EXPORT_FOLDER, self.folder.path))
        self._refuse()
        self._check()

    def _format(self, form: Format) -> QCheckBox:
        box = QCheckBox(form.title, self)
        box.setObjectName(f"export_{form.key}")
        box.setAccessibleName(form.title)
        box.setAccessibleDescription(form.sentence)
        box.setToolTip(form.sentence)
        box.setChecked(form.default or form.key == "recipe")
        box.toggled.connect(self._check)
        return box

    def _sentence(self, form: Format) -> QLabel:
        label = QLabel(form.sentence, self)
        label.setObjectName(f"exportSentence_{form.key}")
        label.setWordWrap(True)
        label.setBuddy(self.formats[form.key])
        return label

    def _refuse(self) -> None:
        """Disable the formats that cannot carry the model with its present decisions, and say why."""
        model = self._document.model
        for form in FORMATS:
            why, hint = why_not(form.key, model, self._document.recipe) if model is not None else ("", "")
            box, label = self.formats[form.key], self.sentences[form.key]
            self._refused[form.key] = why
            if why:
                box.setChecked(False)
            box.setEnabled(not why and not self._working)
            text = self.tr("Not possible: {why}. {hint}").format(why=why, hint=hint) if why else form.sentence
            label.setText(text)
            self._tips[box] = text
            box.setToolTip(text)

    def _build_table(self) -> QTableWidget:
        titles = [
            self.tr("Format"),
            self.tr("File"),
            self.tr("Size"),
            self.tr("Checked in a fresh process"),
            self.tr("Same class"),
            self.tr("Max difference"),
            self.tr("SQNR"),
            self.tr("Time"),
        ]
        table = QTableWidget(0, len(titles), self)
        set_up_rows(table, "exportTable", self.tr("Exported files"))
        table.setAccessibleDescription(self.tr("Every written file and what its check in a fresh process found."))
        table.setHorizontalHeaderLabels(titles)
        explained = {
            4: self.tr("Share of the samples with the same most likely class as in the model in QGUI."),
            5: self.tr("Greatest difference of an output from that of the model in QGUI."),
            6: self.tr("Energy of the outputs of the model in QGUI to that of the difference; more is closer."),
            7: self.tr("Median time of one sample in the fresh process."),
        }
        for column, text in explained.items():
            header = QTableWidgetItem(titles[column])
            header.setToolTip(text)
            table.setHorizontalHeaderItem(column, header)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.hide()
        return table

    def _build_buttons(self) -> None:
        self.open_folder = QPushButton(self.tr("Open folder"), self)
        self.open_folder.setObjectName("exportOpenFolder")
        self.open_folder.setToolTip(self.tr("Show the files in the file manager."))
        self.open_folder.clicked.connect(
            lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(self.folder.path).absolute())))
        )
        self.close_button = QPushButton(self.tr("Close"), self)
        self.close_button.setObjectName("exportClose")
        self.close_button.setToolTip(self.tr("Close this dialog; a running export goes on."))
        self.close_button.clicked.connect(self.accept)
        self.export = QPushButton(self.tr("Export"), self)
        self.export.setObjectName("exportStart")
        self.export.setProperty("primary", True)
        self.export.setDefault(True)
        self.export.clicked.connect(self._start)
        for button in (self.open_folder, self.close_button, self.export):
            button.setAccessibleName(button.text())
        self.stop = QPushButton(self.tr("Cancel export"), self)
        self.stop.setObjectName("exportStop")
        self.stop.setAccessibleName(self.stop.text())
        self.stop.setToolTip(self.tr("Stop the export; files that were there before stay as they are."))
        self.stop.clicked.connect(self._on_stop)
        for button in (self.open_folder, self.stop):
            button.hide()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        label = QLabel(self.tr("Folder"), self)
        label.setBuddy(self.folder.edit)
        row.addWidget(label)
        row.addWidget(self.folder, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_folder)
        buttons.addStretch(1)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addLayout(row)
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setColumnStretch(1, 1)
        for place, key in enumerate(self.formats):
            grid.addWidget(self.formats[key], place, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(self.sentences[key], place, 1)
        layout.addLayout(grid)
        layout.addWidget(self.message)
        layout.addWidget(self.table)
        layout.addStretch(1)
        layout.addLayout(buttons)

    def chosen_formats(self) -> tuple[str, ...]:
        """Return the ticked formats."""
        return tuple(key for key, box in self.formats.items() if box.isChecked())

    def _check(self) -> None:
        reason = ""
        if not self.folder.path:
            reason = self.tr("Choose a folder.")
        elif not self.chosen_formats():
            reason = self.tr("Tick at least one format.")
        self.export.setEnabled(not reason)
        self.export.setToolTip(reason or self.tr("Write the files and check each."))
        self.message.setText(reason or self.tr("Each file is loaded again in a fresh process and compared."))

    def _start(self) -> None:
        """Export; where a file would be replaced, ask before."""
        folder = Path(self.folder.path)
        there = [BY_KEY[key].file for key in self.chosen_formats() if (folder / BY_KEY[key].file).exists()]
        if not there:
            self._export()
            return
        box = QMessageBox(self)
        box.setObjectName("exportReplaceBox")
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle(self.tr("Export"))
        box.setText(self.tr("Replace {files}?").format(files=", ".join(there)))
        box.setInformativeText(
            self.tr("They are replaced all together once every new file is written; until then they stay.")
        )
        replace = box.addButton(self.tr("Replace"), QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.finished.connect(lambda _: self._export() if box.clickedButton() is replace else None)
        box.open()

    def _export(self) -> None:
        self._set_working(True)
        self._written = self._document.exports
        self._workflow.export(Path(self.folder.path), self.chosen_formats())

    def _set_working(self, working: bool) -> None:
        self._working = working
        self.stop.setVisible(working)
        self.stop.setEnabled(working)
        self.export.setEnabled(not working)
        for widget, tip in self._tips.items():
            widget.setEnabled(not working)
            widget.setToolTip(self.tr("Wait until the export is done, or cancel it.") if working else tip)
        for key, why in self._refused.items():
            if why:
                self.formats[key].setEnabled(False)
        if working:
            self.message.setText(self.tr("Exporting and checking …"))
        else:
            self._check()

    def _on_progress(self, progress: Progress) -> None:
        if self._working and self.stop.isEnabled() and progress.total:
            text = self.tr("{phase}: {done} of {total} done …")
            self.message.setText(text.format(phase=progress.phase, done=progress.done, total=progress.total))

    def _on_stop(self) -> None:
        self.stop.setEnabled(False)
        self.message.setText(self.tr("Stopping …"))
        self._workflow.cancel()

    def _on_settled(self) -> None:
        """Begin anew where the export ended without files: it failed, or was cancelled."""
        if self._working:
            self._set_working(False)

    def _refresh(self) -> None:
        exports = self._document.exports
        if exports is self._written or not exports:
            return
        self._written = exports
        self._set_working(False)
        self.table.setRowCount(len(exports))
        for row, entry in enumerate(exports):
            texts = self._texts(entry)
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(entry.message or entry.path)
                if column == 2 or column > 3:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        failed = [f"{BY_KEY[entry.format].title}: {entry.message}" for entry in exports if not entry.verified]
        checked = max((entry.samples for entry in exports), default=0)
        one = self.tr("Every file was loaded again and gave the same outputs for 1 sample.")
        many = self.tr("Every file was loaded again and gave the same outputs for {count} samples.")
        sentence = one if checked == 1 else many
        self.message.setText("\n".join(failed) if failed else sentence.format(count=checked))
        self.table.resizeColumnsToContents()
        frame = 2 * self.table.frameWidth()
        height = self.table.verticalHeader().length() + self.table.horizontalHeader().sizeHint().height()
        heads = self.table.horizontalHeader()
        columns = range(self.table.columnCount())
        width = sum(max(self.table.sizeHintForColumn(c), heads.sectionSizeHint(c)) for c in columns)
        self.table.setMinimumSize(width + frame, height + frame)
        self.table.show()
        self.open_folder.show()
        self.export.setText(self.tr("Export again"))
        layout = self.layout()
        if layout is not None:
            layout.activate()
        self.resize(self.size().expandedTo(self.sizeHint()))

    def _texts(self, entry: ExportResult) -> tuple[str, ...]:
        """Return what a row of the table says."""
        verified = self.tr("✓ same outputs") if entry.verified else self.tr("✕ other outputs")
        if not entry.verified and entry.max_abs_diff is None:
            verified = self.tr("✕ not possible") if not entry.path else self.tr("✕ not opened")
        elif entry.verified and entry.max_abs_diff is None:
            verified = self.tr("✓ read again")
        elif entry.verified and entry.max_abs_diff:
            verified = self.tr("✓ same but for rounding")
        threads = self.tr("{time} ({threads} threads)") if entry.threads > 1 else "{time}"
        time = formatting.milliseconds(entry.latency_ms)
        return (
            BY_KEY[entry.format].title,
            Path(entry.path).name,
            formatting.size(entry.size_bytes),
            verified,
            formatting.percent(entry.agreement),
            formatting.NOTHING if entry.max_abs_diff is None else formatting.number(entry.max_abs_diff, 3),
            formatting.decibel(entry.sqnr_db),
            time if entry.latency_ms is None else threads.format(time=time, threads=entry.threads),
        )
