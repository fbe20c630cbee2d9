"""Pictures of the window against pictures kept in the repository, however the fonts of a machine look.

A picture is scaled down and described, in overlapping zones, by the shares of its greys, the shares of its hues and how
much is drawn. Text moves these little, also in another font; a plot without its curves, a panel without content or the
colours of another theme move them much.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QImage, QTextLayout

REFERENCES = Path(__file__).with_name("pictures")
FONT = REFERENCES / "font.json"
#: Longest side of a kept picture, in pixels.
LONGEST = 192
ROWS, COLUMNS = 3, 4
GREYS, HUES = 8, 8
#: Shares below these are as good as none.
_NEGLIGIBLE = np.array([0.05] * GREYS + [0.002] * HUES + [0.02])
#: With the font of the references a picture hardly differs; without the toolbar, at least by 0.21.
SAME_FONT = 0.18
#: Another font at 11 points differs by up to 1.2; another theme by 2.7, a comparison without its bars by 1.7.
OTHER_FONT = 1.35

#: What tells the font of each language: Chinese letters come from another one, which each machine chooses itself.
_WORDS = {"en": "Quantize 0123456789", "zh_CN": "模型量化校准观察器 0123456789，。"}
#: These name a temporary folder, and times.
_VARYING = {"log", "export", "exported"}
VARYING = 0.4

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How far a picture is from its reference.

    Attributes:
        score: Natural logarithm of the ratio of the third most differing share; 0 where nothing differs.
        where: Zone and share that differ most, in words.
    """

    score: float
    where: str


def kept(image: QImage) -> QImage:
    """Return a picture in the size and the colours in which it is kept."""
    size = image.size().scaled(LONGEST, LONGEST, Qt.AspectRatioMode.KeepAspectRatio)
    return _reduced(_scaled(image, size))


def difference(actual: QImage, reference: QImage) -> Difference:
    """Compare a picture of any size with a reference."""
    pair = [_described(_reduced(_scaled(image, reference.size()))) for image in (actual, reference)]
    ratios = np.abs(np.log((pair[0] + _NEGLIGIBLE) / (pair[1] + _NEGLIGIBLE)))
    row, column, share = np.unravel_index(int(ratios.argmax()), ratios.shape)
    names = [*(f"grey {n}" for n in range(GREYS)), *(f"hue {45 * n}°" for n in range(HUES)), "lines"]
    where = f"row {row + 1} of {ROWS}, column {column + 1} of {COLUMNS}, {names[int(share)]}"
    return Difference(float(np.sort(ratios.ravel())[-3]), where)


def seen_difference(actual: QImage, reference: QImage) -> QImage:
    """Return a picture that is bright where two differ."""
    pair = [_pixels(_scaled(image, reference.size())) for image in (actual, reference)]
    values = np.ascontiguousarray(np.abs(pair[0] - pair[1]) * 255, dtype=np.uint8)
    height, width, _ = values.shape
    return QImage(values.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def font_of(font: QFont, name: str) -> dict[str, object]:
    """Return what tells one font from another as it draws a language, with the fonts that it lets draw for it."""
    layout = QTextLayout(_WORDS[name], font)
    layout.beginLayout()
    layout.createLine()
    layout.endLayout()
    families = sorted({run.rawFont().familyName() for run in layout.glyphRuns()})
    return {"families": families, "height": QFontMetrics(font).height()}


def remember_font(font: QFont, name: str) -> None:
    """Note with which font the references of a language are made."""
    known = json.loads(FONT.read_text()) if FONT.is_file() else {}
    FONT.write_text(json.dumps({**known, name: font_of(font, name)}, indent=1) + "\n")


def tolerance(font: QFont, name: str, place: str = "") -> float:
    """Return how large the score of a picture may be with a font, in a language."""
    same = FONT.is_file() and json.loads(FONT.read_text()).get(name) == font_of(font, name)
    if not same:
        return OTHER_FONT
    return VARYING if place in _VARYING else SAME_FONT


def _scaled(image: QImage, size: QSize) -> QImage:
    ratio, smooth = Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
    return image.scaled(size, ratio, smooth).convertToFormat(QImage.Format.Format_RGB888)


def _reduced(image: QImage) -> QImage:
    """Return a picture in 32 steps of each colour, which takes half the space."""
    return image.convertToFormat(QImage.Format.Format_RGB555).convertToFormat(QImage.Format.Format_RGB888)


def _pixels(image: QImage) -> Features:
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(np.float64) / 255


def _described(image: QImage) -> Features:
    """Return the shares in each zone, as (rows, columns, greys + hues + 1)."""
    pixels = _pixels(image)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    chroma = pixels.max(axis=-1) - pixels.min(axis=-1)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    hue = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
    vivid = np.clip((chroma - 0.12) / 0.4, 0, 1)
    shares = [np.clip(1 - np.abs(grey * (GREYS - 1) - n), 0, 1) for n in range(GREYS)]
    apart = (np.abs((hue - 360 / HUES * n + 180) % 360 - 180) for n in range(HUES))
    shares += [np.clip(1 - angle / (360 / HUES), 0, 1) * vivid for angle in apart]
    steps = np.abs(np.diff(grey, axis=1, append=grey[:, -1:])) + np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    shares.append(np.minimum(2 * steps, 1))
    return np.einsum("rh,fhw,cw->rcf", _weights(len(grey), ROWS), np.stack(shares), _weights(grey.shape[1], COLUMNS))


def _weights(length: int, zones: int) -> Features:
    """Return how much each line of pixels counts in each of the zones, which overlap."""
    places = (np.arange(length) + 0.5) / length * (zones - 1)
    weights = np.clip(1 - np.abs(places - np.arange(zones)[:, None]), 0, 1)
    return weights / weights.sum(axis=1, keepdims=True)
