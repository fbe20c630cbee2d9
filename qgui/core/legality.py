"""Which modes, weight and activation settings a layer may have on a backend, and why the others are not possible.

The tables restate what `torch.ao.quantization`'s native backend configuration and kernels can do; a test holds them
against the real conversion on every engine of the machine.
"""

from __future__ import annotations

import msgspec

from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import (
    AUTOMATIC_OBSERVERS,
    STEPS,
    ActivationSetting,
    Mode,
    Observer,
    ObserverKind,
    Rule,
    Step,
    WeightDtype,
    WeightScheme,
    WeightSetting,
)

CONVOLUTIONS = frozenset({"Conv1d", "Conv2d", "Conv3d"})
TRANSPOSED_CONVOLUTIONS = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"})
RECURRENT = frozenset({"LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"})
EMBEDDINGS = frozenset({"Embedding", "EmbeddingBag"})
WEIGHTED = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS | RECURRENT | EMBEDDINGS | {"Linear"}

#: Operations with an int8 kernel of their own and an output range of their own.
ARITHMETIC = frozenset(
    {"add", "mul", "matmul", "cat", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "layer_norm", "InstanceNorm1d"}
    | {"InstanceNorm2d", "InstanceNorm3d", "instance_norm", "ELU", "elu", "LeakyReLU", "leaky_relu"}
    | {"Hardswish", "hardswish"}
)
#: Operations whose output scale and zero point are prescribed by PyTorch.
FIXED_QPARAMS = frozenset({"Sigmoid", "sigmoid", "Hardsigmoid", "hardsigmoid", "Tanh", "tanh", "Softmax", "softmax"})
#: Operations that limit values and keep the scale of their input.
CLAMPS = frozenset({"ReLU", "relu", "ReLU6", "relu6", "Hardtanh", "hardtanh", "clamp"})
#: Operations that move or average values and keep the scale of their input.
PASS_THROUGH = frozenset(
    {"MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d"}
    | {"AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "PixelShuffle", "PixelUnshuffle", "max_pool1d", "max_pool2d"}
    | {"max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
    | {"adaptive_avg_pool3d", "interpolate", "pixel_shuffle", "pixel_unshuffle", "flatten", "mean", "narrow"}
    | {"repeat_interleave", "transpose", "squeeze", "stack", "unsqueeze", "contiguous", "permute", "repeat"}
    | {"reshape", "view", "pad", "chunk", "split", "getitem", "Flatten"}
)
STATIC_TYPES = CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS | {"Linear"} | ARITHMETIC | FIXED_QPARAMS | CLAMPS | PASS_THROUGH
QAT_TYPES = CONVOLUTIONS | {"Linear"}
DYNAMIC_TYPES = RECURRENT | EMBEDDINGS | {"Linear"}
FLOAT16_BACKENDS = frozenset({"x86", "fbgemm"})


def mode_reasons(layer: Layer, backend: str) -> dict[Mode, str]:
    """Return for every mode why the layer may not have it; an empty string where it may.

    Args:
        layer: A row of the layer table.
        backend: The quantized engine.
    """
    reasons = {Mode.FLOAT: "", Mode.DYNAMIC: "", Mode.STATIC: "", Mode.QAT: ""}
    if not layer.head:
        reason = say("Fused into {group}: it follows the mode of that layer.", group=layer.group)
        return dict.fromkeys(Mode, reason)
    for mode, check in ((Mode.DYNAMIC, _why_not_dynamic), (Mode.STATIC, _why_not_static), (Mode.QAT, _why_not_qat)):
        reasons[mode] = check(layer, backend)
    return reasons


def traits(layer: Layer) -> tuple[object, ...]:
    """Return what decides which modes and weights a layer may have: the same for layers that are alike."""
    named = (layer.type, layer.kind, layer.inside, layer.calls, layer.leaf_reason, layer.fusion, layer.head)
    return (*named, layer.weight_shape, layer.convolution_groups)


def allowed_modes(layer: Layer, backend: str) -> tuple[Mode, ...]:
    """Return the modes that a layer may have."""
    return tuple(mode for mode, reason in mode_reasons(layer, backend).items() if not reason)


def _why_not_anything(layer: Layer) -> str:
    if layer.kind == "input":
        return say("The model's input becomes int8 by itself where a layer that reads it is static.")
    if layer.leaf_reason:
        return say(
            "torch.fx cannot trace it ({leaf_reason}); the Linear and recurrent layers inside may be dynamic.",
            leaf_reason=layer.leaf_reason,
        )
    if layer.calls > 1 and layer.type in WEIGHTED:
        return say(
            "It is called {calls} times in one forward pass; PyTorch quantizes one output range per module.",
            calls=layer.calls,
        )
    if layer.type == "NonDynamicallyQuantizableLinear":
        return say("nn.MultiheadAttention uses this weight directly, not by calling the layer.")
    return ""


def _why_not_dynamic(layer: Layer, backend: str) -> str:
    general = _why_not_anything(layer)
    if general:
        return general
    if layer.type in {"LSTM", "GRU"} and layer.fusion == "proj_size":
        return say("PyTorch has no dynamic LSTM kernel with a projection (proj_size).")
    if layer.type == "RNN":
        return say("PyTorch has dynamic kernels for LSTM, GRU and the cells, none for nn.RNN.")
    if layer.type not in DYNAMIC_TYPES:
        return say(
            "Dynamic quantization exists for Linear, LSTM, GRU, their cells and embeddings, not for {type}.",
            type=layer.type,
        )
    return ""


def _why_not_static(layer: Layer, backend: str) -> str:
    general = _why_not_anything(layer)
    if general:
        return general
    if layer.kind == "inside":
        where = say("inside {inside}, which", inside=layer.inside) if layer.inside else say("in a model that")
        return say(
            "It lies {where} torch.fx cannot trace; only dynamic quantization works without a trace.", where=where
        )
    if layer.type in RECURRENT | {"RNN"}:
        return say("PyTorch quantizes recurrent layers dynamically; there is no static int8 kernel for them.")
    if layer.type in EMBEDDINGS:
        return say("An embedding has no input activation: its weights are quantized, which is its dynamic mode.")
    kernel = _why_no_kernel(layer, backend)
    if kernel:
        return kernel
    if layer.type not in STATIC_TYPES:
        return say("PyTorch has no int8 kernel for {type}; it computes in float between int8 layers.", type=layer.type)
    return ""


def _why_no_kernel(layer: Layer, backend: str) -> str:
    """Return what an engine's own kernels lack or compute wrongly, as measured with torch 2.9 to 2.14."""
    if backend == "qnnpack":
        if layer.type in {"Conv1d", "ConvTranspose1d", "Conv3d", "MaxPool3d", "max_pool3d"}:
            return say("QNNPACK has no int8 kernel for {type}; choose another backend.", type=layer.type)
        if layer.type == "ConvTranspose3d":
            return say("QNNPACK computes ConvTranspose3d wrongly; choose another backend.")
        if layer.type == "clamp":
            return say("QNNPACK's int8 clamp needs both bounds; choose another backend.")
    if layer.type not in TRANSPOSED_CONVOLUTIONS or layer.weight_shape is None:
        return ""
    inputs, outputs = layer.weight_shape[0] // layer.convolution_groups, layer.weight_shape[1]
    if backend in {"x86", "onednn"} and inputs != outputs and min(inputs, outputs) > 1:
        return say(
            "oneDNN computes transposed convolutions with {inputs} input and {outputs} output channels per group "
            "wrongly, they must be as many; choose another backend.",
            inputs=inputs,
            outputs=outputs,
        )
    direct = layer.type == "ConvTranspose2d" and layer.convolution_groups == 1 and layer.weight_shape[2] == 2
    if backend == "fbgemm" and direct and layer.weight_shape[3] <= 6 and inputs % 8 == 0 and outputs % 8 == 0:
        return say("FBGEMM computes transposed convolutions with kernels of height 2 wrongly; choose another backend.")
    return ""


def _why_not_qat(layer: Layer, backend: str) -> str:
    static = _why_not_static(layer, backend)
    if static:
        return static
    if layer.type not in QAT_TYPES:
        return say(
            "Quantization-aware training exists for Conv and Linear; {type} between them is static.", type=layer.type
        )
    return ""


def weight_schemes(layer: Layer, mode: Mode) -> dict[WeightScheme, str]:
    """Return for every weight qscheme why the layer may not have it; an empty string where it may."""
    symmetric_only = say("The int8 kernels of x86 and onednn need weights with zero point 0.")
    embedding = say("Embeddings quantize each row with its own float zero point (per_channel_affine_float_qparams).")
    schemes: dict[WeightScheme, str] = {
        "per_tensor_symmetric": "",
        "per_channel_symmetric": "",
        "per_tensor_affine": symmetric_only,
        "per_channel_affine_float_qparams": say("This qscheme is for embeddings."),
    }
    if layer.type in EMBEDDINGS:
        schemes = dict.fromkeys(schemes, embedding)
        schemes["per_channel_affine_float_qparams"] = ""
    elif layer.type in TRANSPOSED_CONVOLUTIONS:
        schemes["per_channel_symmetric"] = say("PyTorch's transposed convolutions take one scale per tensor.")
    return schemes


def weight_dtypes(layer: Layer, mode: Mode, backend: str) -> dict[WeightDtype, str]:
    """Return for every weight dtype why the layer may not have it; an empty string where it may."""
    if layer.type in EMBEDDINGS:
        only = say("Embeddings take quint8 weights.")
        return {"qint8": only, "quint8": "", "float16": only}
    dtypes: dict[WeightDtype, str] = {"qint8": "", "quint8": say("This dtype is for embeddings."), "float16": ""}
    if mode is not Mode.DYNAMIC:
        dtypes["float16"] = say("float16 weights exist in dynamic mode.")
    elif backend not in FLOAT16_BACKENDS:
        dtypes["float16"] = say("The backend {backend} has no float16 weights; x86 and fbgemm have.", backend=backend)
    return dtypes


def weight_observers(layer: Layer, setting: WeightSetting) -> dict[ObserverKind, str]:
    """Return for every observer why it may not choose the weight's range; an empty string where it may."""
    reasons = dict.fromkeys((*AUTOMATIC_OBSERVERS, ObserverKind.FIXED), "")
    if setting.dtype == "float16":
        return dict.fromkeys(reasons, say("float16 weights need no range."))
    if layer.type in EMBEDDINGS | RECURRENT:
        reasons = dict.fromkeys(
            reasons, say("The rows of {type} weights keep their full range (MinMax).", type=layer.type)
        )
        reasons[ObserverKind.MINMAX] = ""
    elif setting.per_channel:
        reasons[ObserverKind.FIXED] = say("A fixed range is for one scale per tensor.")
    return reasons


def step_reasons(layer: Layer, rule: Rule, backend: str) -> dict[Step, str]:
    """Return for every step better than rounding why the layer may not have it; an empty string where it may.

    Args:
        layer: A row of the layer table.
        rule: Its rule: the steps are for weights that are rounded to int8.
        backend: The quantized engine.
    """
    reasons = dict.fromkeys(STEPS, _why_no_step(layer, rule))
    if not reasons["equalize"] and not layer.equalizable:
        reasons["equalize"] = layer.alone or say("No layer before or after it can be scaled against it.")
    return reasons


def _why_no_step(layer: Layer, rule: Rule) -> str:
    if not layer.head:
        return say("Fused into {group}: decide there.", group=layer.group)
    if layer.kind == "inside" or layer.leaf_reason:
        return say("torch.fx cannot trace what surrounds it, so what it reads and gives is not known.")
    if layer.type in TRANSPOSED_CONVOLUTIONS | RECURRENT | EMBEDDINGS | {"RNN"}:
        return say(
            "This exists for Conv and Linear layers; {type} weights are rounded to the nearest level.", type=layer.type
        )
    if layer.type not in CONVOLUTIONS | {"Linear"}:
        return say("{type} has no weight that is rounded.", type=layer.type)
    general = _why_not_anything(layer)
    if general:
        return general
    if rule.mode is Mode.FLOAT:
        return say("A float layer is not rounded.")
    if rule.mode is Mode.QAT:
        return say("Quantization-aware training already learns weights that round well.")
    if rule.weight.dtype == "float16":
        return say("float16 weights are not put on int8 levels.")
    return ""


def with_legal_steps(rule: Rule, layer: Layer, backend: str) -> Rule:
    """Return the rule without the steps that the layer may not have."""
    reasons = step_reasons(layer, rule, backend)
    return msgspec.structs.replace(rule, **{step: False for step in STEPS if getattr(rule, step) and reasons[step]})


def why_no_channel_bounds(layer: Layer, setting: WeightSetting) -> str:
    """Return why no bound can be fixed for a single channel of the layer's weight; an empty string where one can."""
    if not has_weight(layer):
        return say("{type} has no weight to quantize.", type=layer.type)
    if layer.type in EMBEDDINGS | RECURRENT or layer.kind == "inside":
        where = (
            say("inside a part that does not trace") if layer.kind == "inside" else say("of {type}", type=layer.type)
        )
        return say("Weights {where} keep their full range (MinMax).", where=where)
    if setting.dtype != "qint8":
        return say("{dtype} weights need no range.", dtype=setting.dtype)
    if setting.qscheme != "per_channel_symmetric":
        return say("The weight has one scale per tensor: its channels have no ranges of their own.")
    return ""


def has_activation(layer: Layer) -> bool:
    """Whether the layer's output is a tensor whose range can be chosen: by its own mode, or for a static reader."""
    return bool(layer.tensor) and layer.type not in FIXED_QPARAMS


def has_weight(layer: Layer) -> bool:
    """Whether the layer has a weight that can be quantized."""
    return layer.type in WEIGHTED and not layer.leaf_reason


def needs_reduced_range(layer: Layer, backend: str) -> bool:
    """Whether a layer's output should keep to seven bits because the kernel that reads it adds in 16 bits.

    FBGEMM's depthwise kernels add pairs of products in saturating 16-bit integers on every x86 CPU; the x86 engine
    uses them for more than 100 groups, and oneDNN below.
    """
    return layer.feeds_depthwise > {"fbgemm": 0, "x86": 100}.get(backend, layer.feeds_depthwise)


def default_rule(layer: Layer, mode: Mode, backend: str, reduce_range: bool = False) -> Rule:
    """Return the rule that a layer starts with in a mode, following PyTorch's default qconfigs.

    Args:
        layer: A row of the layer table.
        mode: The wished mode; where the layer may not have it, the nearest it may have.
        backend: The quantized engine.
        reduce_range: Whether the CPU needs activations limited to seven bits.
    """
    weight = WeightSetting()
    if layer.type in EMBEDDINGS:
        weight = WeightSetting("quint8", "per_channel_affine_float_qparams")
    elif layer.type in TRANSPOSED_CONVOLUTIONS | RECURRENT:
        weight = WeightSetting(qscheme="per_tensor_symmetric")
    activation = ActivationSetting(reduce_range=reduce_range or needs_reduced_range(layer, backend))
    return Rule(nearest_mode(layer, mode, backend), weight, activation)


def nearest_mode(layer: Layer, mode: Mode, backend: str) -> Mode:
    """Return the wished mode, or the nearest the layer may have: QAT, then static, then dynamic, then float."""
    allowed = allowed_modes(layer, backend)
    wishes = [Mode.QAT, Mode.STATIC, Mode.DYNAMIC]
    for wish in wishes[wishes.index(mode) :] if mode in wishes else []:
        if wish in allowed:
            return wish
    return Mode.FLOAT


def corrected(rule: Rule, layer: Layer, backend: str) -> Rule:
    """Return the rule with everything replaced that the layer may not have on this backend."""
    mode = nearest_mode(layer, rule.mode, backend)
    weight = rule.weight
    start = default_rule(layer, mode, backend).weight
    if weight_dtypes(layer, mode, backend).get(weight.dtype):
        weight = msgspec.structs.replace(weight, dtype=start.dtype)
    if weight_schemes(layer, mode).get(weight.qscheme):
        weight = msgspec.structs.replace(weight, qscheme=start.qscheme)
    if weight_observers(layer, weight).get(weight.observer.kind):
        weight = msgspec.structs.replace(weight, observer=Observer())
    if weight.channel_bounds:
        channels = layer.weight_shape[0] if layer.weight_shape and not why_no_channel_bounds(layer, weight) else 0
        kept = tuple(entry for entry in weight.channel_bounds if entry[0] < channels)
        weight = msgspec.structs.replace(weight, channel_bounds=kept)
    return with_legal_steps(msgspec.structs.replace(rule, mode=mode, weight=weight), layer, backend)
