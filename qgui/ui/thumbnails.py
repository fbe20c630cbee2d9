"""Small pictures of histograms with the range in use, to be told apart at a glance."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPixmap

from qgui.core import ranges
from qgui.core.plan import Choice
from qgui.core.ranges import Distribution
from qgui.ui.plots import pen, translucent
from qgui.ui.theme import Colours

_BINS = 80


def thumbnail(distribution: Distribution, choice: Choice, colours: Colours, size: QSize, ratio: float) -> QPixmap:
    """Return the histogram of a tensor on a logarithmic scale, with its range and what that clips.

    Args:
        distribution: Where the values lie.
        choice: The range in use.
        colours: Of the theme.
        size: In device-independent pixels.
        ratio: Pixels of the screen for each of these.
    """
    counts, edges = ranges.histogram_of(distribution, _BINS)
    low, high = float(choice.qparams.low[0]), float(choice.qparams.high[0])
    left, right = min(float(edges[0]), low), max(float(edges[-1]), high)
    width, height = float(size.width()), float(size.height())
    scale = (width - 4.0) / max(right - left, 1e-30)
    floor = max(float(counts.max(initial=1.0)) * 1e-6, 0.5)
    top = max(float(np.log10(counts.max(initial=0.0) / floor)) if counts.max(initial=0.0) > floor else 0.0, 0.1)
    heights = np.log10(np.maximum(counts, floor) / floor) * ((height - 6.0) / top)
    pixels = 2.0 + (edges - left) * scale
    start, end = 2.0 + (low - left) * scale, 2.0 + (high - left) * scale
    picture = QPixmap(size * ratio)
    picture.setDevicePixelRatio(ratio)
    picture.fill(QColor(colours.base))
    painter = QPainter(picture)
    painter.fillRect(QRectF(start, 0.0, end - start, height), translucent(colours.accent, 0.10))
    painter.setPen(Qt.PenStyle.NoPen)
    inside, clipped = QColor(colours.histogram), QColor(colours.bad)
    for place in np.flatnonzero(heights > 0.0):
        x, next_x, bar = float(pixels[place]), float(pixels[place + 1]), float(heights[place])
        middle = (x + next_x) / 2
        colour = inside if start - 0.5 <= middle <= end + 0.5 else clipped
        painter.fillRect(QRectF(x, height - bar, max(next_x - x, 1.0), bar), colour)
    painter.setPen(pen(colours.accent, 1.5))
    for x in (start, end):
        painter.drawLine(round(x), 0, round(x), size.height())
    painter.end()
    return picture
