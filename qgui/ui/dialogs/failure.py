"""Saying what failed, why, and what to do next; and asking before code of a file runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from qgui.core.language import say
from qgui.core.messages import Failed
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme


class ThemedIcon(QLabel):
    """A large icon in the colours of the theme, also when that changes.

    Args:
        theme: Draws it.
        name: Of the icon.
        parent: Qt parent.
        bad: Whether it has the colour of errors.
    """

    def __init__(self, theme: Theme, name: str, parent: QWidget, bad: bool = False) -> None:
        super().__init__(parent)
        self._theme, self._name, self._bad = theme, name, bad
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        theme.changed.connect(self._draw)
        self._draw()

    def _draw(self) -> None:
        colour = self._theme.colours.bad if self._bad else ""
        self.setPixmap(self._theme.icon(self._name, colour).pixmap(32, 32))


class FailureDialog(QDialog):
    """Shows a failure; its details are folded away and can be copied.

    Args:
        failure: What failed.
        theme: For the icon.
        parent: Qt parent.
    """

    def __init__(self, failure: Failed, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._failure = failure
        self.setObjectName("failureDialog")
        self.setWindowTitle(self.tr("That did not work"))
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 72)
        icon = ThemedIcon(theme, "error", self, bad=True)
        texts = QVBoxLayout()
        for name, text, bold in (
            ("what", failure.what, True),
            ("why", sentence(failure.why), False),
            ("next", failure.next_step, False),
        ):
            label = self._text(f"failure_{name}", text, bold)
            label.setVisible(bool(text))
            texts.addWidget(label)
        texts.addStretch(1)
        head = QHBoxLayout()
        head.setSpacing(14)
        head.addWidget(icon)
        head.addLayout(texts, 1)
        self.details = QPlainTextEdit(failure.details, self)
        self.details.setObjectName("failureDetails")
        self.details.setAccessibleName(self.tr("Details"))
        self.details.setReadOnly(True)
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.details.setMinimumHeight(self.fontMetrics().height() * 14)
        self.details.hide()
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addLayout(head)
        layout.addWidget(self.details, 1)
        layout.addLayout(self._build_buttons())

    def _text(self, name: str, text: str, bold: bool) -> QLabel:
        label = QLabel(text, self)
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        font = label.font()
        font.setBold(bold)
        label.setFont(font)
        return label

    def _build_buttons(self) -> QHBoxLayout:
        self.fold = QPushButton(self.tr("Show details"), self)
        self.fold.setObjectName("failureFold")
        self.fold.setAccessibleName(self.tr("Show details"))
        self.fold.setToolTip(self.tr("Show what the program reported."))
        self.fold.setCheckable(True)
        self.fold.setVisible(bool(self._failure.details))
        self.fold.toggled.connect(self._on_fold)
        copy = QPushButton(self.tr("Copy"), self)
        copy.setObjectName("failureCopy")
        copy.setAccessibleName(self.tr("Copy the report"))
        copy.setToolTip(self.tr("Copy everything to the clipboard, for a bug report."))
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.report()))
        close = QPushButton(self.tr("Close"), self)
        close.setObjectName("failureClose")
        close.setAccessibleName(self.tr("Close"))
        close.setToolTip(self.tr("Go on working."))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        for button in (self.fold, copy):
            button.setAutoDefault(False)
        row = QHBoxLayout()
        row.addWidget(self.fold)
        row.addWidget(copy)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def report(self) -> str:
        """Return everything as text."""
        parts = (self._failure.what, self._failure.why, self._failure.next_step, self._failure.details)
        return "\n\n".join(part for part in parts if part)

    def _on_fold(self, shown: bool) -> None:
        self.details.setVisible(shown)
        self.fold.setText(self.tr("Hide details") if shown else self.tr("Show details"))
        self.adjustSize()


class Question(QDialog):
    """Asks for a consent that the engine will not take for granted; the careful answer is the default.

    Args:
        name: Object name of the dialog; its parts are named after it.
        title: Title of the window.
        texts: What is asked, as paragraphs.
        theme: For the icon.
        parent: Qt parent.
    """

    def __init__(self, name: str, title: str, texts: Sequence[str], theme: Theme, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setObjectName(f"{name}Dialog")
        self.setWindowTitle(title)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 72)
        icon = ThemedIcon(theme, "warning", self)
        self._column = column = QVBoxLayout()
        column.setSpacing(10)
        for text in texts:
            label = QLabel(text, self)
            label.setObjectName(f"{name}Text")
            label.setWordWrap(True)
            column.addWidget(label)
        head = QHBoxLayout()
        head.setSpacing(14)
        head.addWidget(icon)
        head.addLayout(column, 1)
        self._buttons = QDialogButtonBox(self)
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        layout.addLayout(head)
        layout.addWidget(self._buttons)

    def add(self, widget: QWidget) -> None:
        """Put a widget under the texts."""
        self._column.addWidget(widget)

    def offer(self, name: str, text: str, tip: str, agrees: bool) -> None:
        """Add a button with which the person agrees, or declines, which is the default."""
        role = QDialogButtonBox.ButtonRole.AcceptRole if agrees else QDialogButtonBox.ButtonRole.RejectRole
        button = self._buttons.addButton(text, role)
        button.setObjectName(name)
        button.setToolTip(tip)
        button.setAutoDefault(False)
        button.setDefault(not agrees)


class TrustDialog(Question):
    """Asks whether code that a file holds may run.

    Args:
        failure: Why the file was not opened.
        theme: For the icon.
        parent: Qt parent.
    """

    def __init__(self, failure: Failed, theme: Theme, parent: QWidget | None = None) -> None:
        danger = say(
            "A pickle file can hold any program. If you go on, it runs in the engine's process with your rights: "
            "it could read, change or send every file that you can.",
        )
        advice = say(
            "Go on only if you made the file or trust who did. Weights saved as .safetensors or as a state dict "
            "never need this.",
        )
        title = say("Run code from this file?")
        super().__init__("trust", title, (f"{failure.what}: {sentence(failure.why)}", danger, advice), theme, parent)
        self.offer(
            "trustRun", self.tr("Run its code and open it"), self.tr("Open the file and run what it holds."), True
        )
        self.offer("trustLeave", self.tr("Do not open"), self.tr("Leave the file alone."), False)
        self._folder = str(Path(failure.file).absolute().parent) if failure.file else ""
        self.always = QCheckBox(self.tr("Trust all files in {folder}").format(folder=self._folder), self)
        self.always.setObjectName("trustFolder")
        self.always.setToolTip(self.tr("Do not ask again for this folder; the preferences list those you trust."))
        self.always.setVisible(bool(self._folder))
        self.add(self.always)

    def remember(self, settings: Settings) -> None:
        """Remember the folder where the person trusts it."""
        if self.always.isChecked() and self._folder:
            settings.set_trusted([*settings.trusted(), self._folder])


class ConsentDialog(Question):
    """Asks whether ranges may come from the finite values only.

    Args:
        failure: Where NaN or infinite values came up.
        theme: For the icon.
        parent: Qt parent.
    """

    def __init__(self, failure: Failed, theme: Theme, parent: QWidget | None = None) -> None:
        meaning = say(
            "Such values have no place on an int8 scale. Ranges can be computed from the finite values only; the int8 "
            "model then gives a finite number where the float model gives NaN or infinity.",
        )
        advice = say(
            "Often the cause is a damaged sample or a layer whose weights diverged: look there first. This decision "
            "is kept in the recipe and can be undone.",
        )
        title = say("Leave out values that are not finite?")
        super().__init__("consent", title, (f"{failure.what}: {sentence(failure.why)}", meaning, advice), theme, parent)
        self.offer(
            "consentFinite",
            self.tr("Use the finite values only"),
            self.tr("Record this decision and calibrate again."),
            True,
        )
        self.offer("consentStop", self.tr("Do not calibrate"), self.tr("Keep the statistics as they are."), False)


def sentence(text: str) -> str:
    """Return a reason as a sentence: with a full stop, and a capital letter where it does not begin with a name."""
    text = text.strip()
    if not text:
        return ""
    if text.split()[0].rstrip(",;:").isalpha():
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":", "。", "！", "？", "：")) else say("{sentence}.", sentence=text)
