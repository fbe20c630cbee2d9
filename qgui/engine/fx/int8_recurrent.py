"""PyTorch's dynamic LSTM and recurrent cells in terms that another runtime understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.ao.nn.quantized import dynamic

from qgui.engine.fx.marks import Mark, Marks, Weight, weight_of

Tensor = torch.Tensor
Put = Callable[..., Any]
#: Where the gates input, output, forget and cell of ONNX lie among PyTorch's: input, forget, cell, output.
_GATES = (0, 3, 1, 2)
_CELLS = (dynamic.LSTMCell, dynamic.GRUCell, dynamic.RNNCell)


def stands_in(module: nn.Module, name: str) -> Put | None:
    """Return what puts the marks of a dynamic LSTM or recurrent cell, None of another module."""
    if isinstance(module, dynamic.LSTM):
        return _Lstm(module, name)
    if isinstance(module, _CELLS):
        return _Cell(module, name)
    return None


class _Lstm:
    """Puts one mark per layer of an LSTM, both directions together."""

    def __init__(self, module: Any, name: str) -> None:
        self._module = module
        self._directions = 2 if module.bidirectional else 1
        weights, biases = module.get_weight(), module.get_bias()
        self._marks = []
        for layer in range(module.num_layers):
            suffixes = [f"l{layer}{direction}" for direction in ("", "_reverse")[: self._directions]]
            self._marks.append(
                Mark(
                    f"{name}.l{layer}" if module.num_layers > 1 else name,
                    "lstm",
                    weights=tuple(_of_gates(weights[f"weight_{part}_{s}"]) for part in ("ih", "hh") for s in suffixes),
                    biases=tuple(
                        np.concatenate([_ordered(_numbers(biases[f"bias_{part}_{s}"])) for part in ("ih", "hh")])
                        for s in suffixes
                    ),
                    attributes={"hidden_size": module.hidden_size, "direction": _direction(self._directions)},
                )
            )

    def __call__(self, marks: Marks, x: Any, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        """Return all states, and the last states of hidden units and cells."""
        single = x.dim() == 2
        x = x.unsqueeze(1) if single else x.transpose(0, 1) if self._module.batch_first else x
        if hx is not None and single:
            hx = hx[0].unsqueeze(1), hx[1].unsqueeze(1)
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for place, mark in enumerate(self._marks):
            own = slice(place * self._directions, (place + 1) * self._directions)
            given = [] if hx is None else [part[own] for part in hx]
            x, h, c = marks.put(mark, self._shaped, x, *given)
            hidden.append(h)
            cells.append(c)
        states = torch.cat(hidden) if len(hidden) > 1 else hidden[0]
        memory = torch.cat(cells) if len(cells) > 1 else cells[0]
        if single:
            return x.squeeze(1), (states.squeeze(1), memory.squeeze(1))
        return (x.transpose(0, 1) if self._module.batch_first else x), (states, memory)

    def _shaped(self, x: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tensors of the right shapes: what they hold is not traced."""
        steps, batch = x.shape[:2]
        size = self._module.hidden_size
        last = x.new_zeros(self._directions, batch, size)
        return x.new_zeros(steps, batch, size * self._directions), last, last.clone()


class _Cell:
    """Computes a recurrent cell in float from two dynamic Linear layers."""

    def __init__(self, module: Any, name: str) -> None:
        self._module = module
        weights, biases = module.get_weight(), module.get_bias()
        self._linear = [
            Mark(
                f"{name}.{part}",
                "dynamic_linear",
                weights=(weight_of(weights[f"weight_{part}"]),),
                biases=(_numbers(biases[f"bias_{part}"]),),
            )
            for part in ("ih", "hh")
        ]

    def __call__(self, marks: Marks, x: Tensor, hx: Any = None) -> Any:
        """Return the next state; of an LSTM cell those of hidden units and cells."""
        long = isinstance(self._module, dynamic.LSTMCell)
        if hx is None:
            zeros = x.new_zeros(x.shape[0], self._module.hidden_size)
            hx = (zeros, zeros) if long else zeros
        state = hx[0] if long else hx
        given, kept = (
            marks.put(mark, self._shaped(mark), value) for mark, value in zip(self._linear, (x, state), strict=True)
        )
        if long:
            i, f, g, o = (given + kept).chunk(4, 1)
            memory = torch.sigmoid(f) * hx[1] + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(memory), memory
        if isinstance(self._module, dynamic.GRUCell):
            (r, z, n), (kept_r, kept_z, kept_n) = given.chunk(3, 1), kept.chunk(3, 1)
            update = torch.sigmoid(z + kept_z)
            return (1 - update) * torch.tanh(n + torch.sigmoid(r + kept_r) * kept_n) + update * state
        act = torch.relu if self._module.nonlinearity == "relu" else torch.tanh
        return act(given + kept)

    @staticmethod
    def _shaped(mark: Mark) -> Callable[[Tensor], Tensor]:
        return lambda value: value.new_zeros(value.shape[0], mark.weights[0].values.shape[0])


def _direction(count: int) -> str:
    return "bidirectional" if count > 1 else "forward"


def _numbers(bias: Tensor) -> npt.NDArray[np.float32]:
    numbers: npt.NDArray[np.float32] = bias.detach().float().numpy()
    return numbers


def _ordered(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows with the gates in ONNX's order."""
    parts = np.split(values, len(_GATES))
    return np.concatenate([parts[gate] for gate in _GATES])


def _of_gates(value: Tensor) -> Weight:
    weight = weight_of(value)
    if weight.axis is None:
        return Weight(_ordered(weight.values), weight.scale, weight.zero_point)
    return Weight(_ordered(weight.values), _ordered(weight.scale), _ordered(weight.zero_point), weight.axis)
