"""Taking the ranges along: the plot as a picture, the numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QFileDialog, QMenu, QToolButton, QWidget

from qgui.core.errors import QguiError
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import Recipe
from qgui.core.recipe_file import write_atomically
from qgui.ui import settings as options
from qgui.ui.document import Document
from qgui.ui.filing import show
from qgui.ui.idle import Idle
from qgui.ui.ranges_plot import RangesPlot
from qgui.ui.settings import Settings

#: Pixels of a PNG for each pixel on the screen.
_SHARPNESS = 2
_COLUMNS = (
    "layer",
    "tensor",
    "observer",
    "in_use",
    "min",
    "max",
    "scale",
    "zero_point",
    "sqnr_db",
    "clipped_low",
    "clipped_high",
    "error_rounding",
    "error_clipping",
)


def numbers(calculated: ActivationRanges, recipe: Recipe, tensors: list[str], delimiter: str = ",") -> str:
    """Return what every observer chooses for tensors as CSV, in full precision; shares are between 0 and 1.

    A tensor without a finite value has no rows.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for tensor in tensors:
        setting = calculated.setting(tensor, recipe)
        for candidate in calculated.candidates(tensor, setting):
            try:
                choice = calculated.choice(tensor, candidate)
            except QguiError:
                continue
            cost, qparams = choice.cost, choice.qparams
            writer.writerow(
                [
                    calculated.owner(tensor).layer,
                    tensor,
                    choice.observer.kind.value,
                    "yes" if candidate == setting else "",
                    repr(float(qparams.low[0])),
                    repr(float(qparams.high[0])),
                    f"{float(qparams.scale[0]):.9g}",
                    int(qparams.zero_point[0]),
                    f"{choice.sqnr_db:.4f}",
                    repr(float(cost.clipped_low[0])),
                    repr(float(cost.clipped_high[0])),
                    f"{1.0 - cost.clipping_share:.6f}",
                    f"{cost.clipping_share:.6f}",
                ]
            )
    return text.getvalue()


def paint(plot: RangesPlot, title: str, painter: QPainter) -> None:
    """Paint a plot under its title, in the pixels of the screen, without marks of focus."""
    head = _head_height(plot)
    width, height = float(plot.width()), float(plot.height())
    painter.fillRect(QRectF(0.0, 0.0, width, height + head), QColor(plot.theme.colours.base))
    font = QFont(plot.font())
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(QColor(plot.theme.colours.text))
    painter.drawText(QRectF(8.0, 0.0, width - 16.0, head), Qt.AlignmentFlag.AlignVCenter, title)
    plot.region.set_focused(False)
    plot.scene().prepareForPaint()
    plot.scene().render(painter, QRectF(0.0, head, width, height), QRectF(0.0, 0.0, width, height))
    plot.region.set_focused(plot.hasFocus())


def _head_height(plot: RangesPlot) -> int:
    return int(plot.fontMetrics().height()) + 8


def image(plot: RangesPlot, title: str) -> QImage:
    """Return a plot as an image, sharper than on the screen."""
    made = QImage(
        plot.width() * _SHARPNESS, (plot.height() + _head_height(plot)) * _SHARPNESS, QImage.Format.Format_RGB32
    )
    painter = QPainter(made)
    painter.scale(_SHARPNESS, _SHARPNESS)
    paint(plot, title, painter)
    painter.end()
    return made


def png(plot: RangesPlot, title: str) -> bytes:
    """Return a plot as a PNG file."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image(plot, title).save(buffer, "PNG")  # type: ignore[call-overload]
    return bytes(buffer.data().data())


def svg(plot: RangesPlot, title: str) -> bytes:
    """Return a plot as an SVG file."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    size = QSize(plot.width(), plot.height() + _head_height(plot))
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(size)
    generator.setViewBox(QRectF(0.0, 0.0, size.width(), size.height()))
    # The axes are recorded for the screen; another resolution would move them.
    generator.setResolution(plot.logicalDpiX())
    generator.setTitle(title)
    painter = QPainter(generator)
    paint(plot, title, painter)
    painter.end()
    return bytes(buffer.data().data())


class RangeFiles(QObject):
    """The menu that copies and saves what the ranges panel shows.

    Signals:
        done: A sentence about what was copied or saved.
        failed: A sentence that says what could not be saved, why, and what to do.

    Args:
        document: Whose ranges.
        plot: Whose picture.
        settings: For the folder that was used last.
        idle: Where the numbers of all tensors are computed.
        shown: Returns the title and the tensor that is shown.
        parent: Qt parent of the dialogs.
    """

    done = Signal(str)
    failed = Signal(str)

    def __init__(
        self,
        document: Document,
        plot: RangesPlot,
        settings: Settings,
        idle: Idle,
        shown: Callable[[], tuple[str, str]],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._window = parent
        self._document = document
        self._plot = plot
        self._settings = settings
        self._idle = idle
        self._shown = shown
        self._work: Iterator[None] | None = None

    def button(self) -> QToolButton:
        """Return the button that opens the menu."""
        button = QToolButton(self._window)
        button.setObjectName("rangesFiles")
        button.setText(self.tr("Copy or save"))
        button.setAccessibleName(button.text())
        button.setToolTip(self.tr("Copy or save the plot as a picture, or the numbers of all observers as a table."))
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        entries = (
            ("copyPicture", self.tr("Copy picture"), self.tr("Put the plot on the clipboard."), self.copy_picture),
            (
                "copyNumbers",
                self.tr("Copy numbers"),
                self.tr("Put the numbers of this tensor on the clipboard, to paste into a spreadsheet."),
                self.copy_numbers,
            ),
            ("savePng", self.tr("Save picture as PNG…"), self.tr("The plot as pixels."), self._ask_png),
            ("saveSvg", self.tr("Save picture as SVG…"), self.tr("The plot as lines, to enlarge."), self._ask_svg),
            (
                "saveCsv",
                self.tr("Save numbers as CSV…"),
                self.tr("What every observer chooses for this tensor, and what it costs."),
                self._ask_csv,
            ),
            (
                "saveAllCsv",
                self.tr("Save numbers of all tensors as CSV…"),
                self.tr("What every observer chooses for every tensor, and what it costs."),
                self._ask_all_csv,
            ),
        )
        for name, text, tip, slot in entries:
            action = menu.addAction(text)
            action.setObjectName(name)
            action.setToolTip(tip)
            action.triggered.connect(lambda _=False, slot=slot: slot())
        button.setMenu(menu)
        return button

    # Copying

    def copy_picture(self) -> None:
        """Put the plot on the clipboard."""
        QGuiApplication.clipboard().setImage(image(self._plot, self._shown()[0]))
        self.done.emit(self.tr("The picture is on the clipboard."))

    def copy_numbers(self) -> None:
        """Put the numbers of the tensor on the clipboard, divided by tabs."""
        calculated = self._document.ranges
        if calculated is not None:
            text = numbers(calculated, self._document.recipe, [self._shown()[1]], delimiter="\t")
            QGuiApplication.clipboard().setText(text)
            self.done.emit(self.tr("The numbers are on the clipboard."))

    # Saving

    def _ask_png(self) -> None:
        self._ask(self.tr("Save picture"), "png", self.tr("Pictures"), self.save_png)

    def _ask_svg(self) -> None:
        self._ask(self.tr("Save picture"), "svg", self.tr("Drawings"), self.save_svg)

    def _ask_csv(self) -> None:
        self._ask(self.tr("Save numbers"), "csv", self.tr("Tables"), self.save_csv)

    def _ask_all_csv(self) -> None:
        self._ask(self.tr("Save numbers of all tensors"), "csv", self.tr("Tables"), self.save_all_csv)

    def _ask(self, title: str, suffix: str, kind: str, save: Callable[[Path], None]) -> None:
        folder = Path(self._settings.get(options.LAST_FOLDER) or str(Path.home()))
        name = "ranges" if save == self.save_all_csv else self._shown()[1]
        dialog = QFileDialog(self._window, title, str(folder / f"{name}.{suffix}"))
        dialog.setObjectName("rangesSaveDialog")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(suffix)
        dialog.setNameFilter(f"{kind} (*.{suffix})")
        dialog.fileSelected.connect(lambda path: save(Path(path)))
        show(dialog)

    def save_png(self, path: Path) -> None:
        """Write the plot as PNG."""
        self._write(path, png(self._plot, self._shown()[0]))

    def save_svg(self, path: Path) -> None:
        """Write the plot as SVG."""
        self._write(path, svg(self._plot, self._shown()[0]))

    def save_csv(self, path: Path) -> None:
        """Write the numbers of the tensor that is shown."""
        calculated = self._document.ranges
        if calculated is not None:
            self._write(path, numbers(calculated, self._document.recipe, [self._shown()[1]]).encode())

    def save_all_csv(self, path: Path) -> None:
        """Write the numbers of all tensors, when all are computed."""
        self._idle.drop(self._work)
        calculated = self._document.ranges
        if calculated is not None:
            self._work = self._collect(calculated, path)
            self._idle.add(self._work, first=True)

    def _collect(self, calculated: ActivationRanges, path: Path) -> Iterator[None]:
        recipe = self._document.recipe
        owners = list(dict.fromkeys(calculated.owner(tensor.name).name for tensor in calculated.model.tensors))
        for done, tensor in enumerate(owners):
            for candidate in calculated.candidates(tensor, calculated.setting(tensor, recipe)):
                if not calculated.knows(tensor, candidate):
                    try:
                        calculated.choice(tensor, candidate)
                    except QguiError:
                        break
                    self.done.emit(
                        self.tr("Computing {done} of {count} tensors for {path}…").format(
                            done=done + 1, count=len(owners), path=path.name
                        )
                    )
                    yield
        self._write(path, numbers(calculated, recipe, owners).encode())

    def _write(self, path: Path, content: bytes) -> None:
        try:
            write_atomically(path, content)
        except QguiError as error:
            self.failed.emit(str(error))
            return
        self._settings.set(options.LAST_FOLDER, str(path.absolute().parent))
        self.done.emit(self.tr("Saved {path}.").format(path=path))
