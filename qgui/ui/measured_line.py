"""What the int8 model really produced in the shown activation: drawn over its histogram, and said beside it."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSizePolicy, QWidget

from qgui.core.layers import Layer
from qgui.core.measured import MeasuredActivation
from qgui.core.statistics import TensorStatistics
from qgui.ui import formatting
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.measured_words import explanation
from qgui.ui.plots import Float64
from qgui.ui.ranges_plot import RangesPlot
from qgui.ui.theme import Theme

_ICON = 16


def comparable_counts(entry: MeasuredActivation, seen: TensorStatistics, width: float) -> Float64:
    """Return how often each level was produced, as counts beside the histogram of calibration.

    Args:
        entry: What was measured.
        seen: The statistics of calibration; exact zeros, which its histogram leaves out, are left out here too.
        width: Width of a bin of that histogram.
    """
    counts = entry.counts.copy()
    total = float(counts.sum())
    zero = entry.ratios.zero_point
    if 0 <= zero < len(counts):
        counts[zero] = max(counts[zero] - seen.zeros * total, 0.0)
    share = seen.elements / total if total else 0.0
    result: Float64 = np.asarray(counts * share * width / entry.ratios.scale, dtype=np.float64)
    return result


class MeasuredLine(QWidget):
    """A line below the ranges plot, and the outline in it.

    Args:
        document: Whose measurements.
        plot: Where the outline is drawn.
        theme: For the mark.
        parent: Qt parent.
    """

    def __init__(self, document: Document, plot: RangesPlot, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document, self._plot, self._theme = document, plot, theme
        self._layer: Layer | None = None
        self.setObjectName("measuredLine")
        self.outline = QCheckBox(self.tr("int8 output"), self)
        self.outline.setObjectName("measuredOutline")
        self.outline.setToolTip(
            self.tr("Draw what the int8 model really produced, dequantized, as an outline over the histogram.")
        )
        self.outline.setChecked(True)
        self.mark = QLabel(self)
        self.mark.setObjectName("measuredMark")
        self.text = QLabel(self)
        self.text.setObjectName("measuredText")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.outline)
        row.addWidget(self.mark)
        row.addWidget(self.text, 1)
        self._later = Later(self._refresh, self)
        self.outline.toggled.connect(self._refresh)
        document.results_changed.connect(self._later.ask)
        theme.changed.connect(self._refresh)
        self._refresh()

    def show_layer(self, layer: Layer | None) -> None:
        """Show what became of a layer's output; None shows nothing."""
        self._layer = layer
        self._refresh()

    def _refresh(self) -> None:
        layer, measured = self._layer, self._document.measured
        entry = measured.layers.get(layer.name) if layer is not None and measured is not None else None
        self.setVisible(entry is not None)
        if entry is None or measured is None:
            self._plot.show_measured(np.array([0.0, 1.0]), None)
            return
        ratios = entry.ratios
        self.mark.setVisible(ratios.surprising)
        colours = self._theme.colours
        icon = self._theme.icon("warning", colours.bad if ratios.worse_than_explained else colours.faint)
        self.mark.setPixmap(icon.pixmap(_ICON, _ICON))
        parts = [self.tr("measured {ratio}").format(ratio=formatting.decibel(ratios.sqnr_db))]
        if ratios.predicted_db is not None:
            parts.append(self.tr("predicted {ratio}").format(ratio=formatting.decibel(ratios.predicted_db)))
        if ratios.inherited_db is not None:
            parts.append(self.tr("inherited {ratio}").format(ratio=formatting.decibel(ratios.inherited_db)))
        if self._document.measured_stale:
            parts.insert(0, self.tr("before the last decisions"))
        samples = self.tr("Measured with {count} evaluation samples.").format(count=measured.samples)
        tip = f"{explanation(ratios)}\n{samples}"
        self.text.setText(" · ".join(parts))
        self.text.setAccessibleName(tip)
        for widget in (self.text, self.mark):
            widget.setToolTip(tip)
        self._draw(entry)

    def _draw(self, entry: MeasuredActivation) -> None:
        calculated = self._document.ranges
        width = self._plot.bin_width
        if calculated is None or not self.outline.isChecked() or not width > 0.0:
            self._plot.show_measured(entry.edges, None)
            return
        seen = calculated.statistics(entry.ratios.tensor)
        self._plot.show_measured(entry.edges, comparable_counts(entry, seen, width))
