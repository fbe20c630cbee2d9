"""Pieces of advice that one click decides: what they change, and the edit that does it."""

from __future__ import annotations

from typing import Literal

import msgspec

from qgui.core import decisions
from qgui.core.language import say
from qgui.core.recipe import Mode, Step, mode_name


class Proposal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that can be decided at once.

    Attributes:
        kind: `mode`: a mode for layers; `step`: a step better than rounding for layers; `backend`: another engine.
        layers: The layers whose rules change, for `mode` and `step`.
        mode: Their new mode, for `mode`.
        step: What they get, for `step`.
        backend: The engine, for `backend`.
    """

    kind: Literal["mode", "step", "backend"]
    layers: tuple[str, ...] = ()
    mode: Mode = Mode.FLOAT
    step: Step = "correct_bias"
    backend: str = ""

    @property
    def text(self) -> str:
        """What is done, as a short command."""
        if self.kind == "backend":
            return say("Use {backend}", backend=self.backend)
        count = len(self.layers)
        if self.kind == "step":
            return say("Use for 1 layer") if count == 1 else say("Use for {count} layers", count=count)
        if self.mode is Mode.FLOAT:
            return say("Leave 1 layer float") if count == 1 else say("Leave {count} layers float", count=count)
        if self.mode is Mode.QAT:
            return say("Mode qat for 1 layer") if count == 1 else say("Mode qat for {count} layers", count=count)
        if count == 1:
            return say("Make 1 layer {mode}", mode=mode_name(self.mode))
        return say("Make {count} layers {mode}", count=count, mode=mode_name(self.mode))

    def edit(self, backend: str) -> decisions.Edit:
        """Return the edit of `layers` that decides it; for `mode` and `step`.

        Args:
            backend: The engine in use.
        """
        if self.kind == "step":
            return decisions.step_edit(self.step, True, backend)
        return decisions.mode_edit(self.mode, backend)
