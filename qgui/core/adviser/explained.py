"""The whole advice for a model: what was measured goes before what is expected, and says so."""

from __future__ import annotations

from qgui.core import advice
from qgui.core.adviser.accuracy import accuracy_section
from qgui.core.adviser.backend import backend_section
from qgui.core.adviser.matter import Known, Section
from qgui.core.adviser.modes import float_section, layers_section
from qgui.core.adviser.ranges import ranges_section


def explain(known: Known) -> tuple[Section, ...]:
    """Return what is advised for a model and why, with the numbers of this model."""
    mode, _ = advice.advised_mode(known.model)
    narrow = known.machine.reduce_range.get(known.recipe.backend, False)
    rules = advice.advised_rules(known.model, mode, known.recipe.backend, narrow)
    return (
        layers_section(known, rules),
        float_section(known, mode, rules),
        backend_section(known),
        ranges_section(known),
        accuracy_section(known),
    )
