"""The window that explains the advice for the open model: sections of pieces, each with what one press decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFont
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from qgui.core.adviser.matter import Piece, Section
from qgui.core.adviser.proposals import Proposal


def _label(name: str, parent: QWidget, faint: bool = False) -> QLabel:
    label = QLabel(parent)
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    if faint:
        label.setProperty("faint", True)
    return label


def _show(label: QLabel, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))


class PieceRow(QWidget):
    """One piece of advice: title, figures, text, and at the right what can be done.

    Signals:
        taken: The `Proposal` of the piece.
        job_wanted: Its job, as in `Piece.job`.

    Args:
        name: Object name.
        parent: Qt parent.
    """

    taken = Signal(object)
    job_wanted = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._piece: Piece | None = None
        self.title = _label(f"{name}Title", self)
        bold = QFont(self.font())
        bold.setBold(True)
        self.title.setFont(bold)
        self.figures = _label(f"{name}Figures", self, faint=True)
        self.text = _label(f"{name}Text", self)
        self.done = _label(f"{name}Done", self, faint=True)
        self.take = QPushButton(self)
        self.take.setObjectName(f"{name}Take")
        self.take.clicked.connect(self._on_take)
        self.job = QPushButton(self)
        self.job.setObjectName(f"{name}Job")
        self.job.clicked.connect(self._on_job)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 1)
        for row, label in enumerate((self.title, self.figures, self.text, self.done)):
            grid.addWidget(label, row, 0)
        buttons = QVBoxLayout()
        for button in (self.take, self.job):
            buttons.addWidget(button, 0, Qt.AlignmentFlag.AlignRight)
        buttons.addStretch(1)
        grid.addLayout(buttons, 0, 1, 4, 1)

    def show_piece(self, piece: Piece, job_text: str, job_tip: str, why_no_job: str) -> None:
        """Show a piece of advice.

        Args:
            piece: The piece.
            job_text: What its job is called, empty where it has none.
            job_tip: What the job does.
            why_no_job: Why the job is not possible now, empty where it is.
        """
        self._piece = piece
        for label, text in ((self.title, piece.title), (self.figures, piece.figures), (self.text, piece.text)):
            _show(label, text)
        _show(self.done, f"✓ {piece.done}" if piece.done else "")
        proposal = piece.proposal
        self.take.setVisible(proposal is not None)
        if proposal is not None:
            self.take.setText(proposal.text)
            self.take.setAccessibleName(f"{piece.title}: {proposal.text}")
            self.take.setToolTip(self.tr("Decide so; one step of undo takes it back."))
            self.take.setAccessibleDescription(", ".join(proposal.layers))
        self.job.setVisible(bool(job_text))
        self.job.setText(job_text)
        self.job.setAccessibleName(f"{piece.title}: {job_text}")
        self.job.setEnabled(not why_no_job)
        self.job.setToolTip(why_no_job or job_tip)

    def _on_take(self) -> None:
        if self._piece is not None and self._piece.proposal is not None:
            self.taken.emit(self._piece.proposal)

    def _on_job(self) -> None:
        if self._piece is not None:
            self.job_wanted.emit(self._piece.job)


class AdviceWindow(QDialog):
    """Explains the advice beside the work: it does not block the window, and follows what is decided and measured.

    Signals:
        taken: A `Proposal` that the person takes.
        job_wanted: Work that says more, as in `Piece.job`.

    Args:
        parent: Qt parent.
    """

    taken = Signal(Proposal)
    job_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("adviceWindow")
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        self.setWindowTitle(self.tr("Advice for this model"))
        width, height = self.fontMetrics().averageCharWidth(), self.fontMetrics().lineSpacing()
        self.resize(118 * width, 46 * height)
        self.nothing = _label("adviceNothing", self, faint=True)
        self.nothing.setText(self.tr("Open a model: what is advised for it, and why, stands here."))
        self.area = QScrollArea(self)
        self.area.setObjectName("adviceArea")
        self.area.setAccessibleName(self.tr("Advice for this model"))
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self._page = QWidget(self.area)
        self._page.setObjectName("advicePage")
        self._column = QVBoxLayout(self._page)
        self._column.setContentsMargins(12, 8, 12, 8)
        self._column.setSpacing(6)
        self._column.addStretch(1)
        self.area.setWidget(self._page)
        self._texts: dict[str, QLabel] = {}
        self._rows: dict[tuple[str, str], PieceRow] = {}
        self._parts: list[QWidget] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.nothing)
        layout.addWidget(self.area, 1)
        self.show_advice((), lambda _: ("", "", ""))

    def rows(self) -> Iterator[tuple[str, str, PieceRow]]:
        """Yield section, piece and row of everything that is shown."""
        for (section, piece), row in self._rows.items():
            yield section, piece, row

    def show_advice(self, sections: Sequence[Section], job: Callable[[str], tuple[str, str, str]]) -> None:
        """Show what is advised; where the pieces are the same as before, focus and place stay.

        Args:
            sections: The advice.
            job: Returns what a job is called, what it does, and why it is not possible now.
        """
        self.nothing.setVisible(not sections)
        self.area.setVisible(bool(sections))
        keys = [(section.key, piece.key) for section in sections for piece in section.pieces]
        if keys != list(self._rows) or [section.key for section in sections] != list(self._texts):
            self._build(sections)
        for section in sections:
            _show(self._texts[section.key], section.text)
            for piece in section.pieces:
                self._rows[section.key, piece.key].show_piece(piece, *job(piece.job))

    def _build(self, sections: Sequence[Section]) -> None:
        for part in self._parts:
            self._column.removeWidget(part)
            part.hide()
            part.deleteLater()
        self._parts.clear()
        self._texts.clear()
        self._rows.clear()
        large = QFont(self.font())
        large.setPointSizeF(large.pointSizeF() * 1.25)
        large.setBold(True)
        for section in sections:
            title = _label(f"advice_{section.key}", self._page)
            title.setFont(large)
            title.setText(section.title)
            title.setContentsMargins(0, 8, 0, 0)
            self._texts[section.key] = _label(f"advice_{section.key}_text", self._page)
            self._append(title)
            self._append(self._texts[section.key])
            if section.pieces:
                self._append(self._card(section))

    def _card(self, section: Section) -> QFrame:
        card = QFrame(self._page)
        card.setProperty("card", True)
        column = QVBoxLayout(card)
        column.setContentsMargins(12, 4, 12, 4)
        column.setSpacing(4)
        for piece in section.pieces:
            row = PieceRow(f"advice_{section.key}_{piece.key}", card)
            row.taken.connect(self.taken)
            row.job_wanted.connect(self.job_wanted)
            column.addWidget(row)
            self._rows[section.key, piece.key] = row
        return card

    def _append(self, part: QWidget) -> None:
        self._column.insertWidget(self._column.count() - 1, part)
        self._parts.append(part)
