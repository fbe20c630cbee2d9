"""Where the rule of a layer comes from, in words: patterns, a decision for the single layer, or advice."""

from __future__ import annotations

from collections.abc import Sequence

from qgui.core import fitting, patterns
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import PatternRule, Recipe


def origin_text(recipe: Recipe, layer: Layer) -> str:
    """Return in a word or two where a layer's rule comes from: its patterns, `own`, or nothing for advice."""
    if not layer.head:
        return ""
    governing = fitting.governing(recipe, layer)
    if governing:
        return ", ".join(rule.pattern for rule in governing)
    return say("own") if layer.name in recipe.own_layers else ""


def origin_sentence(recipe: Recipe, layer: Layer) -> str:
    """Return where a layer's rule comes from; empty where nobody decided it."""
    governing = fitting.governing(recipe, layer)
    if governing:
        return say("By pattern: {rules}.").format(rules=_lines(governing))
    overruled = fitting.overruled(recipe, layer)
    if overruled:
        return say("Decided for this layer, which wins over the pattern {rules}.").format(rules=_lines(overruled))
    return say("Decided for this layer.") if layer.name in recipe.own_layers else ""


def origins_sentence(recipe: Recipe, layers: Sequence[Layer]) -> str:
    """Return where the rules of several layers come from."""
    if len(layers) == 1:
        return origin_sentence(recipe, layers[0])
    by_pattern = sum(bool(fitting.governing(recipe, layer)) for layer in layers)
    own = sum(layer.name in recipe.own_layers for layer in layers)
    parts = []
    if by_pattern:
        parts.append(say("{count} by pattern").format(count=by_pattern))
    if own and recipe.patterns:
        parts.append(say("{count} decided for the layer").format(count=own))
    return f"{', '.join(parts)}." if parts else ""


def _lines(rules: Sequence[PatternRule]) -> str:
    return "; ".join(f"{rule.pattern} ({patterns.settings_line(rule)})" for rule in rules)
