"""What advice builds on and what it is made of: known facts, sections and pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from qgui.core.adviser.proposals import Proposal
from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.recipe import Recipe
from qgui.core.results import BackendTiming, Comparison, MachineDescription

#: Layers are named up to this many; of more, the rest is counted.
NAMED = 4


@dataclass(frozen=True)
class Known:
    """What advice can build on.

    Attributes:
        model: The open model.
        recipe: What is decided now.
        machine: Where it runs.
        comparison: What was measured of a quantized model; None before.
        comparison_stale: Whether the decisions changed since.
        timings: The engines as they were measured, fastest first.
        timings_stale: Whether the modes changed since.
        added_noise: Layer path to the error that the layer adds to what it inherits, as a share of its signal, where
            the activations of the quantized model were measured.
        calibrated: Whether there are statistics of activations.
    """

    model: ModelDescription
    recipe: Recipe
    machine: MachineDescription
    comparison: Comparison | None = None
    comparison_stale: bool = False
    timings: tuple[BackendTiming, ...] = ()
    timings_stale: bool = False
    added_noise: Mapping[str, float] = field(default_factory=dict)
    calibrated: bool = False


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of advice.

    Attributes:
        key: Names it in code.
        title: What it is about.
        text: What is advised and why.
        figures: The numbers of this model, shorter than a sentence.
        proposal: What can be decided at once; None where nothing is to be done.
        done: Why there is nothing to decide, for instance because it is so; empty where there is, or never was.
        job: Work that says more; empty for none.
    """

    key: str
    title: str
    text: str
    figures: str = ""
    proposal: Proposal | None = None
    done: str = ""
    job: Literal["", "backends", "compare", "calibrate", "observers", "train", "slowness"] = ""


class Section(msgspec.Struct, frozen=True):
    """What is advised about one matter.

    Attributes:
        key: `layers`, `float`, `backend`, `ranges` or `accuracy`.
        title: The matter.
        text: The advice as a whole.
        pieces: Its pieces.
    """

    key: str
    title: str
    text: str
    pieces: tuple[Piece, ...]


def named(names: Iterable[str]) -> str:
    """Return the first of many names, and how many there are more."""
    given = list(names)
    if len(given) <= NAMED:
        return ", ".join(given)
    return say("{names} and {count} more", names=", ".join(given[:NAMED]), count=len(given) - NAMED)
