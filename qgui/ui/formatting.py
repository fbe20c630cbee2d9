"""Numbers as people read them, with their units."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from qgui.core.language import say

#: Stands where there is nothing to show.
NOTHING = "–"
#: In languages that are not written in Latin letters the key stands behind in brackets.
_MNEMONIC = re.compile(r" ?\(&\w\)|&")


def count(number: int) -> str:
    """Return a count with three digits and a magnitude, for instance `11.7 M`."""
    for limit, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {suffix}"
    return str(number)


def size(number: int) -> str:
    """Return a size in bytes with a decimal magnitude, for instance `44.6 MB`."""
    for limit, suffix in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= limit:
            return f"{number / limit:.3g} {suffix}"
    return f"{number} B"


def shape(dimensions: Sequence[int] | None) -> str:
    """Return a shape, for instance `1 × 64 × 56 × 56`."""
    return " × ".join(map(str, dimensions)) if dimensions else NOTHING


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, before the decimal point with all that it has."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if 10**digits <= abs(value) < 1e9:
        return number_fixed(value, 0)
    return f"{value:.{digits}g}".replace("-", "\u2212")


def scale(value: float) -> str:
    """Return a scale with all digits that a float32 holds."""
    return f"{value:.9g}"


def milliseconds(value: float | None) -> str:
    """Return a time in milliseconds with its unit."""
    return NOTHING if value is None else f"{number(value, 3)} ms"


def decibel(value: float | None) -> str:
    """Return a ratio in dB with its unit; 200 dB and more means that nothing is lost."""
    if value is None:
        return NOTHING
    return say("exact") if value >= 200 else f"{number_fixed(value, 1)} dB"


def number_fixed(value: float, decimals: int) -> str:
    """Return a number with a fixed number of decimals and a real minus sign."""
    return f"{value:.{decimals}f}".replace("-", "\u2212")


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share between 0 and 1 in percent."""
    return NOTHING if share is None else f"{number_fixed(100 * share, decimals)} %"


def small_percent(share: float) -> str:
    """Return a share that may be tiny in percent, for instance `0.0031 %`."""
    if share <= 0:
        return "0 %"
    if share < 1e-6:
        return "< 0.0001 %"
    return f"{100 * share:.2g} %" if share < 0.1 else percent(share)


def points(difference: float) -> str:
    """Return a difference of shares in percentage points with its sign."""
    sign = "+" if difference > 0 else ""
    return f"{sign}{number_fixed(100 * difference, 2)}"


def duration(seconds: float) -> str:
    """Return a duration as minutes and seconds, for instance `00:12`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes:02d}:{left:02d}"


def short_path(path: str) -> str:
    """Return the last part of a dotted path; the last two where the last is only a number."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def short_source(source: str) -> str:
    """Return a source without the folders in which it lies, for instance `data.py:batches`."""
    kind, colon, rest = source.partition(":")
    if colon and "/" in rest and "/" not in kind:
        return f"{kind}:{rest.rstrip('/').rpartition('/')[2]}"
    return source.rstrip("/").rpartition("/")[2] or source


def shortened(text: str, length: int = 60) -> str:
    """Return a text whose middle is left out where it is longer than so many characters."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def without_mnemonic(text: str) -> str:
    """Return a text of a menu without the mark of its key: `&Open…` and `打开(&O)…` without `&` and `(&O)`."""
    return _MNEMONIC.sub("", text.replace("&&", "\0")).replace("\0", "&")
