"""What an empty window shows: open a model, open something recent, or try an example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from qgui.ui import formatting
from qgui.ui.banner import Banner
from qgui.ui.examples import Example, examples
from qgui.ui.recovery import Leftover
from qgui.ui.settings import RecentEntry
from qgui.ui.theme import Theme


class StartPage(QScrollArea):
    """The page of an empty window.

    Signals:
        model_wanted: The person wants to choose a model.
        recipe_wanted: The person wants to choose a recipe file.
        example_wanted: An `Example` to open with its data.
        recent_wanted: A `RecentEntry` to open.
        restore_wanted: A `Leftover` to restore.
        discard_wanted: A `Leftover` to throw away.

    Args:
        theme: For the icons.
        parent: Qt parent.
    """

    model_wanted = Signal()
    recipe_wanted = Signal()
    example_wanted = Signal(object)
    recent_wanted = Signal(object)
    restore_wanted = Signal(object)
    discard_wanted = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setObjectName("startPage")
        self.setAccessibleName(self.tr("Start"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._leftover: Leftover | None = None
        self._iconed: list[tuple[QPushButton, str]] = []
        body = QWidget(self)
        centre = QHBoxLayout(body)
        column = QVBoxLayout()
        column.setSpacing(12)
        self._column = QWidget(body)
        self._column.setLayout(column)
        self._column.setMaximumWidth(self.fontMetrics().averageCharWidth() * 130)
        centre.addStretch(1)
        centre.addWidget(self._column, 30)
        centre.addStretch(1)
        column.addStretch(1)
        self.recovered = Banner("recovered", "warning", self)
        self.recovered.hide()
        self.discard = QPushButton(self.tr("Discard"), self.recovered)
        self.discard.setObjectName("recoveredDiscard")
        self.discard.setAccessibleName(self.tr("Discard the recovered decisions"))
        self.discard.setToolTip(self.tr("Throw the recovered decisions away."))
        self.discard.clicked.connect(self._on_discard)
        self.recovered.add_button(self.discard)
        column.addWidget(self._heading())
        column.addWidget(self.recovered)
        row = QHBoxLayout()
        row.setSpacing(24)
        row.addWidget(self._begin_column(), 2)
        row.addWidget(self._example_column(), 3)
        column.addLayout(row)
        column.addStretch(2)
        self.setWidget(body)
        theme.changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def _heading(self) -> QWidget:
        box = QWidget(self)
        title = QLabel("QGUI", box)
        font = title.font()
        font.setPointSizeF(font.pointSizeF() * 2.2)
        font.setBold(True)
        title.setFont(font)
        sentence = QLabel(
            self.tr(
                "Quantize PyTorch models by hand and by eye: see every layer's range, decide, compare with the float "
                "model, export."
            ),
            box,
        )
        sentence.setWordWrap(True)
        sentence.setProperty("faint", True)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 8)
        layout.addWidget(title)
        layout.addWidget(sentence)
        return box

    def _begin_column(self) -> QWidget:
        box = QWidget(self)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._caption(self.tr("Begin")))
        model = QPushButton(self.tr("Open model…"), box)
        model.setObjectName("startOpenModel")
        model.setAccessibleName(self.tr("Open model"))
        model.setToolTip(self.tr("Choose a model from torchvision, Python code or a file."))
        model.setProperty("primary", True)
        model.clicked.connect(self.model_wanted)
        recipe = QPushButton(self.tr("Open recipe…"), box)
        recipe.setObjectName("startOpenRecipe")
        recipe.setAccessibleName(self.tr("Open recipe"))
        recipe.setToolTip(self.tr("Open decisions that you saved as a .qgui file."))
        recipe.clicked.connect(self.recipe_wanted)
        self._iconed.append((recipe, "open-recipe"))
        for button in (model, recipe):
            button.setMinimumHeight(self.fontMetrics().height() * 2)
            layout.addWidget(button)
        layout.addSpacing(10)
        layout.addWidget(self._caption(self.tr("Recent")))
        self._recent = QVBoxLayout()
        self._recent.setSpacing(2)
        layout.addLayout(self._recent)
        layout.addStretch(1)
        return box

    def _example_column(self) -> QWidget:
        box = QWidget(self)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._caption(self.tr("Try an example, with real data, in seconds")))
        for example in examples():
            layout.addWidget(self._example_card(example))
        layout.addStretch(1)
        return box

    def _example_card(self, example: Example) -> QWidget:
        card = QFrame(self)
        card.setProperty("card", True)
        title = QLabel(example.title, card)
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        sentence = QLabel(example.sentence, card)
        sentence.setWordWrap(True)
        button = QPushButton(self.tr("Open"), card)
        button.setObjectName(f"open_{example.source}")
        button.setAccessibleName(self.tr("Open {title}").format(title=example.title))
        button.setToolTip(self.tr("Open {source} with its data.").format(source=example.source))
        button.clicked.connect(lambda: self.example_wanted.emit(example))
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(title)
        texts.addWidget(sentence)
        layout = QHBoxLayout(card)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(12)
        layout.addLayout(texts, 1)
        layout.addWidget(button)
        return card

    def _caption(self, text: str) -> QLabel:
        label = QLabel(text, self)
        font = label.font()
        font.setBold(True)
        label.setFont(font)
        return label

    # Content that changes

    def show_recent(self, entries: Sequence[RecentEntry]) -> None:
        """List what was open lately."""
        while (item := self._recent.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        if not entries:
            empty = QLabel(self.tr("What you open is listed here."), self)
            empty.setProperty("faint", True)
            self._recent.addWidget(empty)
        for entry in list(entries)[:6]:
            self._recent.addWidget(self._recent_button(entry))

    def _recent_button(self, entry: RecentEntry) -> QPushButton:
        text = Path(entry.text).name if entry.kind == "recipe" else formatting.shortened(entry.text, 34)
        button = QPushButton(text, self)
        button.setObjectName("recentEntry")
        button.setFlat(True)
        button.setStyleSheet("text-align: left; padding: 4px;")
        button.setIcon(self._theme.icon("open-recipe" if entry.kind == "recipe" else "open-model"))
        button.setAccessibleName(self.tr("Open {text}").format(text=entry.text))
        button.setToolTip(entry.text)
        button.clicked.connect(lambda: self.recent_wanted.emit(entry))
        return button

    def show_leftover(self, leftover: Leftover | None) -> None:
        """Offer decisions that were saved automatically before a crash."""
        self._leftover = leftover
        if leftover is None:
            self.recovered.hide()
            return
        sentence = self.tr("QGUI ended unexpectedly. Your decisions for {model} from {time} were kept.")
        self.recovered.tell(
            sentence.format(model=leftover.title, time=leftover.time),
            self.tr("Restore"),
            self.tr("Open the model with the decisions that were kept."),
            self._on_restore,
        )

    def _on_restore(self) -> None:
        if self._leftover is not None:
            self.restore_wanted.emit(self._leftover)

    def _on_discard(self) -> None:
        if self._leftover is not None:
            self.discard_wanted.emit(self._leftover)

    def _on_theme_changed(self) -> None:
        for button, icon in self._iconed:
            button.setIcon(self._theme.icon(icon))

    def sizeHint(self) -> QSize:
        return QSize(self.fontMetrics().averageCharWidth() * 110, self.fontMetrics().height() * 30)
