"""The report as one self-contained HTML page: what the template `resources/report/report.html` is given.

A section of the page is a value of `_context` and a block of the template; what the template prints is escaped.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from qgui.core import formats, patterns
from qgui.core.language import language, say
from qgui.core.recipe import Mode, mode_name
from qgui.core.report import histograms, plots
from qgui.core.report.content import ReportContent
from qgui.core.report.sentences import comparison_lines, told_threads
from qgui.core.resources import resources
from qgui.core.results import LayerResult, StepEffect

_TEMPLATE = "report.html"
_STEP_WORDS = {"equalize": say("equalization"), "correct_bias": say("bias correction"), "adaround": "AdaRound"}


def html(content: ReportContent) -> str:
    """Return a page that needs no other file and no network, for the screen in light and dark and for paper."""
    text: str = _environment().get_template(_TEMPLATE).render(_context(content))
    return text


@functools.cache
def _environment() -> jinja2.Environment:
    folder = jinja2.FileSystemLoader(resources() / "report")
    environment = jinja2.Environment(
        loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.globals |= {
        "say": say,
        "mode_name": mode_name,
        "told_threads": told_threads,
        "language": language().replace("_", "-"),
    }
    environment.filters |= {"fixed": _fixed, "short": _short, "mega": _mega, "breakable": _breakable}
    return environment


def _context(content: ReportContent) -> dict[str, Any]:
    comparison, ranges, training = content.comparison, content.ranges, content.training
    return {
        "content": content,
        "model": content.model,
        "recipe": content.recipe,
        "digest": content.recipe.digest(),
        "modes": _modes(content),
        "patterns": [(rule.pattern, patterns.settings_line(rule)) for rule in content.recipe.patterns],
        "own": sorted(content.recipe.own_layers) if content.recipe.patterns else [],
        "comparison": comparison,
        "lines": comparison_lines(comparison, latencies=False) if comparison is not None else [],
        "latency_plot": plots.latency_bars(comparison.latencies) if comparison and comparison.latencies else None,
        "sqnr_plot": plots.sqnr_bars(comparison.layers) if comparison is not None else None,
        "histograms": list(histograms.histograms(ranges, content.recipe)) if ranges is not None else [],
        "explanation": content.explanation,
        "runtimes": content.runtimes,
        "training": training,
        "training_plot": plots.training_curves(training) if training is not None and training.records else None,
        "effects": _effects(comparison.layers if comparison is not None else ()),
        "exact_db": plots.EXACT_DB,
        "formats": formats.BY_KEY,
    }


def _modes(content: ReportContent) -> Mapping[str, int]:
    """Return how many layers have each mode; inputs and layers fused into others do not count."""
    counts = dict.fromkeys(map(mode_name, Mode), 0)
    for layer in content.model.layers:
        if layer.head and layer.kind != "input":
            counts[mode_name(content.recipe.rule(layer.name).mode)] += 1
    return {mode: count for mode, count in counts.items() if count}


def _effects(layers: tuple[LayerResult, ...]) -> list[tuple[str, str, StepEffect]]:
    return [(layer.name, _STEP_WORDS.get(e.step, e.step), e) for layer in layers for e in layer.effects]


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _short(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _mega(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _breakable(path: str) -> Markup:
    """Return a dotted path that may break after each dot."""
    return Markup(".<wbr>").join(path.split("."))
