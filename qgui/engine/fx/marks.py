"""Marks in a traced model: one operation per layer, for which a table says what to write in its place.

PyTorch's exporter writes the float operations of a model well and knows nothing of int8. What is int8 is therefore
traced as one marked operation, whose numbers `engine.onnx_layers` finds in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

#: Domain of the marks in a traced graph; none is left in what is written.
DOMAIN = "qgui"


@dataclass(frozen=True)
class Scale:
    """Scale and zero point of a quint8 tensor."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Weight:
    """A weight as the int8 module holds it.

    Attributes:
        values: int8, uint8 of an embedding, or float16; in the module's own shape.
        scale: float32, one number or one per channel.
        zero_point: As many; float32 of an embedding.
        axis: The channels' axis; None for one scale per tensor.
    """

    values: npt.NDArray[Any]
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[Any]
    axis: int | None = None


@dataclass(frozen=True)
class Mark:
    """What a mark stands for.

    Attributes:
        name: The layer, or the traced operation that is no layer.
        kind: `value` (the exporter writes the operation), `conv`, `conv_transpose`, `linear`, `dynamic_linear`,
            `embedding` or `lstm`.
        output: Scale of the output, None where it is float.
        source: Scale of the input of a static layer with a weight.
        weights: Its weights: one; of an LSTM those of input and state, for each direction.
        biases: Its float32 biases, beside the weights.
        relu: Whether negative results become zero.
        attributes: Those of the operator, by ONNX's names.
    """

    name: str
    kind: str = "value"
    output: Scale | None = None
    source: Scale | None = None
    weights: tuple[Weight, ...] = ()
    biases: tuple[npt.NDArray[np.float32] | None, ...] = ()
    relu: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)


def weight_of(value: torch.Tensor) -> Weight:
    """Return integers, scales and zero points of a quantized tensor; float16 numbers of one that is not quantized."""
    if not value.is_quantized:
        return Weight(value.detach().half().numpy(), np.empty(0, np.float32), np.empty(0))
    integers = value.int_repr().numpy()
    if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return Weight(integers, np.array([value.q_scale()], np.float32), np.array([value.q_zero_point()]))
    # PyTorch keeps as double what was chosen as float: nothing is lost.
    scales = value.q_per_channel_scales().float().numpy()
    return Weight(integers, scales, value.q_per_channel_zero_points().numpy(), value.q_per_channel_axis())


class _Marked(torch.autograd.Function):
    """Returns given values, and is one operation of the domain `DOMAIN` where it is traced."""

    @staticmethod
    def forward(ctx: Any, key: str, sizes: list[list[int | None]], *values: torch.Tensor) -> Any:
        results = tuple(value.clone() for value in values[: len(sizes)])
        return results if len(sizes) > 1 else results[0]

    @staticmethod
    def symbolic(g: Any, key: str, sizes: list[list[int | None]], *values: Any) -> Any:
        count = len(sizes)
        made = g.op(f"{DOMAIN}::Mark", *values[count:], key_s=key, outputs=count)
        for value, like, known in zip(made if count > 1 else (made,), values, sizes, strict=False):
            value.setType(like.type().with_sizes(known))
        return made


@contextmanager
def _untraced() -> Iterator[None]:
    """Let nothing of what runs here appear in the trace."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


class Marks:
    """The marks of one model, and the shapes that each had in untraced runs with batches of different sizes."""

    def __init__(self) -> None:
        self.table: dict[str, Mark] = {}
        self._shapes: dict[tuple[str, int], list[list[int]]] = {}
        self._calls: dict[str, int] = {}

    def begin(self) -> None:
        """Count calls from the start, before each run."""
        self._calls.clear()

    def put(self, mark: Mark, compute: Callable[..., Any], *inputs: torch.Tensor) -> Any:
        """Return what is computed from inputs, as one marked operation in a trace.

        Args:
            mark: What stands there.
            compute: Gives one tensor or a tuple of tensors from the inputs; is not traced.
            inputs: Its arguments.
        """
        call = self._calls.get(mark.name, 0)
        self._calls[mark.name] = call + 1
        self.table[mark.name] = mark
        with _untraced():
            found = compute(*(value.detach() for value in inputs))
        results = found if isinstance(found, tuple) else (found,)
        shapes = self._shapes.setdefault((mark.name, call), [])
        if torch._C._get_tracing_state() is None:
            shapes.append([size for result in results for size in result.shape])
            return found
        fixed = iter([len(set(sizes)) == 1 for sizes in zip(*shapes, strict=True)])
        sizes = [[size if next(fixed) else None for size in result.shape] for result in results]
        return _Marked.apply(mark.name, sizes, *results, *inputs)
