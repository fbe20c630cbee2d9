"""What counts as the output of a model: a tensor, wherever the model puts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from qgui.core.errors import QguiError
from qgui.core.language import say


def main_output(outputs: Any) -> torch.Tensor:
    """Return the tensor that is scored: the output itself, `logits` of a mapping, or the first tensor found.

    Raises:
        QguiError: There is no tensor.
    """
    if isinstance(outputs, torch.Tensor):
        return outputs.dequantize() if outputs.is_quantized else outputs
    if isinstance(outputs, Mapping):
        return main_output(outputs["logits"] if "logits" in outputs else list(outputs.values()))
    if isinstance(outputs, (tuple, list)):
        for value in outputs:
            if isinstance(value, (torch.Tensor, tuple, list, Mapping)):
                return main_output(value)
    raise QguiError(
        say("Could not score the model"),
        say("its output is a {kind} without a tensor", kind=type(outputs).__name__),
        say("Let forward return a tensor, a tuple whose first entry is one, or a mapping with 'logits'."),
    )


def is_class_scores(output: torch.Tensor) -> bool:
    """Whether an output looks like one score per class for each sample."""
    return output.dim() == 2 and output.shape[1] > 1


class MainOutput(nn.Module):
    """Calls a model and returns its scored tensor, so that outputs of any kind can be traced.

    Args:
        model: Called with the tensors.
        names: Of its keyword arguments, in the order of the tensors; empty for positional ones.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the scored tensor."""
        if self._names:
            return main_output(self.model(**dict(zip(self._names, tensors, strict=True))))
        return main_output(self.model(*tensors))
