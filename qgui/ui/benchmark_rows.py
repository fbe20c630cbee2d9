"""A row of the published tables in the window: as published, what was found here, and both as bars."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from qgui.core import benchmark_text
from qgui.core.benchmark_text import table_label
from qgui.core.benchmarks import BenchmarkResult, RowState
from qgui.core.published import PublishedRow
from qgui.core.recipe import Mode, mode_name
from qgui.ui.benchmark_work import Place
from qgui.ui.theme import Theme

#: The speed-up at which a bar ends; faster ones are drawn as long as this.
_LONGEST = 8.0
#: Widths of the columns in average characters: model, published, here.
_COLUMNS = (24, 24, 28)


class SpeedupBars(QWidget):
    """Bars of the speed-ups: published, here against float eager, here against the best float.

    Args:
        theme: For the colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._bars: list[tuple[float, str, str]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(self.tr("How many times faster int8 is than float; the longer, the better."))
        theme.changed.connect(self.update)

    def show_bars(self, bars: list[tuple[float, str, str]]) -> None:
        """Show bars of a length, a text and a kind: `published`, `same` (as published) or `best` (best float)."""
        self._bars = bars
        self.setAccessibleName("; ".join(text for _, text, _ in bars))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(36 * self.fontMetrics().averageCharWidth(), 3 * self._line)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    @property
    def _line(self) -> int:
        return self.fontMetrics().height() + 2

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours, metrics = self._theme.colours, self.fontMetrics()
        texts = max((metrics.horizontalAdvance(text) for _, text, _ in self._bars), default=0)
        room = max(self.width() - texts - 3 * metrics.averageCharWidth(), metrics.averageCharWidth())
        for place, (ratio, text, kind) in enumerate(self._bars):
            length = room * min(ratio, _LONGEST) / _LONGEST
            bar = QRectF(0.5, place * self._line + 2.5, max(length, 2.0), self._line - 6)
            colour = QColor(colours.float_series if kind == "published" else colours.int8_series)
            # Other forms, so that colour is not the only sign: filled, and outlined against the best float.
            painter.setPen(QPen(colour, 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush if kind == "best" else colour)
            painter.drawRoundedRect(bar, 2, 2)
            painter.setPen(QColor(colours.text))
            left = bar.right() + metrics.averageCharWidth()
            box = QRectF(left, place * self._line, self.width() - left, self._line)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


class BenchmarkRow(QFrame):
    """One published row.

    Signals:
        wanted: The person wants to run it.

    Args:
        row: As it was published.
        theme: For the colours.
        parent: Qt parent.
    """

    wanted = Signal()

    def __init__(self, row: PublishedRow, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.row = row
        name = f"benchmark_{row.table}_{row.name}"
        self.setObjectName(name)
        self.setProperty("card", True)
        title = QLabel(f"<b>{row.title}</b>", self)
        mode = self._faint("QAT" if row.mode is Mode.QAT else mode_name(row.mode))
        published = QLabel(benchmark_text.published_pair(row) + (" ms" if row.table == "latency" else ""), self)
        device = self._faint(row.device or row.note)
        published.setToolTip(row.note)
        device.setToolTip(row.note)
        self.here = QLabel(self)
        self.here.setObjectName(f"{name}_here")
        self.when = self._faint("")
        self.bars = SpeedupBars(theme, self)
        self.difference = QLabel(self)
        self.difference.setObjectName(f"{name}_difference")
        self.difference.setWordWrap(True)
        self.notes = self._faint("")
        self.notes.setObjectName(f"{name}_notes")
        self.notes.setWordWrap(True)
        self.button = QPushButton(self.tr("Run"), self)
        self.button.setObjectName(f"{name}_run")
        self.button.setAccessibleName(
            self.tr("Run {row} ({table})").format(row=row.title, table=table_label(row.table))
        )
        self.button.clicked.connect(self.wanted)
        layout = QGridLayout(self)
        layout.setContentsMargins(10, 6, 10, 6)
        layout.setVerticalSpacing(3)
        layout.setHorizontalSpacing(14)
        for column, pair in enumerate(((title, mode), (published, device), (self.here, self.when))):
            layout.setColumnMinimumWidth(column, _COLUMNS[column] * self.fontMetrics().averageCharWidth())
            lines = QVBoxLayout()
            lines.setSpacing(1)
            for label in pair:
                lines.addWidget(label)
            layout.addLayout(lines, 0, column, Qt.AlignmentFlag.AlignVCenter)
        right: QWidget = self.bars if row.table == "latency" else self.difference
        (self.difference if row.table == "latency" else self.bars).hide()
        layout.addWidget(right, 0, 3)
        layout.addWidget(self.button, 0, 4, Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self.notes, 1, 0, 1, 5)
        layout.setColumnStretch(3, 1)

    def _faint(self, text: str) -> QLabel:
        label = QLabel(text, self)
        label.setProperty("faint", True)
        return label

    def show_state(
        self, state: RowState | None, result: BenchmarkResult | None, stale: str, problem: str, place: Place
    ) -> None:
        """Show what is known of the row.

        Args:
            state: What it needs; None where that is not known yet.
            result: What was found here; None where it was not run.
            stale: Why that does not hold any more.
            problem: Why the last attempt failed.
            place: Whether it runs or waits.
        """
        cells = dict(zip(benchmark_text.COLUMNS[self.row.table], benchmark_text.cells(self.row, result), strict=True))
        unit = self.tr(" ms here") if self.row.table == "latency" else self.tr(" here")
        self.here.setText(cells["here"] + unit if result else self.tr("not run here yet"))
        mark = self.tr("⚠ stale, ") if stale else ""
        self.when.setText(f"{mark}{cells['measured']}" if result else "")
        if self.row.table == "latency":
            self._show_bars(result)
        else:
            self._show_difference(result, cells)
        self._show_button(state, place)
        self._tell(state, result, stale, problem)

    def _show_bars(self, result: BenchmarkResult | None) -> None:
        row = self.row
        bars = [
            (
                row.speedup or 0.0,
                self.tr("{times} published").format(times=benchmark_text.times(row.speedup)),
                "published",
            )
        ]
        if result is not None and result.latency is not None:
            found = result.latency
            same = self.tr("{times} here").format(times=benchmark_text.times(found.speedup))
            best = self.tr("{times} here, against the best float").format(
                times=benchmark_text.times(found.speedup_over_best)
            )
            bars += [(found.speedup, same, "same"), (found.speedup_over_best, best, "best")]
        self.bars.show_bars(bars)

    def _show_difference(self, result: BenchmarkResult | None, cells: dict[str, str]) -> None:
        loss = self.row.int8_value - self.row.float_value
        published = benchmark_text.plain_difference(self.row, loss)
        lines = [self.tr("{difference} published").format(difference=published)]
        if result is not None and result.accuracy is not None:
            told = self.tr("{difference} here, {samples} samples")
            lines.append(told.format(difference=cells["difference"], samples=cells["samples"]))
        self.difference.setText("\n".join(lines))

    def _show_button(self, state: RowState | None, place: Place) -> None:
        needs = state.needs if state is not None else self.tr("The engine is starting.")
        texts = {"": self.tr("Run"), "running": self.tr("Running…"), "waiting": self.tr("Waiting…")}
        reason = self.tr("It runs or waits already; Cancel in the bottom line stops it.") if place else needs
        self.button.setEnabled(not reason)
        self.button.setText(texts[place])
        self.button.setToolTip(reason or (state.plan if state is not None else ""))

    def _tell(self, state: RowState | None, result: BenchmarkResult | None, stale: str, problem: str) -> None:
        told = [problem] if problem else []
        if state is not None and state.missing:
            told.append(state.needs)
        elif state is not None and result is None:
            told.append(state.plan)
            if state.download_mb:
                told.append(self.tr("Downloads {size:.0f} MB first.").format(size=state.download_mb))
        told += benchmark_text.remarks(self.row, result, stale)
        self.notes.setText(" ".join(told))
        self.notes.setVisible(bool(told))
