"""What stands on the nodes of a graph: mode and SQNR of their layers."""

from __future__ import annotations

from typing import Any

from qgui.core.recipe import Mode, mode_name
from qgui.ui import formatting
from qgui.ui.document import Document
from qgui.ui.layer_cells import POOR_SQNR_DB
from qgui.ui.theme import Theme


def marks(document: Document, theme: Theme) -> dict[str, Any]:
    """Return the marks as `bridge.js` takes them: `layers` by their names, and the colour of each mode."""
    model = document.model
    layers = model.layers if model is not None else ()
    return {
        "layers": {layer.name: _mark(document, layer.name, layer.group or layer.name) for layer in layers},
        "colours": {mode_name(mode): theme.mode_colour(mode) for mode in Mode},
    }


def _mark(document: Document, name: str, head: str) -> dict[str, str]:
    found = document.measurement(name)
    sqnr = found.sqnr_db if found is not None else None
    if sqnr is None:
        ratios = document.measured_ratios(name)
        sqnr = ratios.sqnr_db if ratios is not None else None
    poor = "⚠ " if sqnr is not None and sqnr < POOR_SQNR_DB else ""
    return {
        "mode": mode_name(document.recipe.rule(head).mode),
        "sqnr": f"{poor}{formatting.decibel(sqnr)}" if sqnr is not None else "",
    }
