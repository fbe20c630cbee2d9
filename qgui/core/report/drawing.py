"""Drawings as inline SVG: a canvas with axes, whose colours follow the page and whose texts are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from markupsafe import Markup


class Drawing:
    """An SVG drawing with a title that screen readers tell.

    Args:
        width: In pixels, at which text has its normal size; the page may scale it down.
        height: In pixels.
        title: What it shows, as a sentence.
        kind: Class of the element, by which the page styles it.
    """

    def __init__(self, width: float, height: float, title: str, kind: str) -> None:
        self.width, self.height = width, height
        self._root = ElementTree.Element(
            "svg",
            {"viewBox": f"0 0 {number(width)} {number(height)}", "role": "img", "aria-label": title, "class": kind},
        )

    def rectangle(self, x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> None:
        """Draw a rectangle; `tip` is shown where the mouse rests on it."""
        places = {"x": x, "y": y, "width": max(width, 0.0), "height": max(height, 0.0)}
        self._add("rect", {**{key: number(value) for key, value in places.items()}, "class": kind}, tip)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str, tip: str = "") -> None:
        """Draw a straight line."""
        places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        self._add("line", {**{key: number(value) for key, value in places.items()}, "class": kind}, tip)

    def text(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> None:
        """Write a line of text; `anchor` is `start`, `middle` or `end`."""
        attributes = {"x": number(x), "y": number(y)}
        if anchor != "start":
            attributes["text-anchor"] = anchor
        if kind:
            attributes["class"] = kind
        ElementTree.SubElement(self._root, "text", attributes).text = text

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw a line through points."""
        place = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._add("polyline", {"points": place, "class": kind}, "")

    def dot(self, x: float, y: float, radius: float, kind: str, tip: str = "") -> None:
        """Draw a filled circle."""
        self._add("circle", {"cx": number(x), "cy": number(y), "r": number(radius), "class": kind}, tip)

    def steps(self, left: float, width: float, base: float, heights: Sequence[float], kind: str) -> None:
        """Draw a filled outline of bars of one width that stand side by side."""
        step = width / max(len(heights), 1)
        path = f"M{number(left)} {number(base)}"
        for place, height in enumerate(heights):
            path += f"V{number(base - height)}H{number(left + (place + 1) * step)}"
        self._add("path", {"d": f"{path}V{number(base)}Z", "class": kind}, "")

    def markup(self) -> Markup:
        """Return the drawing as markup."""
        return Markup(ElementTree.tostring(self._root, encoding="unicode"))

    def _add(self, tag: str, attributes: dict[str, str], tip: str) -> None:
        element = ElementTree.SubElement(self._root, tag, attributes)
        if tip:
            ElementTree.SubElement(element, "title").text = tip


def number(value: float) -> str:
    """Return a coordinate in tenths of a pixel, as short as possible."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers between two bounds, about as many as asked for."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / max(count, 1)
    magnitude = 10.0
    while magnitude > rough:
        magnitude /= 10
    while magnitude * 10 <= rough:
        magnitude *= 10
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= rough)
    first = -(-low // step)
    found = []
    while first * step <= high + step * 1e-9:
        found.append(first * step + 0.0)
        first += 1
    return found
