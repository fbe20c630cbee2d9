"""What the engine and the window said, line by line."""

from __future__ import annotations

import html
import logging
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from qgui.core.errors import QguiError
from qgui.core.recipe_file import write_atomically
from qgui.ui.theme import Theme
from qgui.ui.workflow import failure_of

LEVELS = ("debug", "info", "warning", "error")
_LINES = 5_000


class LineSource(QObject):
    """Says that a line was logged.

    Signals:
        line: Level and text.
    """

    line = Signal(str, str)


class LogBridge(logging.Handler):
    """Hands the window's own log records to the panel, from whatever thread they come.

    Args:
        parent: Qt parent of the source of lines.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(logging.INFO)
        self.source = LineSource(parent)

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        self.source.line.emit(level if level in LEVELS else "info", self.format(record))


class LogPanel(QWidget):
    """The log with a level filter, a search, and ways to take it away.

    Signals:
        saved: A sentence.
        failed: A `Failed`, to be shown.

    Args:
        theme: For the colours of warnings and errors.
        parent: Qt parent.
    """

    saved = Signal(str)
    failed = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._lines: list[tuple[str, str, str]] = []
        self.setObjectName("logPanel")
        self.level = QComboBox(self)
        self.level.setObjectName("logLevel")
        self.level.setAccessibleName(self.tr("Least level shown"))
        self.level.setToolTip(self.tr("Show lines of this level and above."))
        self.level.addItems([self.tr("debug"), self.tr("info"), self.tr("warning"), self.tr("error")])
        self.level.setCurrentIndex(LEVELS.index("info"))
        self.level.currentIndexChanged.connect(self._show_all)
        self.search = QLineEdit(self)
        self.search.setObjectName("logSearch")
        self.search.setAccessibleName(self.tr("Search in the log"))
        self.search.setPlaceholderText(self.tr("Search"))
        self.search.setToolTip(self.tr("Show only lines that hold these words, in any case."))
        self.search.setClearButtonEnabled(True)
        self.search.setMaximumWidth(self.fontMetrics().averageCharWidth() * 40)
        self.search.textChanged.connect(self._show_all)
        self.hits = QLabel(self)
        self.hits.setObjectName("logHits")
        self.hits.setProperty("faint", True)
        self.copy = QPushButton(self.tr("Copy all"), self)
        self.copy.setObjectName("logCopy")
        self.copy.setAccessibleName(self.tr("Copy the log"))
        self.copy.setToolTip(self.tr("Copy the whole log to the clipboard, for a bug report."))
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text()))
        self.save = QPushButton(self.tr("Save…"), self)
        self.save.setObjectName("logSave")
        self.save.setAccessibleName(self.tr("Save the log"))
        self.save.setToolTip(self.tr("Write the whole log to a text file."))
        self.save.clicked.connect(self._ask_where)
        self.clear = QPushButton(self.tr("Clear"), self)
        self.clear.setObjectName("logClear")
        self.clear.setAccessibleName(self.tr("Clear the log"))
        self.clear.setToolTip(self.tr("Remove all lines."))
        self.clear.clicked.connect(self._clear)
        self.view = QPlainTextEdit(self)
        self.view.setObjectName("logView")
        self.view.setAccessibleName(self.tr("Log"))
        self.view.setReadOnly(True)
        self.view.setMaximumBlockCount(_LINES)
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.view.setPlaceholderText(self.tr("Nothing has been logged yet."))
        row = QHBoxLayout()
        row.addWidget(self.level)
        row.addWidget(self.search, 1)
        row.addWidget(self.hits)
        row.addStretch(1)
        row.addWidget(self.copy)
        row.addWidget(self.save)
        row.addWidget(self.clear)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addLayout(row)
        layout.addWidget(self.view, 1)
        theme.changed.connect(self._show_all)

    def add(self, level: str, text: str) -> None:
        """Add a line."""
        line = (datetime.now().astimezone().strftime("%H:%M:%S"), level if level in LEVELS else "info", text)
        self._lines.append(line)
        if len(self._lines) > _LINES:
            del self._lines[: len(self._lines) - _LINES]
        if self._shown(line):
            self.view.appendHtml(self._html(line))
            self._count_hits()

    def text(self) -> str:
        """Return the whole log."""
        return "\n".join(f"{when} {level:7} {text}" for when, level, text in self._lines)

    def save_to(self, path: Path) -> None:
        """Write the whole log to a file; says so, or why not."""
        try:
            write_atomically(path, f"{self.text()}\n".encode())
        except QguiError as error:
            self.failed.emit(failure_of(error))
            return
        self.saved.emit(self.tr("Saved {path}.").format(path=path))

    def _ask_where(self) -> None:
        name = datetime.now().astimezone().strftime("qgui-%Y-%m-%d-%H%M.log")
        dialog = QFileDialog(self, self.tr("Save the log"), str(Path.home() / name))
        dialog.setObjectName("saveLogDialog")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Text ({pattern})").format(pattern="*.log *.txt"))
        dialog.fileSelected.connect(lambda path: self.save_to(Path(path)))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _shown(self, line: tuple[str, str, str]) -> bool:
        _, level, text = line
        words = self.search.text().casefold().split()
        return LEVELS.index(level) >= self.level.currentIndex() and all(word in text.casefold() for word in words)

    def _count_hits(self) -> None:
        """Say how many lines the search finds; nothing where nothing is searched."""
        if not self.search.text().split():
            self.hits.setText("")
            return
        count = 0 if self.view.document().isEmpty() else self.view.blockCount()
        sentence = self.tr("no line") if not count else self.tr("1 line") if count == 1 else self.tr("{count} lines")
        self.hits.setText(sentence.format(count=count))

    def _html(self, line: tuple[str, str, str]) -> str:
        when, level, text = line
        colours = self._theme.colours
        colour = {"error": colours.bad, "warning": self._theme.colours.text, "debug": colours.faint}.get(level, "")
        style = f' style="color:{colour}"' if colour else ""
        mark = {"error": self.tr("✕ error: "), "warning": self.tr("▲ warning: ")}.get(level, "")
        safe = html.escape(text).replace("  ", "&nbsp;&nbsp;")
        return f'<span style="color:{colours.faint}">{when}</span>&nbsp; <span{style}>{mark}{safe}</span>'

    def _show_all(self) -> None:
        self.view.clear()
        for line in self._lines:
            if self._shown(line):
                self.view.appendHtml(self._html(line))
        self._count_hits()

    def _clear(self) -> None:
        self._lines.clear()
        self._show_all()
