"""Layers and tensors of a traced model, as the window and the command line show them."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from typing import Literal

import msgspec

Shape = tuple[int, ...]


class Family(enum.StrEnum):
    """What kind of network a model is, which decides its default mode."""

    CNN = "cnn"
    RECURRENT = "recurrent"
    TRANSFORMER = "transformer"
    MLP = "mlp"
    OTHER = "other"


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A module call or functional call of the traced graph, or a module inside one that does not trace.

    Attributes:
        name: Stable dotted path.
        type: Class name of a module or name of a function, for instance `Conv2d` or `add`.
        kind: `input`, `module`, `function`; `inside` for a module inside a leaf or an untraced model.
        node: Name of its node in the canonical graph; empty for `inside`.
        tensor: Name of the tensor that holds its output in the fused graph; empty where fusion removes it.
        parameters: Number of parameter elements, those of inner modules included for a leaf.
        weight_shape: Shape of the weight, output channels first (transposed convolutions: input channels first).
        input_shape: Shape of the first input, where a sample was at hand.
        output_shape: Shape of the output, where a sample was at hand.
        macs: Multiply-accumulate operations for that sample, 0 where they do not apply or are not known.
        group: Name of the layer whose rule this one follows because they are fused; its own name for the head.
        fusion: What the group is, for instance `Conv2d + BatchNorm2d + ReLU`; empty where nothing is fused.
        convolution_groups: The `groups` of a convolution.
        stride: The `stride` of a convolution, one number for each spatial dimension.
        padding: Its zero padding at either side, likewise.
        dilation: Its `dilation`, likewise.
        calls: How often the module is called in one forward pass.
        leaf_reason: Why the module is a leaf: what broke tracing, and where.
        inside: Name of the leaf in which the module lies.
        equalizable: Pairs `(layer, layer that reads it)`, one of them this layer, whose channels can be scaled against
            each other without changing what the model computes.
        alone: Why there is no such pair, for a layer with a weight.
        feeds_depthwise: Greatest number of groups among the depthwise convolutions that read its output, 0 for none.
    """

    name: str
    type: str
    kind: Literal["input", "module", "function", "inside"]
    node: str = ""
    tensor: str = ""
    parameters: int = 0
    weight_shape: Shape | None = None
    input_shape: Shape | None = None
    output_shape: Shape | None = None
    macs: int = 0
    group: str = ""
    fusion: str = ""
    convolution_groups: int = 1
    stride: Shape = ()
    padding: Shape = ()
    dilation: Shape = ()
    calls: int = 1
    leaf_reason: str = ""
    inside: str = ""
    feeds_depthwise: int = 0
    equalizable: tuple[tuple[str, str], ...] = ()
    alone: str = ""

    @property
    def head(self) -> bool:
        """Whether the layer carries a rule of its own."""
        return self.group in ("", self.name)

    @property
    def depthwise(self) -> bool:
        """Whether a convolution has one input channel per group."""
        return self.convolution_groups > 1 and self.weight_shape is not None and self.weight_shape[1] == 1


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A float tensor of the fused graph that quantization may observe.

    Attributes:
        name: Node name in the fused graph, which is also the name of its statistics.
        layer: Name of the layer that produces it.
        shape: Shape for the sample, batch first.
        owner: Name of the tensor whose setting decides the range; tensors with one owner share one range
            because PyTorch requires it (max pool, reshape, cat, ...).
        sources: Names of the tensors whose statistics, merged, decide the range of an owner.
        clamp: Bounds to which the only readers (ReLU, ReLU6, Hardtanh, Clamp) limit the values.
        clamp_readers: Names of those readers.
        fixed: Scale and zero point that the operation prescribes (sigmoid, softmax, tanh).
    """

    name: str
    layer: str
    shape: Shape = ()
    owner: str = ""
    sources: tuple[str, ...] = ()
    clamp: tuple[float | None, float | None] | None = None
    clamp_readers: tuple[str, ...] = ()
    fixed: tuple[float, int] | None = None


class ModelDescription(msgspec.Struct, frozen=True, dict=True):
    """What is known of a loaded model.

    Attributes:
        source: Model source.
        title: Short name to show.
        family: Kind of network.
        traced: Whether torch.fx traced it (leaves allowed).
        trace_note: What did not trace and what that means; empty where everything did.
        layers: Rows of the layer table in execution order.
        tensors: Tensors that may be observed.
        parameters: Number of parameter elements.
        size_bytes: Size of parameters and buffers.
        pretrained: False where the weights are random, so that accuracy means nothing.
        notes: Sentences the person should read (random weights, unused keys).
    """

    source: str
    title: str
    family: Family
    traced: bool
    trace_note: str
    layers: tuple[Layer, ...]
    tensors: tuple[Tensor, ...]
    parameters: int
    size_bytes: int
    pretrained: bool = True
    notes: tuple[str, ...] = ()

    def layer(self, name: str) -> Layer:
        """Return a layer by its path.

        Raises:
            KeyError: There is no such layer.
        """
        return self.by_name[name]

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by its name.

        Raises:
            KeyError: There is no such tensor.
        """
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    @functools.cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}
