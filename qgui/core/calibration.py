"""What statistics depend on besides model and data: samples left out, finite values only, equalized weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import Recipe

Pair = tuple[str, str]


class CalibrationSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The decisions of a recipe that a calibration pass depends on.

    Attributes:
        excluded: Indices of samples that are left out.
        finite_only: Whether NaN and infinite values are left out instead of stopping the calibration.
        equalized: Pairs of layers whose weights are equalized before the pass.
    """

    excluded: tuple[int, ...] = ()
    finite_only: bool = False
    equalized: tuple[Pair, ...] = ()


def equalized_pairs(recipe: Recipe, layers: Iterable[Layer]) -> tuple[Pair, ...]:
    """Return the pairs of layers that a recipe equalizes: those of which both layers are ticked."""
    ticked = {name for name, rule in recipe.rules.items() if rule.equalize}
    pairs = {pair for layer in layers if layer.name in ticked for pair in layer.equalizable}
    return tuple(sorted(pair for pair in pairs if ticked.issuperset(pair)))


def settings_of(recipe: Recipe, layers: Iterable[Layer]) -> CalibrationSettings:
    """Return what a calibration pass under a recipe depends on."""
    excluded = tuple(sorted(set(recipe.data.excluded)))
    return CalibrationSettings(excluded, recipe.data.finite_only, equalized_pairs(recipe, layers))


def why_stale(made: CalibrationSettings, wished: CalibrationSettings, samples: Collection[int], unfinite: bool) -> str:
    """Return in words why statistics are not those that a recipe asks for; empty where they are.

    Args:
        made: What they were made with.
        wished: What the recipe asks for.
        samples: The samples they were made from.
        unfinite: Whether NaN or infinite values came up.
    """
    reasons = []
    left_out = sorted(set(wished.excluded).difference(made.excluded).intersection(samples))
    taken_back = sorted(set(made.excluded).difference(wished.excluded))
    if left_out:
        reasons.append(say("{samples} left out since", samples=_samples(left_out)))
    if taken_back:
        reasons.append(say("{samples} taken back since", samples=_samples(taken_back)))
    if unfinite and made.finite_only and not wished.finite_only:
        reasons.append(say("NaN and infinite values are no longer to be left out"))
    if made.equalized != wished.equalized:
        changed = sorted({name for pair in set(made.equalized) ^ set(wished.equalized) for name in pair})
        more = say(" and {count} more", count=len(changed) - 2) if len(changed) > 2 else ""
        reasons.append(
            say("equalization changes the weights of {changed}{more}", changed=", ".join(changed[:2]), more=more)
        )
    return "; ".join(reasons)


def _samples(indices: list[int]) -> str:
    if len(indices) == 1:
        return say("sample {index} was", index=indices[0])
    named = ", ".join(map(str, indices[:3]))
    more = say(" and {count} more", count=len(indices) - 3) if len(indices) > 3 else ""
    return say("samples {named}{more} were", named=named, more=more)
