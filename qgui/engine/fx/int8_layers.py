"""What PyTorch's int8 modules and functions hold and compute, in terms that another runtime understands."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.ao.nn import quantized
from torch.ao.nn.quantized import dynamic

from qgui.engine.fx import int8_recurrent, plain
from qgui.engine.fx.marks import Mark, Marks, Scale, Weight, weight_of

_CONVOLUTIONS = (quantized.Conv1d, quantized.Conv2d, quantized.Conv3d)
_TRANSPOSED = (
    quantized.ConvTranspose1d,
    quantized.ConvTranspose2d,
    quantized.ConvTranspose3d,
)
#: Float forms of `torch.ops.quantized`, which take scale and zero point of the result behind these arguments.
_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "add": lambda a, b, *_: a + b,
    "add_relu": lambda a, b, *_: F.relu(a + b),
    "mul": lambda a, b, *_: a * b,
    "mul_relu": lambda a, b, *_: F.relu(a * b),
    "matmul": lambda a, b, *_: torch.matmul(a, b),
    "hardswish": lambda x, *_, **__: F.hardswish(x),
    "elu": lambda x, *_, alpha=1.0, **__: F.elu(x, alpha),
    "leaky_relu": lambda x, slope=0.01, *_, **__: F.leaky_relu(x, slope),
    "layer_norm": lambda x, shape, weight=None, bias=None, eps=1e-5, *_, **__: F.layer_norm(
        x, shape, weight, bias, eps
    ),
    "instance_norm": lambda x, weight=None, bias=None, eps=1e-5, *_, **__: F.instance_norm(
        x, weight=weight, bias=bias, eps=eps
    ),
}


def is_int8(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's quantized ones."""
    return any(".quantized." in kind.__module__ for kind in type(module).__mro__)


def scale_of(node: Any, graph: fx.GraphModule) -> Scale | None:
    """Return scale and zero point of a node's int8 output, None where it has none."""
    pair = plain.qparams_of(node, graph)
    return None if pair is None else Scale(*pair)


def function_in_float(node: fx.Node) -> Callable[..., Any]:
    """Return what computes in float what a function node computes in int8; of a float node its own function."""
    target: Any = node.target
    if target is plain.int8_mean:
        return torch.mean
    if "quantized" not in str(getattr(target, "__module__", target)):
        return target  # type: ignore[no-any-return]
    return _FUNCTIONS[plain.name_of(node)]


def in_float(module: nn.Module) -> nn.Module:
    """Return a float module that computes what an int8 module without int8 weight computes before it rounds.

    Raises:
        NotImplementedError: Nothing is known about such a module.
    """
    base = next((kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.modules.")), nn.Module)
    if base is nn.modules.batchnorm._BatchNorm:
        base = nn.BatchNorm3d if "3d" in type(module).__name__ else nn.BatchNorm2d
    if base is nn.Module:
        raise NotImplementedError(f"QGUI does not know {type(module).__name__}")
    fresh = copy.deepcopy(module)
    fresh.__class__ = base
    return (
        nn.Sequential(fresh, nn.ReLU()) if "ReLU" in type(module).__name__ and "BN" in type(module).__name__ else fresh
    )


def stands_in(
    module: nn.Module, name: str, source: Scale | None, output: Scale | None, backend: str
) -> Callable[..., Any] | None:
    """Return what puts the mark of a layer with an int8 weight, None where a module has none.

    Args:
        module: An int8 module.
        name: Of the layer.
        source: Scale of its input where that is int8.
        output: Scale of its output where that is int8.
        backend: Engine that runs it.
    """
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED)):
        return _convolution(module, name, source, output, backend)
    if isinstance(module, quantized.Linear):
        weights, biases = _weight_and_bias(module)
        if isinstance(module, dynamic.Linear):
            mark = Mark(name, "dynamic_linear", weights=weights, biases=biases, relu=_has_relu(module))
            return _computing(module, mark, backend)
        return _static(module, Mark(name, "linear", output, source, weights, biases, _has_relu(module)), backend)
    if isinstance(module, quantized.Embedding) and not isinstance(module, quantized.EmbeddingBag):
        return _computing(module, Mark(name, "embedding", weights=(weight_of(module.weight()),)), backend)
    return int8_recurrent.stands_in(module, name)


def _has_relu(module: nn.Module) -> bool:
    return "ReLU" in type(module).__name__


def _weight_and_bias(module: Any) -> tuple[tuple[Weight, ...], tuple[Any, ...]]:
    bias = module.bias()
    return (weight_of(module.weight()),), (None if bias is None else bias.detach().float().numpy(),)


def _static(module: nn.Module, mark: Mark, backend: str) -> Callable[[Marks, torch.Tensor], Any]:
    source = mark.source
    assert source is not None

    def compute(x: torch.Tensor) -> torch.Tensor:
        with plain.engine(backend):
            given = torch.quantize_per_tensor(x, source.scale, source.zero_point, torch.quint8)
            result: torch.Tensor = module(given).dequantize()
        return result.contiguous()

    return lambda marks, x: marks.put(mark, compute, x)


def _computing(module: nn.Module, mark: Mark, backend: str) -> Callable[[Marks, torch.Tensor], Any]:
    def compute(x: torch.Tensor) -> Any:
        with plain.engine(backend):
            return module(x)

    return lambda marks, x: marks.put(mark, compute, x)


def _convolution(
    module: Any, name: str, source: Scale | None, output: Scale | None, backend: str
) -> Callable[[Marks, torch.Tensor], Any]:
    zeros = module.padding_mode == "zeros"
    before = list(module.padding) if zeros else [0] * len(module.kernel_size)
    attributes: dict[str, Any] = {
        "kernel_shape": list(module.kernel_size),
        "strides": list(module.stride),
        "pads": before + before,
        "dilations": list(module.dilation),
        "group": module.groups,
    }
    transposed = isinstance(module, _TRANSPOSED)
    if transposed:
        attributes["output_padding"] = list(module.output_padding)
    weights, biases = _weight_and_bias(module)
    kind = "conv_transpose" if transposed else "conv"
    mark = Mark(name, kind, output, source, weights, biases, _has_relu(module), attributes)
    if zeros:
        return _static(module, mark, backend)
    pads = [p for size in reversed(module.padding) for p in (size, size)]
    inner = copy.deepcopy(module)
    inner.padding_mode = "zeros"
    put = _static(inner, mark, backend)
    return lambda marks, x: put(marks, F.pad(x, pads, mode=module.padding_mode))
