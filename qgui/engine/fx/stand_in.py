"""A float module that stands in for an int8 model where it is traced for another runtime."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from qgui.engine.fx import int8_layers, plain
from qgui.engine.fx.marks import Mark, Marks


def stand_in(model: nn.Module, names: Mapping[str, str], backend: str) -> tuple[nn.Module, Marks]:
    """Return a module to trace, and its marks.

    Args:
        model: An int8 model, or a float one.
        names: Node to the name that its operation has in the written graph.
        backend: The engine that runs the int8 model.
    """
    marks = Marks()
    if isinstance(model, fx.GraphModule):
        return _Graph(model, names, backend, marks), marks
    return _Whole(_without_int8(model, "", backend, marks), marks), marks


class _Whole(nn.Module):
    """A model that torch.fx does not trace."""

    def __init__(self, model: nn.Module, marks: Marks) -> None:
        super().__init__()
        self.model = model
        self._marks = marks

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return what the model returns."""
        self._marks.begin()
        return self.model(*inputs, **named)


class _StandIn(nn.Module):
    """An int8 layer inside a module that torch.fx does not trace."""

    def __init__(self, put: Any, marks: Marks) -> None:
        super().__init__()
        self._put = put
        self._marks = marks

    def forward(self, *inputs: Any) -> Any:
        """Return what the int8 layer returns."""
        return self._put(self._marks, *inputs)


class _Graph(nn.Module):
    """Runs the nodes of a graph one after another, with int8 tensors as the floats that they stand for."""

    def __init__(self, graph: fx.GraphModule, names: Mapping[str, str], backend: str, marks: Marks) -> None:
        super().__init__()
        self.model = nn.Module()
        # In a list: PyTorch's exporter cannot read the state of int8 modules.
        self._graph = [graph]
        self._names = names
        self._marks = marks
        self._layers: dict[str, Any] = {}
        for node in graph.graph.nodes:
            module = plain.called(node, graph)
            path = str(node.target)
            if module is not None and int8_layers.is_int8(module):
                source, output = int8_layers.scale_of(node.args[0], graph), int8_layers.scale_of(node, graph)
                put = int8_layers.stands_in(module, self._name(node), source, output, backend)
                if put is not None:
                    self._layers[path] = put
                else:
                    _place(self.model, path, int8_layers.in_float(module))
            elif module is not None:
                _place(self.model, path, _without_int8(module, path, backend, marks))
            elif node.op == "get_attr":
                value = plain.value_at(graph, path)
                if isinstance(value, torch.Tensor) and not value.is_quantized:
                    _place(self.model, path, value.detach())

    def _name(self, node: Any) -> str:
        if node.target is torch.quantize_per_tensor:
            return f"{self._name(node.args[0])}/int8"
        return self._names.get(node.name, node.name)

    def forward(self, *inputs: Any) -> Any:
        """Return the float outputs in the form in which the graph returns them."""
        self._marks.begin()
        graph = self._graph[0]
        values: dict[fx.Node, Any] = {}
        given = iter(inputs)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                values[node] = next(given, node.args[0] if node.args else None)
            elif node.op == "output":
                return fx.node.map_arg(node.args[0], values.__getitem__)
            elif node.op == "get_attr":
                values[node] = plain.value_at(self.model, str(node.target))
            else:
                values[node] = self._computed(node, graph, values)
        raise AssertionError("a graph ends with its output")

    def _computed(self, node: fx.Node, graph: fx.GraphModule, values: Mapping[fx.Node, Any]) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "call_module" and str(node.target) in self._layers:
            return self._layers[str(node.target)](self._marks, *args, **kwargs)
        if node.op == "call_module":
            result = self.model.get_submodule(str(node.target))(*args, **kwargs)
        elif node.target == "dequantize":
            return args[0]
        elif node.target is torch.quantize_per_tensor:
            result = args[0]
        elif node.op == "call_method":
            result = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            result = int8_layers.function_in_float(node)(*args, **kwargs)
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return result
        mark = Mark(self._name(node), output=int8_layers.scale_of(node, graph))
        return self._marks.put(mark, lambda value: value, result)


def _place(holder: nn.Module, path: str, value: nn.Module | torch.Tensor) -> None:
    *parents, last = path.split(".")
    for part in parents:
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
    if isinstance(value, nn.Module):
        holder.add_module(last, value)
    else:
        holder.register_buffer(last, value)


def _without_int8(module: nn.Module, path: str, backend: str, marks: Marks) -> nn.Module:
    """Return a copy of a module in which every int8 layer inside puts its mark."""
    fresh = copy.deepcopy(module)
    for name, inner in list(fresh.named_modules()):
        if name and int8_layers.is_int8(inner):
            put = int8_layers.stands_in(inner, f"{path}.{name}" if path else name, None, None, backend)
            if put is not None:
                fresh.set_submodule(name, _StandIn(put, marks))
    return fresh
