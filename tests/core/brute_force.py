"""The best range of a tensor by trying them all: a slow reference for the observers that search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qgui.core.qparams import Grid, QParams, qparams_of_range


def best_bounds(
    low: float, high: float, grid: Grid, cost_of: Callable[[QParams], float], steps: int
) -> tuple[float, float]:
    """Return the bounds of least cost among `steps` shares of each end of the range that holds all values and zero."""
    shares = np.linspace(1.0 / steps, 1.0, steps)
    low, high = min(low, 0.0), max(high, 0.0)
    if grid.symmetric:
        reach = max(-low, high)
        pairs = [(-reach * share, reach * share) for share in shares]
    else:
        lows = [low * share for share in shares] if low < 0.0 else [0.0]
        highs = [high * share for share in shares] if high > 0.0 else [0.0]
        pairs = [(a, b) for a in lows for b in highs]
    return min(pairs, key=lambda pair: cost_of(qparams_of_range(*pair, grid)))
