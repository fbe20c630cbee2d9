"""The window of the guide: its pages on the left, the text on the right, and a search through all of them."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import (
    QDesktopServices,
    QKeySequence,
    QShortcut,
    QTextBlockFormat,
    QTextCursor,
    QTextDocument,
    QTextTable,
)
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSplitter,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from qgui.core.language import language
from qgui.ui import guide
from qgui.ui.theme import Theme


class GuideWindow(QDialog):
    """Shows the guide beside the work: it does not block the window.

    Signals:
        advice_wanted: The person wants the advice for the open model.

    Args:
        theme: For the colours of links and tables.
        parent: Qt parent.
    """

    advice_wanted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._pages = guide.pages(language())
        self._shown = ""
        self.setObjectName("guideWindow")
        self.setWindowTitle(self.tr("Guide"))
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        width = self.fontMetrics().averageCharWidth()
        self.resize(140 * width, 46 * self.fontMetrics().lineSpacing())
        self._build(width)
        theme.changed.connect(self._draw)
        self._list(self._pages)

    def _build(self, width: int) -> None:
        self.search = QLineEdit(self)
        self.search.setObjectName("guideSearch")
        self.search.setAccessibleName(self.tr("Search the guide"))
        self.search.setPlaceholderText(self.tr("Search"))
        self.search.setToolTip(self.tr("Show the pages that hold all of these words."))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_search)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self, self.search.setFocus)
        self.contents = QListWidget(self)
        self.contents.setObjectName("guideContents")
        self.contents.setAccessibleName(self.tr("Pages of the guide"))
        self.contents.setToolTip(self.tr("The pages of the guide."))
        self.contents.currentItemChanged.connect(self._on_page)
        self.nothing = QLabel(self.tr("No page holds all of these words."), self)
        self.nothing.setObjectName("guideNothing")
        self.nothing.setWordWrap(True)
        self.nothing.setProperty("faint", True)
        self.nothing.hide()
        self.text = QTextBrowser(self)
        self.text.setObjectName("guideText")
        self.text.setAccessibleName(self.tr("Text of the guide"))
        self.text.setToolTip(self.tr("The page that is chosen on the left."))
        self.text.setOpenLinks(False)
        self.text.anchorClicked.connect(self._on_link)
        side = QWidget(self)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.search, self.contents, self.nothing):
            column.addWidget(widget)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setObjectName("guideSplitter")
        split.setChildrenCollapsible(False)
        split.addWidget(side)
        split.addWidget(self.text)
        split.setStretchFactor(1, 1)
        split.setSizes([38 * width, 102 * width])
        row = QHBoxLayout(self)
        row.addWidget(split)

    def show_page(self, name: str) -> None:
        """Show a page and bring the window to the front."""
        self.search.clear()
        for row, page in enumerate(self._pages):
            if page.name == name:
                self.contents.setCurrentRow(row)
        self.show()
        self.raise_()
        self.activateWindow()

    @property
    def page(self) -> str:
        """The name of the page that is shown."""
        return self._shown

    def _on_search(self, words: str) -> None:
        self._list(guide.matching(self._pages, words))

    def _list(self, found: list[guide.Page]) -> None:
        shown = self._shown
        self.contents.blockSignals(True)
        self.contents.clear()
        for page in found:
            item = QListWidgetItem(page.title, self.contents)
            item.setData(Qt.ItemDataRole.UserRole, page.name)
        self.contents.blockSignals(False)
        self.nothing.setVisible(not found)
        if found:
            names = [page.name for page in found]
            self.contents.setCurrentRow(names.index(shown) if shown in names else 0)
            self._mark()

    def _on_page(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self._shown = item.data(Qt.ItemDataRole.UserRole)
            self._draw()

    def _draw(self) -> None:
        for page in self._pages:
            if page.name == self._shown:
                document = self.text.document()
                colours = self._theme.colours
                document.setDefaultStyleSheet(f"a {{ color: {colours.accent} }}")
                document.setDocumentMargin(self.fontMetrics().height())
                features = QTextDocument.MarkdownFeature.MarkdownDialectGitHub
                document.setMarkdown(page.text, features)
                self._space(document)
                self._mark()

    def _space(self, document: QTextDocument) -> None:
        """Give lines and the cells of tables room, which Markdown does not say."""
        cursor = QTextCursor(document)
        cursor.select(QTextCursor.SelectionType.Document)
        lines = QTextBlockFormat()
        lines.setLineHeight(125.0, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor.mergeBlockFormat(lines)
        for frame in document.rootFrame().childFrames():
            if isinstance(frame, QTextTable):
                form = frame.format()
                form.setCellPadding(self.fontMetrics().height() / 3)
                form.setCellSpacing(0)
                frame.setFormat(form)

    def _mark(self) -> None:
        """Move to the first place where the searched words stand."""
        words = self.search.text().split()
        self.text.moveCursor(self.text.textCursor().MoveOperation.Start)
        if words:
            self.text.find(words[0])

    def _on_link(self, url: QUrl) -> None:
        if url.scheme() == guide.OWN_SCHEME:
            self.advice_wanted.emit()
            return
        QDesktopServices.openUrl(url)
