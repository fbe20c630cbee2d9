"""Thumbnails of all histograms: to find the range that needs a look."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPalette, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from qgui.ui import formatting
from qgui.ui.banner import Banner
from qgui.ui.document import Document
from qgui.ui.idle import Idle
from qgui.ui.later import Later
from qgui.ui.layer_cells import POOR_SQNR_DB
from qgui.ui.layer_model import Index
from qgui.ui.overview_model import SQNR_ROLE, Order, OverviewModel
from qgui.ui.theme import Theme

_PICTURE = QSize(158, 62)
_MARGIN = 6


class ThumbnailDelegate(QStyledItemDelegate):
    """Draws a picture with the layer's name and its predicted SQNR.

    Args:
        theme: For the colours.
        parent: The view.
    """

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(
            _PICTURE.width() + 2 * _MARGIN, _PICTURE.height() + 2 * option.fontMetrics.height() + 3 * _MARGIN - 2
        )

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colours, metrics = self._theme.colours, option.fontMetrics
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
        card = QRectF(option.rect).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.save()
        painter.setPen(QColor(colours.accent if selected or focused else colours.line))
        painter.setBrush(QColor(colours.accent_soft if selected else colours.base))
        painter.drawRoundedRect(card, 4.0, 4.0)
        left, top = option.rect.left() + _MARGIN, option.rect.top() + _MARGIN
        picture = index.data(Qt.ItemDataRole.DecorationRole)
        if picture is not None and not picture.isNull():
            painter.drawPixmap(left, top, picture)
        else:
            waiting = self.tr("…") if picture is None else self.tr("no finite value")
            painter.setPen(QColor(colours.faint))
            painter.drawText(
                QRect(left, top, _PICTURE.width(), _PICTURE.height()), Qt.AlignmentFlag.AlignCenter, waiting
            )
        line = QRect(left, top + _PICTURE.height() + 2, _PICTURE.width(), metrics.height())
        painter.setPen(option.palette.color(QPalette.ColorRole.Text))
        name = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideLeft, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, name)
        sqnr = index.data(SQNR_ROLE)
        if sqnr is not None:
            poor = sqnr < POOR_SQNR_DB
            painter.setPen(QColor(colours.bad if poor else colours.faint))
            mark = "⚠ " if poor else ""
            line.translate(0, metrics.height())
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, f"{mark}SQNR {formatting.decibel(sqnr)}")
        painter.restore()


class OverviewPanel(QWidget):
    """All ranges of the model.

    Signals:
        layer_wanted: The path of the layer that the person chose.
        ranges_wanted: The person wants to see the chosen layer large.
        calibration_wanted: The person wants to calibrate from here.

    Args:
        document: Whose ranges.
        theme: For the colours.
        idle: Where pictures are made.
        parent: Qt parent.
    """

    layer_wanted = Signal(str)
    ranges_wanted = Signal()
    calibration_wanted = Signal()

    def __init__(self, document: Document, theme: Theme, idle: Idle, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._following = False
        self._shown: tuple[str, ...] = ()
        self._stale = True
        self.setObjectName("overviewPanel")
        self.model = OverviewModel(document, theme, idle, _PICTURE, self)
        self._build(theme)
        self.model.set_seen(self._is_seen, self.devicePixelRatioF())
        self._taking = Later(self._take, self)
        self._refreshing = Later(self._refresh, self)
        self._aligning = Later(self._align, self)
        self.order.currentIndexChanged.connect(self._on_order)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.activated.connect(lambda _: self.ranges_wanted.emit())
        self.model.ranked.connect(self._on_ranked)
        document.statistics_changed.connect(self._on_statistics)
        document.recipe_changed.connect(self._refreshing.ask)
        theme.changed.connect(self.view.viewport().update)

    def _build(self, theme: Theme) -> None:
        title = QLabel(self.tr("All ranges"), self)
        title.setObjectName("overviewTitle")
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        self.said = QLabel(self)
        self.said.setObjectName("overviewSaid")
        self.said.setProperty("faint", True)
        self.order = QComboBox(self)
        self.order.setObjectName("overviewOrder")
        self.order.setAccessibleName(self.tr("Order of the ranges"))
        self.order.setToolTip(self.tr("Sort by the order in which the layers run, or by predicted SQNR."))
        for order, text in (
            (Order.MODEL, self.tr("Order of execution")),
            (Order.WORST, self.tr("SQNR, worst first")),
            (Order.BEST, self.tr("SQNR, best first")),
        ):
            self.order.addItem(text, order)
        self.banner = Banner("overviewBanner", "hint", self)
        self.view = QListView(self)
        self.view.setObjectName("overviewList")
        self.view.setAccessibleName(self.tr("Histograms of all ranges"))
        self.view.setToolTip(self.tr("Click to choose the layer; a double click or Return shows its range large."))
        self.view.setViewMode(QListView.ViewMode.IconMode)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setResizeMode(QListView.ResizeMode.Adjust)
        self.view.setUniformItemSizes(True)
        self.view.setSpacing(3)
        self.view.setWordWrap(False)
        self.view.setItemDelegate(ThumbnailDelegate(theme, self.view))
        self.view.setModel(self.model)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.empty = QWidget(self)
        self.empty.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        head = QHBoxLayout()
        head.addWidget(title)
        head.addWidget(self.said, 1)
        head.addWidget(self.order)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self.banner)
        column.addWidget(self.view, 1)
        column.addWidget(self.empty, 1)

    # Showing

    def show_layers(self, names: Sequence[str]) -> None:
        """Mark the first of the selected layers."""
        self._shown = tuple(names)
        if names:
            row = self.model.row_of(names[0])
            if row >= 0 and row != self.view.currentIndex().row():
                self._following = True
                self.view.setCurrentIndex(self.model.index(row))
                self._following = False
                self._aligning.ask()

    def _align(self) -> None:
        """Scroll to the marked layer so that the first row is seen whole."""
        index, bar = self.view.currentIndex(), self.view.verticalScrollBar()
        if index.isValid() and self.view.isVisible():
            self.view.scrollTo(index)
            pitch = self.view.visualRect(index).height() + self.view.spacing()
            bar.setValue(-(-bar.value() // pitch) * pitch)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._aligning.ask()
        if self._stale:
            self._taking.ask()

    def _on_statistics(self) -> None:
        self._stale = True
        if self.isVisible():
            self._taking.ask()

    def _take(self) -> None:
        self._stale = False
        self.model.take()
        calibrated = self._document.ranges is not None
        for widget in (self.view, self.order):
            widget.setVisible(calibrated)
        self.empty.setVisible(not calibrated)
        self.said.setText(self._counted(self.model.rowCount()) if calibrated else "")
        if calibrated:
            self.banner.hide()
            self.show_layers(self._shown)
        elif self._document.data is None:
            self.banner.tell(self.tr("Ranges come from data: open some, then calibrate."))
        else:
            self.banner.tell(
                self.tr("Calibrate once to see the histograms of all layers."),
                self.tr("Calibrate"),
                self.tr("Run the calibration samples through the model once."),
                self.calibration_wanted.emit,
            )

    def _refresh(self) -> None:
        if self._stale:
            return
        self.model.refresh()

    def _is_seen(self, index: QModelIndex) -> bool:
        return self.view.isVisible() and self.view.visualRect(index).intersects(self.view.viewport().rect())

    def _counted(self, tensors: int) -> str:
        return self.tr("1 tensor") if tensors == 1 else self.tr("{count} tensors").format(count=tensors)

    def _on_ranked(self, done: int, total: int) -> None:
        sorting = self.tr("sorting: {done} of {count}").format(done=done, count=total)
        self.said.setText(self._counted(total) if done >= total else sorting)

    def _on_order(self) -> None:
        self.model.sort_by(Order(self.order.currentData()))
        self.view.scrollToTop()

    def _on_current(self, current: QModelIndex) -> None:
        if current.isValid() and not self._following:
            self._shown = (str(current.data()),)
            self.layer_wanted.emit(self._shown[0])
