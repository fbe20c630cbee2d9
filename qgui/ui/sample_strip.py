"""Who caused the extremes: the samples behind the tails of the shown activation, to look at and to leave out."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPoint, QSize, Qt, QTimer
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListView, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from qgui.core.layers import Layer
from qgui.core.results import SampleDescription
from qgui.ui.dialogs.sample import SampleDialog
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.sample_model import THUMBNAIL, Entry, SampleModel, entries_of
from qgui.ui.theme import Theme
from qgui.ui.workflow import Workflow

#: While the selection moves on, nothing is asked.
_SETTLE_MS = 120
#: In a panel that is lower than so many lines of text the samples are folded, so that the plot keeps its height.
_LOW_LINES = 45


class SampleView(QListView):
    """A row of samples; Delete leaves the current one out or takes it back.

    Args:
        strip: What is done with a sample.
    """

    def __init__(self, strip: SampleStrip) -> None:
        super().__init__(strip)
        self._strip = strip
        self.setObjectName("sampleView")
        self.setAccessibleName(self.tr("Samples that caused the extremes"))
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        width = max(THUMBNAIL + 12, self.fontMetrics().horizontalAdvance("↓ −12.34") + 10)
        height = THUMBNAIL + 2 * self.fontMetrics().lineSpacing() + 10
        self.setGridSize(QSize(width, height))
        self.setFixedHeight(height + 4)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setToolTip(self.tr("Click a sample to see it larger; Delete leaves it out of calibration."))

    def fit_height(self) -> None:
        """Have room for the scroll bar only where the samples need one."""
        count = self.model().rowCount() if self.model() is not None else 0
        wide = count * self.gridSize().width() > self.width() - 2 * self.frameWidth()
        bar = self.horizontalScrollBar().sizeHint().height() if wide else 0
        self.setFixedHeight(self.gridSize().height() + bar + 4)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit_height()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self._strip.toggle(self.currentIndex())
        else:
            super().keyPressEvent(event)


class SampleStrip(QWidget):
    """The strip below the ranges plot; in a low panel it is folded at first.

    Args:
        document: Whose statistics; where samples are left out.
        workflow: Asks the worker what samples look like.
        theme: For colours.
        parent: Qt parent.
    """

    def __init__(self, document: Document, workflow: Workflow, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document, self._workflow, self._theme = document, workflow, theme
        self._layer: Layer | None = None
        self._known: dict[int, SampleDescription] = {}
        self.setObjectName("sampleStrip")
        self.model = SampleModel(theme, self)
        self.view = SampleView(self)
        self.view.setModel(self.model)
        self.title = QLabel(self)
        self.title.setObjectName("sampleTitle")
        self.title.setProperty("faint", True)
        self.title.setBuddy(self.view)
        self.leave = QPushButton(self)
        self.leave.setObjectName("sampleStripLeave")
        self.leave.setAutoDefault(False)
        self.leave.clicked.connect(lambda: self.toggle(self.view.currentIndex()))
        self.fold = QToolButton(self)
        self.fold.setObjectName("sampleStripFold")
        self.fold.setAccessibleName(self.view.accessibleName())
        self.fold.setToolTip(self.tr("Show or hide the samples."))
        self.fold.setCheckable(True)
        self.fold.setAutoRaise(True)
        self.fold.setChecked(True)
        self.fold.toggled.connect(self._show_fold)
        head = QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self.fold)
        head.addWidget(self.title, 1)
        head.addWidget(self.leave)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(head)
        column.addWidget(self.view)
        self._low = False
        self._show_fold()
        if parent is not None:
            parent.installEventFilter(self)
        self._later = Later(self._refresh, self)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._ask)
        self.view.clicked.connect(self.open_sample)
        self.view.activated.connect(self.open_sample)
        self.view.customContextMenuRequested.connect(self._show_menu)
        self.view.selectionModel().currentChanged.connect(self._show_button)
        self.model.modelReset.connect(self._show_button)
        self.model.modelReset.connect(self.view.fit_height)
        document.recipe_changed.connect(self._later.ask)
        document.statistics_changed.connect(self._later.ask)
        document.data_changed.connect(self._forget)
        theme.changed.connect(lambda: self.model.show_descriptions(self._known))
        self._refresh()

    def show_layer(self, layer: Layer | None) -> None:
        """Show who caused the extremes of a layer's output; None hides the strip."""
        self._layer = layer
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._settle.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fold where the panel becomes low, and unfold where it becomes high; between, the person decides."""
        if event.type() is QEvent.Type.Resize and isinstance(watched, QWidget):
            low = watched.height() < _LOW_LINES * self.fontMetrics().height()
            if low is not self._low:
                self._low = low
                self.fold.setChecked(not low)
        return super().eventFilter(watched, event)

    def _show_fold(self) -> None:
        unfolded = self.fold.isChecked()
        self.fold.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self.view.setVisible(unfolded)
        self.leave.setVisible(unfolded)

    def _forget(self) -> None:
        self._known.clear()
        self.model.show_descriptions(self._known)
        self._later.ask()

    def _entries(self) -> list[Entry]:
        calculated, layer = self._document.ranges, self._layer
        tensor = self._document.tensor_of(layer) if layer is not None else None
        if calculated is None or tensor is None:
            return []
        return entries_of(calculated.statistics(tensor.name), self._document.recipe.data.excluded)

    def _refresh(self) -> None:
        entries = self._entries()
        current = self.model.entry(self.view.currentIndex().row())
        self.model.show_entries(entries)
        again = [row for row, entry in enumerate(entries) if current and entry.sample == current.sample]
        if again:
            self.view.setCurrentIndex(self.model.index(again[0]))
        self.setVisible(bool(entries))
        text = self.tr("Samples that caused the least (↓) and the greatest (↑) values")
        out = len(self._document.recipe.data.excluded)
        if out:
            text += self.tr(" · {count} left out").format(count=out)
        self.title.setText(text)
        self._show_button()
        if any(entry.sample not in self._known for entry in entries):
            self._settle.start()

    def _show_button(self) -> None:
        entry = self.model.entry(self.view.currentIndex().row())
        out = entry is not None and entry.left_out
        self.leave.setText(self.tr("Take back") if out else self.tr("Leave out"))
        self.leave.setEnabled(entry is not None)
        tip = self.tr("Calibrate without the selected sample; the statistics have to be made again.")
        if entry is None:
            tip = self.tr("Select a sample first.")
        elif out:
            tip = self.tr("Let the selected sample take part in calibration again.")
        self.leave.setToolTip(tip)

    # Asking the worker

    def _ask(self) -> None:
        unknown = sorted({e.sample for e in self._entries() if e.sample not in self._known})
        if unknown and self.isVisible() and self._document.data is not None:
            self._workflow.show_samples(unknown, self._take)

    def _take(self, samples: Sequence[SampleDescription]) -> None:
        self._known |= {sample.index: sample for sample in samples}
        self.model.show_descriptions(self._known)

    # What the person does

    def toggle(self, index: QModelIndex) -> None:
        """Leave a sample out of calibration, or take it back."""
        entry = self.model.entry(index.row())
        if entry is not None:
            (self._document.take_back if entry.left_out else self._document.leave_out)(entry.sample)

    def open_sample(self, index: QModelIndex) -> None:
        """Show a sample larger, in the place of one that is shown already."""
        entry = self.model.entry(index.row())
        if entry is None:
            return
        for other in self.findChildren(SampleDialog):
            other.close()
        known = self.model.description(entry.sample)
        picture = known.picture if known is not None else ""
        dialog = SampleDialog(self._document, self._theme, entry.sample, self.model.sentence(entry), picture, self)
        dialog.show()

    def _show_menu(self, position: QPoint) -> None:
        index = self.view.indexAt(position)
        entry = self.model.entry(index.row())
        if entry is None:
            return
        menu = QMenu(self)
        menu.setObjectName("sampleMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(self.tr("Show larger"), lambda: self.open_sample(index))
        menu.addAction(self.tr("Take back") if entry.left_out else self.tr("Leave out"), lambda: self.toggle(index))
        menu.popup(self.view.viewport().mapToGlobal(position))
