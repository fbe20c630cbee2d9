"""The rows of the layer table and the tensors that quantization may observe, read off the traced graphs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import fx, nn

from qgui.core import legality
from qgui.core.language import say
from qgui.core.layers import Layer, Shape, Tensor
from qgui.engine.fx import links, plain
from qgui.engine.fx.inside import inside_rows
from qgui.engine.fx.macs import macs_of

_HERE = Path(__file__).resolve().parents[2]
#: Functions that make no activation of their own.
_HIDDEN = plain.MOVES | frozenset(
    {
        "getattr",
        "size",
        "dim",
        "numel",
        "shape",
        "eq",
        "ne",
        "lt",
        "gt",
        "le",
        "ge",
        "floordiv",
        "to",
        "float",
        "type_as",
    }
    | {"arange", "zeros", "ones", "full", "_assert", "int", "len", "range", "finfo", "is_tensor", "stride", "detach"}
)
#: Moves on which torch.ao puts the observer of their input again.
_OBSERVED_MOVES = frozenset(
    {"flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "repeat", "narrow"}
)
_CLAMP_BOUNDS: dict[str, tuple[float | None, float | None]] = {"ReLU": (0.0, None), "ReLU6": (0.0, 6.0)}
_FIXED_QPARAMS = {
    "Sigmoid": (1.0 / 256.0, 0),
    "Hardsigmoid": (1.0 / 256.0, 0),
    "Softmax": (1.0 / 256.0, 0),
    "Tanh": (2.0 / 256.0, 128),
}
_JOINS = frozenset({"cat", "stack"})


@dataclass
class Graphs:
    """A model as torch.fx sees it.

    Attributes:
        canonical: The canonical graph.
        fused: The same with Conv+BN+ReLU and the like fused, in float.
        leaves: Path of every module that does not trace, and why.
        values: Node name to shape, of float tensors in the canonical graph, for a sample; empty without one.
    """

    canonical: fx.GraphModule
    fused: fx.GraphModule
    leaves: Mapping[str, str]
    values: Mapping[str, Shape] = field(default_factory=dict)


class _Shapes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        found = value[0] if isinstance(value, tuple) and n.op == "call_module" and value else value
        if isinstance(found, torch.Tensor) and found.is_floating_point():
            self.shapes[n.name] = tuple(found.shape)
        return value


def shapes_of(module: fx.GraphModule, inputs: tuple[Any, ...]) -> dict[str, Shape]:
    """Return the shape of every float tensor in a graph for positional inputs."""
    interpreter = _Shapes(module)
    with torch.no_grad():
        interpreter.run(*inputs)
    return interpreter.shapes


def type_of(node: fx.Node, module: fx.GraphModule) -> str:
    """Return the type that the layer table shows for a node."""
    target = plain.called(node, module)
    if target is not None:
        return type(target).__name__
    if node.op == "placeholder":
        return "Input"
    name = plain.name_of(node)
    tensors = sum(isinstance(argument, fx.Node) for argument in node.args[:2])
    return f"{name}_scalar" if name in ("add", "mul") and tensors < 2 else name


class Rows:
    """Builds the layers and tensors of a traced model.

    Args:
        model: The model itself, for what lies inside leaves.
        graphs: What torch.fx made of it.
    """

    def __init__(self, model: nn.Module, graphs: Graphs) -> None:
        self._model = model
        self._graphs = graphs
        self._fused_nodes = {node.name: node for node in graphs.fused.graph.nodes}
        self._nodes = {node.name: node for node in graphs.canonical.graph.nodes}
        self._head_of = self._find_heads()
        self._names = self._find_names()

    def layers(self) -> tuple[Layer, ...]:
        """Return the rows of the layer table in execution order."""
        calls: dict[str, int] = {}
        for node in self._nodes.values():
            if node.op == "call_module":
                calls[str(node.target)] = calls.get(str(node.target), 0) + 1
        members: dict[str, list[str]] = {}
        for name, head in self._head_of.items():
            members.setdefault(head, []).append(name)
        rows: list[Layer] = []
        seen: set[str] = set()
        for name, layer in self._names.items():
            node = self._nodes[name]
            if layer in seen:
                continue
            seen.add(layer)
            rows.append(self._row(node, layer, members, calls))
            if rows[-1].leaf_reason:
                rows.extend(inside_rows(plain.called(node, self._graphs.canonical), layer))
        return self._with_links(self._with_readers(tuple(rows)))

    def _with_readers(self, rows: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """Tell every layer by how many groups the depthwise convolutions behind it are divided."""
        tensors = {tensor.name: tensor for tensor in self.tensors()}
        feeds: dict[str, int] = {}
        for node in self._fused_nodes.values():
            module: Any = plain.called(node, self._graphs.fused)
            module = module[0] if isinstance(module, nn.Sequential) else module
            depthwise = (
                isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and module.groups == module.in_channels > 1
            )
            source = node.args[0] if node.args else None
            if depthwise and isinstance(source, fx.Node) and source.name in tensors:
                layer = tensors[tensors[source.name].owner].layer
                feeds[layer] = max(feeds.get(layer, 0), int(module.groups))
        return tuple(msgspec.structs.replace(row, feeds_depthwise=feeds.get(row.name, 0)) for row in rows)

    def _with_links(self, rows: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """Tell every layer with which neighbours it can be equalized, or why with none."""
        found, reasons = links.find(self._graphs.canonical, self._graphs.fused, self._graphs.values)
        pairs: dict[str, list[tuple[str, str]]] = {}
        for link in found:
            for node in (link.first, link.second):
                pairs.setdefault(node, []).append((self._names[link.first], self._names[link.second]))
        return tuple(
            msgspec.structs.replace(
                row,
                equalizable=tuple(pairs.get(row.node, ())),
                alone="" if row.node in pairs else reasons.get(row.node, ""),
            )
            if row.head and row.node
            else row
            for row in rows
        )

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the tensors of the fused graph that may be observed, with their shared ranges."""
        return _Sharing(self._graphs, self._layer_of_tensor()).tensors()

    def _find_heads(self) -> dict[str, str]:
        heads: dict[str, str] = {}
        module = self._graphs.canonical
        for node in self._nodes.values():
            if node.op == "call_module" and node.name not in self._fused_nodes:
                source = node.args[0]
                heads[node.name] = heads.get(source.name, source.name)
            elif type_of(node, module) == "ReLU" and isinstance(node.args[0], fx.Node):
                source = node.args[0]
                # torch.ao fuses ReLU with additions and products of scalars too, which have no int8 kernel.
                arithmetic = type_of(source, module).removesuffix("_scalar") in ("add", "mul")
                if arithmetic and len(source.users) == 1:
                    heads[node.name] = source.name
        return heads | {head: head for head in heads.values()}

    def _find_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        taken: set[str] = set()
        for node in self._nodes.values():
            if not self._is_layer(node):
                continue
            if node.op == "call_module":
                names[node.name] = str(node.target)
                continue
            scope = node.meta.get("scope", "")
            base = f"{scope}.{plain.name_of(node)}" if scope and node.op != "placeholder" else ""
            base = base or (str(node.target) if node.op == "placeholder" else plain.name_of(node))
            name, count = base, 1
            while name in taken:
                name, count = f"{base}_{count}", count + 1
            taken.add(name)
            names[node.name] = name
        return names

    def _is_layer(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return True
        known = not self._graphs.values or node.name in self._graphs.values
        if node.op == "placeholder":
            return known
        return node.op in ("call_function", "call_method") and plain.name_of(node) not in _HIDDEN and known

    def _row(self, node: fx.Node, layer: str, members: dict[str, list[str]], calls: dict[str, int]) -> Layer:
        module = self._graphs.canonical
        target: Any = plain.called(node, module)
        shapes = self._graphs.values
        weight = getattr(target, "weight", None)
        if isinstance(target, (nn.LSTM, nn.GRU)):
            weight = target.weight_ih_l0
        elif isinstance(target, (nn.LSTMCell, nn.GRUCell, nn.RNNCell)):
            weight = target.weight_ih
        weight_shape = tuple(weight.shape) if isinstance(weight, torch.Tensor) and weight.dim() > 1 else None
        sources = [argument for argument in node.args if isinstance(argument, fx.Node)]
        head = self._head_of.get(node.name, "")
        group = self._names.get(head, "") if head else ""
        together = members.get(head, [])
        ordered = [name for name in self._nodes if name in together]
        fusion = " + ".join(type_of(self._nodes[name], module) for name in ordered) if head else ""
        if getattr(target, "proj_size", 0):
            fusion = "proj_size"
        window = _window_of(target)
        kind = "input" if node.op == "placeholder" else "module" if target is not None else "function"
        return Layer(
            name=layer,
            type=type_of(node, module),
            kind=kind,  # type: ignore[arg-type]
            node=node.name,
            tensor=self._tensor_of(node, ordered),
            parameters=sum(p.numel() for p in target.parameters()) if target is not None else 0,
            weight_shape=weight_shape,
            input_shape=shapes.get(sources[0].name) if sources else None,
            output_shape=shapes.get(node.name),
            macs=macs_of(node, target, shapes),
            group=group,
            fusion=fusion,
            convolution_groups=int(getattr(target, "groups", 1)) if weight_shape and target is not None else 1,
            stride=window[0],
            padding=window[1],
            dilation=window[2],
            calls=calls.get(str(node.target), 1) if target is not None else 1,
            leaf_reason=self._leaf_reason(node, target),
        )

    def _tensor_of(self, node: fx.Node, ordered: list[str]) -> str:
        """Return the fused node that holds a layer's output; of Add+ReLU that of the ReLU; none for other members."""
        if ordered and ordered[0] != node.name:
            return ""
        if ordered and ordered[-1] in self._fused_nodes:
            return ordered[-1]
        known = not self._graphs.values or node.name in self._graphs.values
        return node.name if node.name in self._fused_nodes and known else ""

    def _leaf_reason(self, node: fx.Node, target: nn.Module | None) -> str:
        if target is None:
            return ""
        reason = self._graphs.leaves.get(str(node.target), "")
        if reason or not list(target.children()):
            return reason
        return say("torch.fx keeps {kind} of torch.nn whole", kind=type(target).__name__)

    def _layer_of_tensor(self) -> dict[str, str]:
        """Return for every fused node the layer to which its tensor belongs: for moves that of their source."""
        layers: dict[str, str] = {}
        for name, node in self._fused_nodes.items():
            own = self._names.get(self._head_of.get(name, name))
            sources = [a for a in node.args if isinstance(a, fx.Node)]
            if own is not None:
                layers[name] = own
            elif sources and sources[0].name in layers:
                layers[name] = layers[sources[0].name]
            else:
                readers = [self._names[u.name] for u in node.users if u.name in self._names]
                layers[name] = readers[0] if readers else ""
        return layers


def _window_of(target: nn.Module | None) -> tuple[Shape, Shape, Shape]:
    """Return stride, padding and dilation of a convolution; nothing for other modules."""
    if not isinstance(target, nn.modules.conv._ConvNd):
        return (), (), ()
    padding = target.padding
    if isinstance(padding, str):
        reach = [d * (k - 1) // 2 for d, k in zip(target.dilation, target.kernel_size, strict=True)]
        padding = tuple(reach) if padding == "same" else (0,) * len(reach)
    return tuple(target.stride), tuple(padding), tuple(target.dilation)


class _Sharing:
    """Finds which tensors share one range, and from whose statistics it comes."""

    def __init__(self, graphs: Graphs, layers: Mapping[str, str]) -> None:
        self._module = graphs.fused
        self._nodes = {node.name: node for node in graphs.fused.graph.nodes}
        self._layers = layers
        self._shapes = graphs.values
        self._parent: dict[str, str] = {}

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors with owner, sources and clamp."""
        order = [name for name, node in self._nodes.items() if self._holds_tensor(node)]
        for name in order:
            self._parent[name] = name
        for name in order:
            self._join(self._nodes[name])
        groups: dict[str, list[str]] = {}
        for name in order:
            groups.setdefault(self._find(name), []).append(name)
        found: dict[str, Tensor] = {}
        for group in groups.values():
            owner = self._owner(group)
            sources = tuple(name for name in group if self._counts(name))
            for name in group:
                bounds, readers = self._clamp(name)
                found[name] = Tensor(
                    name=name,
                    layer=self._layers.get(name, ""),
                    shape=self._shapes.get(name, ()),
                    owner=owner,
                    sources=sources if name == owner else (),
                    clamp=bounds,
                    clamp_readers=readers,
                    fixed=_FIXED_QPARAMS.get(self._type(name)) if name == owner else None,
                )
        return tuple(found[name] for name in order)

    def _type(self, name: str) -> str:
        return type_of(self._nodes[name], self._module)

    def _holds_tensor(self, node: fx.Node) -> bool:
        if node.op == "output":
            return False
        if plain.name_of(node) in plain.TUPLE_MOVES:
            return True
        if self._shapes:
            return node.name in self._shapes or (node.op == "get_attr" and self._is_float_attribute(node))
        return node.op == "get_attr" or plain.name_of(node) not in _HIDDEN - plain.MOVES

    def _is_float_attribute(self, node: fx.Node) -> bool:
        value = plain.value_at(self._module, str(node.target))
        return isinstance(value, torch.Tensor) and value.is_floating_point()

    def _find(self, name: str) -> str:
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def _join(self, node: fx.Node) -> None:
        kind = type_of(node, self._module)
        if kind in _JOINS:
            sources = list(node.args[0]) if isinstance(node.args[0], (list, tuple)) else []
        elif kind in legality.PASS_THROUGH | legality.CLAMPS | plain.MOVES:
            sources = [node.args[0]]
        else:
            return
        for source in sources:
            if isinstance(source, fx.Node) and source.name in self._parent:
                first, second = self._find(source.name), self._find(node.name)
                self._parent[second] = first

    def _owner(self, group: list[str]) -> str:
        for name in group:
            if self._type(name) in _JOINS:
                return name
        return group[0]

    def _clamp(self, name: str) -> tuple[tuple[float | None, float | None] | None, tuple[str, ...]]:
        """Return the bounds to which all readers of a tensor limit it, and their layer names."""
        users = list(self._nodes[name].users)
        bounds: list[tuple[float | None, float | None]] = []
        for user in users:
            target = plain.called(user, self._module)
            if isinstance(target, nn.Hardtanh) and not isinstance(target, nn.ReLU6):
                bounds.append((float(target.min_val), float(target.max_val)))
            elif type(target).__name__ in _CLAMP_BOUNDS:
                bounds.append(_CLAMP_BOUNDS[type(target).__name__])
            elif plain.name_of(user) == "clamp" and plain.clamp_bounds(user) != (None, None):
                bounds.append(plain.clamp_bounds(user))
            else:
                return None, ()
        if not bounds:
            return None, ()
        lows = [low for low, _ in bounds if low is not None]
        highs = [high for _, high in bounds if high is not None]
        low = min(lows) if len(lows) == len(bounds) else None
        high = max(highs) if len(highs) == len(bounds) else None
        return (low, high), tuple(self._layers.get(user.name, user.name) for user in users)

    def _counts(self, name: str) -> bool:
        """Whether a tensor's own values decide the range of its group."""
        kind = self._type(name)
        if kind in plain.MOVES - _OBSERVED_MOVES:
            return False
        return self._clamp(name)[0] is None


def reason_of(kind: str, error: Exception) -> str:
    """Return in one line why a module does not trace, with the place in the model's code where it broke."""
    place = ""
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename.replace("\\", "/")
        own = "/torch/" not in file and not file.endswith("typing_extensions.py") and _HERE not in Path(file).parents
        if own and not file.startswith("<"):
            place = say("{rsplit}, line {tb_lineno}", rsplit=file.rsplit("/", 1)[-1], tb_lineno=step.tb_lineno)
        step = step.tb_next
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "co_varnames is too small" in text:
        text = say("its forward is wrapped by a decorator, which torch.fx cannot look through")
    return f"{kind}: {text}" + (say(", at {place}", place=place) if place else "")


def graphs_of(model: nn.Module, given: Collection[str] | None, inputs: tuple[Any, ...] | None) -> Graphs:
    """Trace a model.

    Args:
        model: The model.
        given: Names of the forward parameters that the data gives; None where there is no data yet.
        inputs: Positional inputs for shapes, in the order of `given`; None where there is no data yet.

    Raises:
        plain.Untraceable: The root's own forward breaks.
    """
    model.eval()
    leaves = {path: reason_of(*why) for path, why in plain.find_leaves(model, given).items()}
    with plain.quiet():
        canonical = plain.canonical(model, leaves, given)
        fused = plain.fused(canonical, leaves)
    values = shapes_of(canonical, inputs) if inputs is not None else {}
    return Graphs(canonical, fused, leaves, values)
