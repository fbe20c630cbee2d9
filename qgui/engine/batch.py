"""Some samples as a model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qgui.core.errors import QguiError
from qgui.core.language import say

Inputs = tuple[torch.Tensor, ...] | dict[str, torch.Tensor]


@dataclass
class Batch:
    """Some samples.

    Attributes:
        inputs: Positional tensors, or keyword tensors.
        target: Class indices or anything a metric wants, shape `(batch, ...)`; None without labels.
        indices: Index of every sample in the data set.
    """

    inputs: Inputs
    target: torch.Tensor | None
    indices: list[int]

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All input tensors."""
        return list(self.inputs.values()) if isinstance(self.inputs, dict) else list(self.inputs)

    def copied(self) -> Inputs:
        """Return copies of the inputs, for what may work in place."""
        if isinstance(self.inputs, dict):
            return {key: value.clone() for key, value in self.inputs.items()}
        return tuple(value.clone() for value in self.inputs)

    def positional(self, names: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Return copies of the inputs in the order of a graph's placeholders."""
        inputs = self.copied()
        if isinstance(inputs, dict):
            return tuple(inputs[name] for name in names if name in inputs)
        return inputs

    def run(self, model: Any, *, copy: bool = True) -> Any:
        """Return the model's outputs for these inputs.

        Args:
            model: Called with the inputs.
            copy: Whether it gets copies, so that a forward that works in place leaves this batch as it is. Only
                where time is measured the copying may be left out.

        Raises:
            QguiError: The model raises.
        """
        inputs = self.copied() if copy else self.inputs
        try:
            return model(**inputs) if isinstance(inputs, dict) else model(*inputs)
        except Exception as error:
            lines = str(error).strip().splitlines()
            told = ", ".join(_told(tensor) for tensor in self.tensors)
            why = say(
                "forward raised {kind}: {line} (inputs: {told})",
                kind=type(error).__name__,
                line=lines[0] if lines else "",
                told=told,
            )
            hint = say("Check that the data has the shape and type the model takes.")
            raise QguiError(say("Could not run the model"), why, hint, str(error)) from error


def _told(tensor: torch.Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or say("one number")
    return shape if tensor.dtype is torch.float32 else f"{shape} {str(tensor.dtype).removeprefix('torch.')}"


def join(samples: Sequence[Batch]) -> Batch:
    """Return one batch of several samples of equal shapes."""
    first = samples[0]
    if isinstance(first.inputs, dict):
        inputs: Inputs = {key: torch.cat([s.inputs[key] for s in samples]) for key in first.inputs}  # type: ignore[call-overload]
    else:
        inputs = tuple(torch.cat(parts) for parts in zip(*(s.inputs for s in samples), strict=True))
    targets = [s.target for s in samples]
    target = None if any(t is None for t in targets) else torch.cat([t for t in targets if t is not None])
    return Batch(inputs, target, [index for s in samples for index in s.indices])
