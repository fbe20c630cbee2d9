"""One sample, larger: its picture where it has one, what it caused, and whether it takes part in calibration."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPushButton, QVBoxLayout, QWidget

from qgui.ui.document import Document
from qgui.ui.sample_model import framed
from qgui.ui.theme import Theme

_SIDE = 320


class SampleDialog(QDialog):
    """Shows a sample.

    Args:
        document: Where it is left out or taken back.
        theme: For the frame.
        sample: Its index in the data set.
        sentence: What is known of it.
        picture: PNG file, empty where it is no image.
        parent: Qt parent.
    """

    def __init__(
        self,
        document: Document,
        theme: Theme,
        sample: int,
        sentence: str,
        picture: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._document, self._sample = document, sample
        self.setObjectName("sampleDialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Sample #{sample}").format(sample=sample))
        self.picture = QLabel(self)
        self.picture.setObjectName("samplePicture")
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setVisible(bool(picture))
        if picture:
            self.picture.setPixmap(framed(QPixmap(picture), theme.colours.line, _SIDE))
            self.picture.setAccessibleName(self.tr("Picture of sample {sample}").format(sample=sample))
        self.facts = QLabel(sentence, self)
        self.facts.setObjectName("sampleFacts")
        self.facts.setWordWrap(True)
        self.facts.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        self.leave = QPushButton(self)
        self.leave.setObjectName("sampleLeave")
        self.leave.setAutoDefault(False)
        self.leave.clicked.connect(self._on_leave)
        buttons.addButton(self.leave, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        for widget in (self.picture, self.facts, buttons):
            column.addWidget(widget)
        document.recipe_changed.connect(self._show_state)
        document.data_changed.connect(self.reject)
        self._show_state()

    def _show_state(self) -> None:
        out = self._sample in self._document.recipe.data.excluded
        self.leave.setText(self.tr("Take back") if out else self.tr("Leave out"))
        self.leave.setToolTip(
            self.tr("Let it take part in calibration again.")
            if out
            else self.tr("Calibrate without this sample; the statistics have to be made again.")
        )

    def _on_leave(self) -> None:
        out = self._sample in self._document.recipe.data.excluded
        (self._document.take_back if out else self._document.leave_out)(self._sample)
