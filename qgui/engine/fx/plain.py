"""Trace a model into its canonical graph and lower that graph to int8 with given scales.

This file needs nothing but torch: QGUI runs it, and every exported script holds a copy of it, so that both do the same.

The canonical graph computes what the model computes in evaluation mode, written so that PyTorch's FX quantization can
treat it well: convolutions and linear layers written as functions become modules, symmetric zero padding moves into
the convolution that reads it, activation functions become modules of their own, dropout is left out.
"""

from __future__ import annotations

import copy
import inspect
import operator
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization import (
    FixedQParamsFakeQuantize,
    FixedQParamsObserver,
    MinMaxObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QConfig,
    QConfigMapping,
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
    quantize_dynamic,
)
from torch.ao.quantization.fx import utils as fx_utils
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
from torch.ao.quantization.observer import ObserverBase
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

#: Operations that only move elements: they work on int8 tensors and keep scale and zero point.
MOVES = frozenset(
    {"view", "reshape", "flatten", "permute", "transpose", "contiguous", "squeeze", "unsqueeze", "getitem", "chunk"}
    | {"split", "unbind", "expand", "narrow", "repeat", "pad", "unflatten", "swapaxes", "movedim", "t", "detach"}
)
TUPLE_MOVES = frozenset({"chunk", "split", "unbind"})
FIXED_MODULES = (nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, nn.Tanh)
RECURRENT_MODULES = (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell)
_ZERO_PADS = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)

#: Modules and functions that give int8 for int8 and keep scale and zero point.
_SAME_SCALE_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.PixelShuffle, nn.PixelUnshuffle, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
_SAME_SCALE_FUNCTIONS = frozenset(
    {"cat", "stack", "mean", "interpolate", "clamp", "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d"}
    | {"avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"}
    | {"pixel_shuffle", "pixel_unshuffle", "repeat_interleave", "int8_mean"}
)
#: Scale and zero point of what these modules give for int8.
_PRESCRIBED = {nn.Sigmoid: (1.0 / 256.0, 0), nn.Hardsigmoid: (1.0 / 256.0, 0), nn.Tanh: (2.0 / 256.0, 128)}

Decisions = dict[str, Any]


class Untraceable(Exception):
    """The root module itself cannot be traced."""


# --- Tracing -----------------------------------------------------------------------------------------------------


class LeafTracer(fx.Tracer):
    """Traces with given modules as leaves and remembers the innermost module whose forward broke."""

    def __init__(self, leaves: Collection[str] = ()) -> None:
        super().__init__()
        self.leaves = frozenset(leaves)
        self.broken: tuple[str, type[nn.Module], Exception] | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module stays one call: what torch.nn brings, and the given leaves."""
        if module_qualified_name in self.leaves:
            return True
        native = m.__module__.startswith(("torch.nn", "torch.ao.nn"))
        return native and not isinstance(m, (nn.Sequential, nn.ModuleList, nn.ModuleDict))

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Trace a module and note where an exception comes from."""
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception as error:
            if self.broken is None:
                self.broken = (self.path_of_module(m), type(m), error)
            raise


def _constants(model: nn.Module, given: Collection[str] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    parameters = inspect.signature(model.forward).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in given and parameter.default is not inspect.Parameter.empty
    } or None


def trace(model: nn.Module, leaves: Collection[str] = (), given: Collection[str] | None = None) -> fx.GraphModule:
    """Return the traced graph module; parameters of forward that are not `given` keep their defaults."""
    tracer = LeafTracer(leaves)
    constants = _constants(model, given)
    graph = tracer.trace(model, concrete_args=constants)
    for node in reversed(list(graph.nodes)):
        checks = node.op == "call_function" and node.target.__name__ in ("_assert_is_none", "_assert", "eq")
        variadic = node.op == "placeholder" and str(node.target).startswith("*")
        unused_input = node.op == "placeholder" and (variadic or node.target in (constants or {}))
        if not node.users and ((checks and constants) or unused_input):
            graph.erase_node(node)
    return fx.GraphModule(tracer.root, graph)


def find_leaves(
    model: nn.Module, given: Collection[str] | None = None, limit: int = 200
) -> dict[str, tuple[str, Exception]]:
    """Return the smallest modules that cannot be traced: path to class name and what went wrong.

    Raises:
        Untraceable: The root's own forward breaks.
    """
    leaves: dict[str, tuple[str, Exception]] = {}
    for _ in range(limit):
        tracer = LeafTracer(leaves)
        try:
            tracer.trace(model, concrete_args=_constants(model, given))
        except Exception as error:
            if tracer.broken is None:
                raise Untraceable(str(error)) from error
            path, kind, cause = tracer.broken
            alike = [name for name, module in model.named_modules() if type(module) is kind]
            leaves.update(dict.fromkeys((*alike, path), (kind.__name__, cause)))
        else:
            return leaves
    raise Untraceable("too many of its modules cannot be traced")


# --- The canonical graph -----------------------------------------------------------------------------------------


def canonical(model: nn.Module, leaves: Collection[str] = (), given: Collection[str] | None = None) -> fx.GraphModule:
    """Return the canonical graph module of a model in evaluation mode; the model itself is left as it is."""
    traced = trace(copy.deepcopy(model).eval(), leaves, given)
    for rewrite in (
        _drop_identities,
        _functions_of_methods,
        _modules_of_functions,
        _merge_padding,
        _modules_of_activations,
        _unshare_modules,
    ):
        rewrite(traced)
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()
    again = fx.GraphModule(traced, LeafTracer(leaves).trace(traced)).eval()
    before, after = list(traced.graph.nodes), list(again.graph.nodes)
    if len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            new.meta["scope"] = _scope_of(old)
    return again


def called(node: fx.Node, module: nn.Module) -> nn.Module | None:
    """Return the module that a node calls, or None."""
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def name_of(node: fx.Node) -> str:
    """Return the bare name of the function or method that a node calls, or an empty string."""
    if node.op == "call_method":
        return str(node.target).rstrip("_")
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", "")).rstrip("_")
    return ""


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """Return an argument of a node by position or name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _swap(node: fx.Node, fresh: fx.Node) -> fx.Node:
    node.replace_all_uses_with(fresh)
    node.graph.erase_node(node)
    return fresh


def _call_function(node: fx.Node, target: Callable[..., Any], args: Any, kwargs: Any) -> fx.Node:
    with node.graph.inserting_before(node):
        fresh = node.graph.call_function(target, tuple(args), dict(kwargs))
    fresh.meta.update(node.meta)
    return _swap(node, fresh)


def _call_module(module: nn.Module, node: fx.Node, path: str, fresh: nn.Module, source: Any) -> fx.Node:
    holder = module
    *parents, last = path.split(".")
    for part in parents:
        if not isinstance(getattr(holder, part, None), nn.Module):
            setattr(holder, part, nn.Module())
        holder = getattr(holder, part)
    setattr(holder, last, fresh.eval())
    with node.graph.inserting_before(node):
        call = node.graph.call_module(path, (source,))
    call.meta.update(node.meta)
    return _swap(node, call)


def _free_path(module: nn.Module, path: str) -> str:
    taken = {name for name, _ in module.named_modules()}
    taken |= {name for name, _ in module.named_parameters()} | {name for name, _ in module.named_buffers()}
    candidate, count = path, 1
    while candidate in taken or not candidate:
        candidate, count = f"{path}_{count}", count + 1
    return candidate


def value_at(module: nn.Module, path: str) -> Any:
    """Return the parameter or buffer at a path."""
    return operator.attrgetter(path)(module)


def _drop_identities(module: fx.GraphModule) -> None:
    """Leave out what does nothing in evaluation mode."""
    for node in list(module.graph.nodes):
        idle = isinstance(called(node, module), (nn.Identity, *_DROPOUTS))
        if name_of(node) in ("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"):
            idle = argument(node, 2, "training", True) is False
        elif name_of(node) == "stochastic_depth":
            idle = argument(node, 3, "training", True) is False
        if idle and node.args and isinstance(node.args[0], fx.Node):
            _swap(node, node.args[0])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "iadd": operator.add,
    "mul": operator.mul,
    "imul": operator.mul,
    "matmul": torch.matmul,
    "bmm": torch.matmul,
    "mean": torch.mean,
    "flatten": torch.flatten,
    "concat": torch.cat,
    "concatenate": torch.cat,
    "softmax": F.softmax,
    "clamp": torch.clamp,
    "clip": torch.clamp,
}


def _views_as_dtype(node: fx.Node) -> bool:
    return any(isinstance(value, torch.dtype) for value in (*node.args[1:], *node.kwargs.values()))


def _functions_of_methods(module: fx.GraphModule) -> None:
    """Write methods, synonyms and some modules as the functions that PyTorch's backend configuration knows."""
    for node in list(module.graph.nodes):
        target = called(node, module)
        if isinstance(target, nn.Flatten):
            _call_function(node, torch.flatten, (node.args[0], target.start_dim, target.end_dim), {})
        elif isinstance(target, _ZERO_PADS) and getattr(target, "value", 0.0) == 0.0:
            _call_function(node, F.pad, (node.args[0], list(target.padding)), {})
        elif name_of(node) == "clamp_min":
            _call_function(node, torch.clamp, (node.args[0], argument(node, 1, "min")), {})
        elif name_of(node) == "clamp_max":
            _call_function(node, torch.clamp, (node.args[0], None, argument(node, 1, "max")), {})
        elif node.op == "call_method" and node.target == "view" and not _views_as_dtype(node):
            # What int8 convolutions give lies channels last, which a view may not flatten.
            node.target = "reshape"
        wanted = _FUNCTIONS.get(name_of(node))
        if wanted is None or node.target is wanted or node.kwargs.keys() & {"alpha", "out", "dtype", "_stacklevel"}:
            continue
        if wanted in (operator.add, operator.mul) and (node.kwargs or len(node.args) != 2):
            continue
        _call_function(node, wanted, node.args, node.kwargs)


_CONVOLUTIONS: dict[Any, type[nn.Module]] = {
    torch.conv1d: nn.Conv1d,
    torch.conv2d: nn.Conv2d,
    torch.conv3d: nn.Conv3d,
    F.conv1d: nn.Conv1d,
    F.conv2d: nn.Conv2d,
    F.conv3d: nn.Conv3d,
}


def _wide(value: Any, dimensions: int) -> Any:
    if isinstance(value, str):
        return value
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * dimensions


def _module_of_function(node: fx.Node, weight: nn.Parameter, bias: nn.Parameter | None) -> nn.Module | None:
    if node.target is F.linear:
        fresh: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    else:
        names = ("stride", "padding", "dilation", "groups")
        stride, padding, dilation, groups = (
            argument(node, 3 + i, name, 0 if name == "padding" else 1) for i, name in enumerate(names)
        )
        if any(isinstance(value, fx.Node) for value in (stride, padding, dilation, groups)):
            return None
        dimensions = weight.dim() - 2
        fresh = _CONVOLUTIONS[node.target](
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=_wide(stride, dimensions),
            padding=_wide(padding, dimensions),
            dilation=_wide(dilation, dimensions),
            groups=groups,
            bias=bias is not None,
            device="meta",
        )
    fresh.register_parameter("weight", weight)
    fresh.register_parameter("bias", bias)
    return fresh


def _modules_of_functions(module: fx.GraphModule) -> None:
    """Turn convolutions and linear layers written as functions of parameters into modules, at the same path."""
    for node in list(module.graph.nodes):
        if node.op != "call_function" or not (node.target in _CONVOLUTIONS or node.target is F.linear):
            continue
        weight, bias = argument(node, 1, "weight"), argument(node, 2, "bias")
        stored = [a for a in (weight, bias) if isinstance(a, fx.Node) and a.op == "get_attr"]
        if weight not in stored or (bias is not None and bias not in stored):
            continue
        values = [value_at(module, str(a.target)) for a in stored]
        if not all(isinstance(value, nn.Parameter) for value in values):
            continue
        fresh = _module_of_function(node, values[0], values[1] if bias is not None else None)
        if fresh is None:
            continue
        path, _, last = str(weight.target).rpartition(".")
        inner = any(n.op == "call_module" and str(n.target).startswith(f"{path}.") for n in module.graph.nodes)
        replaceable = path and last == "weight" and not inner
        target = path if replaceable else _free_path(module, f"{weight.target}_{name_of(node)}")
        _call_module(module, node, target, fresh, argument(node, 0, "input"))
    module.graph.eliminate_dead_code()


def _merge_padding(module: fx.GraphModule) -> None:
    """Move symmetric zero padding into the convolution that alone reads it; int8 kernels are fastest so."""
    for node in list(module.graph.nodes):
        if name_of(node) != "pad" or argument(node, 2, "mode", "constant") != "constant":
            continue
        padding = argument(node, 1, "pad")
        readers = [called(user, module) for user in node.users]
        whole = isinstance(padding, (list, tuple)) and all(isinstance(p, int) and p >= 0 for p in padding)
        if argument(node, 3, "value", 0.0) not in (0, 0.0, None) or len(readers) != 1 or not whole:
            continue
        convolution = readers[0]
        if not isinstance(convolution, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            continue
        pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)][::-1]
        called_once = sum(
            n.op == "call_module" and n.target == next(iter(node.users)).target for n in module.graph.nodes
        )
        fits = len(pairs) == len(convolution.kernel_size) and all(before == after for before, after in pairs)
        plain = not isinstance(convolution.padding, str) and not any(convolution.padding)
        if not (fits and plain and called_once == 1 and convolution.padding_mode == "zeros"):
            continue
        convolution.padding = tuple(before for before, _ in pairs)
        convolution._reversed_padding_repeated_twice = [p for pair in reversed(pairs) for p in pair]
        _swap(node, node.args[0])


def _activation_module(node: fx.Node) -> nn.Module | None:
    """Return the module that does what an activation function with constant parameters does."""
    name = name_of(node)
    simple: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "hardsigmoid": nn.Hardsigmoid,
        "hardswish": nn.Hardswish,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
    }
    if any(isinstance(a, fx.Node) for a in (*node.args[1:], *node.kwargs.values())):
        return None
    if name == "gelu":
        return nn.GELU(approximate=argument(node, 1, "approximate", "none"))
    if name in simple:
        return simple[name]()
    if name == "leaky_relu":
        return nn.LeakyReLU(argument(node, 1, "negative_slope", 0.01))
    if name == "elu":
        return nn.ELU(argument(node, 1, "alpha", 1.0))
    if name == "hardtanh":
        return nn.Hardtanh(argument(node, 1, "min_val", -1.0), argument(node, 2, "max_val", 1.0))
    if name == "softmax" and argument(node, 1, "dim") is not None and argument(node, 3, "dtype") is None:
        return nn.Softmax(argument(node, 1, "dim"))
    if name == "clamp":
        low, high = clamp_bounds(node)
        if low == 0.0 and high is None:
            return nn.ReLU()
        return nn.Hardtanh(float(low), float(high)) if low is not None and high is not None and low < high else None
    return None


def clamp_bounds(node: fx.Node) -> tuple[float | None, float | None]:
    """Return the bounds of a call of `torch.clamp` with numbers; `(None, None)` where a tensor is among them."""
    low, high = argument(node, 1, "min"), argument(node, 2, "max")
    if isinstance(low, fx.Node) or isinstance(high, fx.Node):
        return None, None
    return (None if low is None else float(low)), (None if high is None else float(high))


def _modules_of_activations(module: fx.GraphModule) -> None:
    """Turn activation functions into modules, so that each can be named, fused and given a mode."""
    for node in list(module.graph.nodes):
        if node.op not in ("call_function", "call_method") or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        fresh = _activation_module(node)
        if fresh is not None:
            scope = _scope_of(node)
            path = f"{scope}.{name_of(node)}" if scope else name_of(node)
            _call_module(module, node, _free_path(module, path), fresh, node.args[0])
    for node in module.graph.nodes:
        target = called(node, module)
        if (
            isinstance(target, nn.Hardtanh)
            and type(target) is nn.Hardtanh
            and (target.min_val, target.max_val) == (0.0, 6.0)
        ):
            module.set_submodule(str(node.target), nn.ReLU6().eval())


def _scope_of(node: fx.Node) -> str:
    """Return the path of the module in whose forward a node was traced."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _unshare_modules(module: fx.GraphModule) -> None:
    """Give every call of a module without state (ReLU, pooling) a module of its own."""
    seen: set[str] = set()
    for node in module.graph.nodes:
        target = called(node, module)
        if target is None:
            continue
        path = str(node.target)
        if path in seen and not list(target.parameters()) and not list(target.buffers()):
            path = _free_path(module, path)
            holder, _, last = path.rpartition(".")
            setattr(module.get_submodule(holder), last, copy.deepcopy(target))
            node.target = path
        seen.add(path)


# --- Lowering ----------------------------------------------------------------------------------------------------


class Preset(ObserverBase):
    """An observer that does not observe: it returns scale and zero point that were chosen before."""

    def __init__(
        self,
        scale: Any = 1.0,
        zero_point: Any = 0,
        dtype: torch.dtype = torch.quint8,
        qscheme: torch.qscheme = torch.per_tensor_affine,
        quant_min: int = 0,
        quant_max: int = 255,
        ch_axis: int = 0,
    ) -> None:
        super().__init__(dtype=dtype, is_dynamic=False)
        whole = torch.float32 if qscheme is torch.per_channel_affine_float_qparams else torch.int64
        self.scale = torch.as_tensor(scale, dtype=torch.float32).reshape(-1)
        self.zero_point = torch.as_tensor(zero_point, dtype=whole).reshape(-1)
        self.qscheme = qscheme
        self.quant_min, self.quant_max, self.ch_axis = quant_min, quant_max, ch_axis
        self.set = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor as it is."""
        return x

    def calculate_qparams(self, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the chosen scale and zero point."""
        return self.scale, self.zero_point


@contextmanager
def engine(backend: str) -> Iterator[None]:
    """Select a quantized engine, as conversion and running both need, and restore the one before."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = backend
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def weight_observer(weight: dict[str, Any] | None) -> Any:
    """Return the observer constructor for a decided weight; without numbers, one that takes the full range."""
    if weight is None:
        return MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    qscheme = getattr(torch, weight["qscheme"])
    dtype = getattr(torch, weight["dtype"])
    if dtype is torch.float16:
        return PlaceholderObserver.with_args(dtype=torch.float16)
    if "scale" not in weight:
        kind = PerChannelMinMaxObserver if weight["qscheme"].startswith("per_channel") else MinMaxObserver
        return kind.with_args(dtype=dtype, qscheme=qscheme)
    return Preset.with_args(
        scale=weight["scale"],
        zero_point=weight["zero_point"],
        dtype=dtype,
        qscheme=qscheme,
        quant_min=weight["quant_min"],
        quant_max=weight["quant_max"],
        ch_axis=0,
    )


def qconfig_of(decision: dict[str, Any], module: nn.Module | None = None) -> QConfig:
    """Return the qconfig of one decided layer."""
    weight = weight_observer(decision.get("weight"))
    if decision["mode"] == "dynamic":
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            return QConfig(activation=PlaceholderObserver.with_args(dtype=torch.float), weight=weight)
        half = (decision.get("weight") or {}).get("dtype") == "float16"
        dtype = torch.float16 if half else torch.quint8
        return QConfig(activation=PlaceholderObserver.with_args(dtype=dtype, is_dynamic=True), weight=weight)
    if isinstance(module, FIXED_MODULES):
        signed = isinstance(module, nn.Tanh)
        fixed = default_fixed_qparams_range_neg1to1_observer if signed else default_fixed_qparams_range_0to1_observer
        return QConfig(activation=fixed, weight=weight)
    return QConfig(activation=Preset, weight=weight)


def qconfig_mapping(
    module: fx.GraphModule,
    decisions: Decisions,
    make: Callable[[dict[str, Any], nn.Module | None], QConfig | None] = qconfig_of,
) -> QConfigMapping:
    """Return the qconfig of every decided module and functional call of a canonical graph.

    Args:
        module: Canonical graph module.
        decisions: As for `lower`.
        make: Makes the qconfig of one decided layer; None leaves the layer float.
    """
    mapping = QConfigMapping().set_global(None)
    counts: dict[Any, int] = {}
    qconfigs: dict[str, QConfig | None] = {}
    for node in module.graph.nodes:
        index = counts.get(node.target, 0)
        counts[node.target] = index + 1
        decision = decisions["layers"].get(node.name)
        if decision is None:
            continue
        follows = decision.get("follows")
        qconfig = qconfigs.get(follows) if follows else make(decision, called(node, module))
        qconfigs[node.name] = qconfig
        if qconfig is not None and node.op == "call_module":
            mapping.set_module_name(str(node.target), qconfig)
        elif qconfig is not None and node.op == "call_function":
            mapping.set_module_name_object_type_order("", node.target, index, qconfig)
    return mapping


def fold_clamps(module: fx.GraphModule, names: Collection[str]) -> fx.GraphModule:
    """Return a copy in which given ReLU6 calls are ReLU: their int8 range already ends at or below six."""
    folded = copy.deepcopy(module)
    for node in folded.graph.nodes:
        if node.name in names:
            folded.set_submodule(str(node.target), nn.ReLU().train(folded.training))
    return folded


def take_weights(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load a state dict into a canonical graph; layers for which it holds a bias that they lack get one."""
    for key, value in weights.items():
        path, _, last = key.rpartition(".")
        holder = module.get_submodule(path)
        if last == "bias" and holder._parameters.get("bias", value) is None:
            holder.register_parameter("bias", nn.Parameter(value.clone()))
    module.load_state_dict(weights)


def prepare(module: fx.GraphModule, mapping: QConfigMapping, leaves: Collection[str]) -> fx.GraphModule:
    """Return a graph with observers where the mapping asks for them; modules that do not trace stay as they are."""
    custom = PrepareCustomConfig().set_non_traceable_module_names(list(leaves))
    prepared: fx.GraphModule = prepare_fx(module, mapping, (), custom)
    forget_modules()
    return prepared


def forget_modules() -> None:
    """Let PyTorch forget the modules it worked on: it keeps the device of each, and with it the module, for good."""
    # Not every version keeps them.
    forget = getattr(fx_utils.assert_and_get_unique_device, "cache_clear", None)
    if forget is not None:
        forget()


def fused(module: fx.GraphModule, leaves: Collection[str]) -> fx.GraphModule:
    """Return the canonical graph with Conv+BN+ReLU and the like fused, in float, as quantization sees it."""
    return prepare(copy.deepcopy(module), QConfigMapping().set_global(None), leaves)


def preset_activations(
    prepared: fx.GraphModule, tensors: dict[str, dict[str, Any]], kind: type[Preset] = Preset
) -> None:
    """Give every observer of a prepared graph the scale and zero point decided for the tensor it sees.

    Args:
        prepared: The prepared graph.
        tensors: What was decided, by name of the tensor.
        kind: What is to see the input of an operation with a prescribed output range (sigmoid, softmax, tanh):
            PyTorch puts an observer there that prescribes the range of the output for the input too.

    Raises:
        KeyError: Nothing was decided for a tensor.
        ValueError: One shared observer sees tensors with different decisions.
    """
    modules = dict(prepared.named_modules(remove_duplicate=False))
    observed = [n for n in prepared.graph.nodes if n.op == "call_module" and _is_observer(modules[str(n.target)])]
    prescribing = {
        id(modules[str(n.target)]) for n in observed if isinstance(called(n.args[0], prepared), FIXED_MODULES)
    }
    for node in observed:
        observer = modules[str(node.target)]
        if not isinstance(observer, Preset):
            if id(observer) in prescribing:
                continue
            observer = kind()
            prepared.set_submodule(str(node.target), observer)
        decided = tensors[node.args[0].name]
        scale = torch.tensor([decided["scale"]], dtype=torch.float32)
        zero_point = torch.tensor([decided["zero_point"]], dtype=torch.int64)
        if observer.set and not (torch.equal(observer.scale, scale) and torch.equal(observer.zero_point, zero_point)):
            raise ValueError(f"{node.args[0].name} shares its observer with a tensor of another range")
        observer.scale, observer.zero_point = scale, zero_point
        observer.quant_min, observer.quant_max = decided["quant_min"], decided["quant_max"]
        observer.set = True


def _is_observer(module: nn.Module) -> bool:
    return isinstance(module, (Preset, FixedQParamsObserver, FixedQParamsFakeQuantize))


def lower(module: fx.GraphModule, decisions: Decisions) -> fx.GraphModule:
    """Return the int8 model of a canonical graph under decisions; the graph itself is left as it is.

    Args:
        module: Canonical graph module in evaluation mode.
        decisions: `backend`, `leaves`, `layers` (node name to mode and weight), `tensors` (tensor name to scale, zero
            point, quant_min, quant_max), `folded` (names of ReLU6 calls) and `inside` (paths in leaves).
    """
    with engine(decisions["backend"]), quiet():
        folded = fold_clamps(module, decisions["folded"])
        paths = {node.name: str(node.target) for node in folded.graph.nodes if node.op == "call_module"}
        mapping = qconfig_mapping(folded, decisions)
        prepared = prepare(folded, mapping, decisions["leaves"])
        preset_activations(prepared, decisions["tensors"])
        converted: fx.GraphModule = convert_fx(prepared)
        forget_modules()
        keep_moves_in_int8(converted)
        use_int8_means(converted)
        if decisions["backend"] == "qnnpack":
            lay_out_clamps(converted)
        use_full_range(converted, {paths[name]: d for name, d in decisions["layers"].items() if name in paths})
        if decisions["inside"]:
            lower_inside(converted, decisions)
    return converted.eval()


class FullRangeDynamicLinear(DynamicLinear):
    """A dynamic Linear that uses all eight bits of its input, where the kernel adds in 32 bits.

    PyTorch's own always limits the input to seven bits, which costs about six dB.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the float output."""
        packed = self._packed_params._packed_params
        result: torch.Tensor = torch.ops.quantized.linear_dynamic(x, packed, reduce_range=False)
        return result


def use_full_range(model: nn.Module, decided: dict[str, dict[str, Any]]) -> None:
    """Let dynamic Linear layers that were decided so use all eight bits of their inputs."""
    for path, decision in decided.items():
        if decision.get("mode") == "dynamic" and not decision.get("reduce_range", True):
            module = model.get_submodule(path)
            if type(module) is DynamicLinear and module._packed_params.dtype is torch.qint8:
                module.__class__ = FullRangeDynamicLinear


def int8_mean(input: torch.Tensor, dim: Any, keepdim: bool = False) -> torch.Tensor:
    """Return the mean of an int8 tensor; PyTorch's own fails for channels-last feature maps of one pixel."""
    result = torch.mean(input, dim, True)
    if keepdim:
        return result
    for position in sorted((d % input.dim() for d in ([dim] if isinstance(dim, int) else dim)), reverse=True):
        result = result.squeeze(position)
    return result


def use_int8_means(module: fx.GraphModule) -> None:
    """Let int8 means of a converted graph be computed by `int8_mean`."""
    for node in module.graph.nodes:
        plain_mean = node.target is torch.mean and argument(node, 1, "dim") is not None and "dtype" not in node.kwargs
        if plain_mean and qparams_of(node, module) is not None:
            node.target = int8_mean
    module.recompile()


class ContiguousHardtanh(nn.Hardtanh):
    """Clamps a tensor laid out channel after channel: QNNPACK's int8 clamp mixes up channels-last elements."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the clamped tensor."""
        return super().forward(input.contiguous())


def lay_out_clamps(module: fx.GraphModule) -> None:
    """Replace every ReLU6 and Hardtanh of a converted graph by one that QNNPACK computes rightly."""
    for node in module.graph.nodes:
        target = called(node, module)
        if isinstance(target, nn.Hardtanh):
            fresh = ContiguousHardtanh(float(target.min_val), float(target.max_val))
            module.set_submodule(str(node.target), fresh.eval())


def lower_inside(model: nn.Module, decisions: Decisions) -> nn.Module:
    """Quantize Linear and recurrent layers dynamically, in place, where torch.fx cannot look."""
    modules = dict(model.named_modules())
    chosen = {path: qconfig_of(decision, modules[path]) for path, decision in decisions["inside"].items()}
    with engine(decisions["backend"]), quiet():
        quantize_dynamic(model, chosen, inplace=True)
    use_full_range(model, decisions["inside"])
    return model


def lower_untraced(model: nn.Module, decisions: Decisions) -> nn.Module:
    """Return a copy of a model that does not trace, its decided modules dynamically quantized."""
    return lower_inside(copy.deepcopy(model).eval(), decisions)


#: What PyTorch says about its own quantization packages, and about observers that were never meant to observe.
EXPECTED_WARNINGS = (
    "torch.ao.quantization is deprecated and will be removed",
    "must run observer before calling calculate_qparams",
    "QConfig must specify a FixedQParamsObserver",
    "Please use quant_min and quant_max to specify the range for observers",
    "torch.quantize_per_tensor, torch.quantize_per_channel and other quantized tensor creation functions",
    "To copy construct from a tensor, it is recommended to use sourceTensor",
    "`torch.jit.",
    "is not implemented for QNNPACK. Falling back",
)


def silence() -> None:
    """Ignore the expected warnings in this process, or within `warnings.catch_warnings`."""
    for text in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=f".*{re.escape(text)}")


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore the expected warnings for a while."""
    with warnings.catch_warnings():
        silence()
        yield


# --- Staying in int8 ---------------------------------------------------------------------------------------------


def _is_quantize(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target is torch.quantize_per_tensor


def _is_dequantize(node: fx.Node) -> bool:
    return node.op == "call_method" and node.target == "dequantize"


def qparams_of(node: Any, module: fx.GraphModule) -> tuple[float, int] | None:
    """Return scale and zero point of a node's int8 output, None where it has none or they are not plain."""
    if not isinstance(node, fx.Node):
        return None
    target = called(node, module)
    if isinstance(target, DynamicLinear):
        return None
    stored: Any = target
    if stored is not None and hasattr(stored, "scale") and hasattr(stored, "zero_point"):
        return float(stored.scale), int(stored.zero_point)
    if _is_quantize(node):
        pair: tuple[Any, ...] = node.args[1:3]
    elif node.op == "call_function" and "quantized" in str(getattr(node.target, "__module__", node.target)):
        pair = node.args[-2:]
        if "output_scale" in node.kwargs:
            pair = node.kwargs["output_scale"], node.kwargs["output_zero_point"]
    elif type(target) in _PRESCRIBED:
        return _PRESCRIBED[type(target)] if qparams_of(node.args[0], module) is not None else None
    elif name_of(node) in MOVES or isinstance(target, _SAME_SCALE_MODULES):
        return qparams_of(node.args[0], module)
    elif name_of(node) in _SAME_SCALE_FUNCTIONS:
        source = node.args[0]
        return qparams_of(source[0] if isinstance(source, (list, tuple)) else source, module)
    else:
        return None
    if not all(isinstance(a, fx.Node) and a.op == "get_attr" for a in pair):
        return None
    scale, zero_point = (value_at(module, str(a.target)) for a in pair)
    return float(scale), int(zero_point)


def keep_moves_in_int8(module: fx.GraphModule) -> None:
    """Let operations that only move elements work on int8, and drop quantize after dequantize of equal scales."""
    graph = module.graph
    for node in list(graph.nodes):
        if _is_dequantize(node):
            _sink(node)
    for node in list(graph.nodes):
        if not _is_quantize(node) or not isinstance(node.args[0], fx.Node) or not _is_dequantize(node.args[0]):
            continue
        stored = node.args[0].args[0]
        before, after = qparams_of(stored, module), qparams_of(node, module)
        if before is not None and before == after:
            node.replace_all_uses_with(stored)
    graph.eliminate_dead_code()
    graph.lint()
    module.recompile()


def _sink(dequantize: fx.Node) -> None:
    """Move a dequantize behind the moving operations that read it."""
    graph, stored = dequantize.graph, dequantize.args[0]
    for user in list(dequantize.users):
        name = name_of(user)
        if name not in MOVES or user.args[0] is not dequantize or not isinstance(stored, fx.Node):
            continue
        if name == "pad" and (argument(user, 2, "mode", "constant") != "constant" or argument(user, 3, "value", 0.0)):
            continue
        if name in TUPLE_MOVES:
            parts = list(user.users)
            if not all(name_of(part) == "getitem" and isinstance(part.args[1], int) for part in parts):
                continue
            user.replace_input_with(dequantize, stored)
            for part in parts:
                _dequantize_after(graph, part)
        else:
            user.replace_input_with(dequantize, stored)
            _dequantize_after(graph, user)


def _dequantize_after(graph: fx.Graph, node: fx.Node) -> None:
    readers = list(node.users)
    with graph.inserting_after(node):
        fresh = graph.call_method("dequantize", (node,))
    for reader in readers:
        reader.replace_input_with(node, fresh)
    _sink(fresh)
