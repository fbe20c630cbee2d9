"""What the person decided: a rule for each layer, the backend, and where model and data come from."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from qgui.core.language import say
from qgui.core.training import Training

#: Version 2 knows patterns; files of version 1 still open.
RECIPE_VERSION = 2
#: What stands for the version in a recipe's hash, so that the same decisions have the same hash in every version.
_HASHED_VERSION = 1


class Mode(enum.StrEnum):
    """How a layer computes."""

    FLOAT = "float"
    DYNAMIC = "dynamic"
    STATIC = "static"
    QAT = "qat"


def mode_name(mode: Mode) -> str:
    """Return how a mode is called in the language of this process."""
    return {
        Mode.FLOAT: say("float"),
        Mode.DYNAMIC: say("dynamic"),
        Mode.STATIC: say("static"),
        Mode.QAT: say("qat"),
    }[mode]


class ObserverKind(enum.StrEnum):
    """How a range is chosen from statistics."""

    MINMAX = "minmax"
    MOVING_AVERAGE = "moving_average"
    PERCENTILE = "percentile"
    MSE = "mse"
    ENTROPY = "entropy"
    FIXED = "fixed"


def observer_name(kind: ObserverKind) -> str:
    """Return how an observer is called in the language of this process."""
    return {
        ObserverKind.MINMAX: "MinMax",
        ObserverKind.MOVING_AVERAGE: "MovingAverage",
        ObserverKind.PERCENTILE: say("Percentile"),
        ObserverKind.MSE: say("Histogram (MSE)"),
        ObserverKind.ENTROPY: say("Entropy (KL)"),
        ObserverKind.FIXED: say("Fixed"),
    }[kind]


#: The observers that choose a range by themselves, in the order in which they are shown.
AUTOMATIC_OBSERVERS = (
    ObserverKind.MINMAX,
    ObserverKind.MOVING_AVERAGE,
    ObserverKind.PERCENTILE,
    ObserverKind.MSE,
    ObserverKind.ENTROPY,
)

#: The fields of a rule that ask for more than rounding to the nearest level, in the order in which they are done.
Step = Literal["equalize", "correct_bias", "adaround"]
STEPS: tuple[Step, ...] = ("equalize", "correct_bias", "adaround")

WeightDtype = Literal["qint8", "quint8", "float16"]
WeightScheme = Literal[
    "per_tensor_symmetric", "per_tensor_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"
]
ActivationScheme = Literal["per_tensor_affine", "per_tensor_symmetric"]


class Observer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A choice of observer with its parameters.

    Attributes:
        kind: Which observer.
        averaging_constant: Weight of the newest batch, for `moving_average` (PyTorch's default is 0.01).
        percentile: Share of the values that the range covers in percent, for `percentile`.
        low: Lower bound of a `fixed` range.
        high: Upper bound of a `fixed` range.
    """

    kind: ObserverKind = ObserverKind.MINMAX
    averaging_constant: float = 0.01
    percentile: float = 99.99
    low: float = 0.0
    high: float = 0.0


class WeightSetting(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a layer's weight is quantized.

    Attributes:
        dtype: Quantized dtype.
        qscheme: Quantization scheme.
        observer: Chooses the range, per channel where the qscheme is.
        channel_bounds: Output channel and the bound the person fixed for it, which stands instead of what the
            observer chooses there; the channel's range is mirrored at zero. Only for `per_channel_symmetric`.
    """

    dtype: WeightDtype = "qint8"
    qscheme: WeightScheme = "per_channel_symmetric"
    observer: Observer = Observer()
    channel_bounds: tuple[tuple[int, float], ...] = ()

    @property
    def per_channel(self) -> bool:
        """Whether each output channel has its own scale."""
        return self.qscheme.startswith("per_channel")

    @property
    def granularity(self) -> str:
        """`per-channel` or `per-tensor`, as shown."""
        return "per-channel" if self.per_channel else "per-tensor"


class ActivationSetting(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a layer's output activation is quantized."""

    dtype: Literal["quint8"] = "quint8"
    qscheme: ActivationScheme = "per_tensor_affine"
    observer: Observer = Observer(ObserverKind.MSE)
    reduce_range: bool = False


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the person decided for one layer.

    Attributes:
        mode: How the layer computes.
        weight: How its weight is quantized.
        activation: How its output is quantized.
        equalize: Whether its channels may be scaled against its neighbours' (cross-layer equalization, Nagel et al.,
            "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019).
        correct_bias: Whether its bias takes up the mean error of the rounded weight (bias correction, same paper).
        adaround: Whether its weight is rounded as learned from the layer's inputs (Nagel et al., "Up or Down?
            Adaptive Rounding for Post-Training Quantization", ICML 2020) instead of to the nearest level.
    """

    mode: Mode = Mode.FLOAT
    weight: WeightSetting = WeightSetting()
    activation: ActivationSetting = ActivationSetting()
    equalize: bool = False
    correct_bias: bool = False
    adaround: bool = False

    @property
    def needs_statistics(self) -> bool:
        """Whether the layer cannot be quantized without a calibration pass."""
        static = self.mode in (Mode.STATIC, Mode.QAT)
        return static or (self.mode is Mode.DYNAMIC and (self.correct_bias or self.adaround))


FLOAT_RULE = Rule()


class PatternRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the person decided for all layers of a type, or with a path that a pattern describes.

    What is None stays as it is without this rule. How patterns match is told in `qgui.core.patterns`, what they make
    of layers in `qgui.core.fitting`.

    Attributes:
        pattern: Type of layers (`Conv2d`) or glob of their paths (`layer3.*`); `type:` or `path:` before it says which.
        mode: How they compute.
        observer: Chooses the range of their outputs.
        activation_qscheme: Quantization scheme of their outputs.
        weight_dtype: Quantized dtype of their weights.
        weight_qscheme: Quantization scheme of their weights.
        weight_observer: Chooses the ranges of their weights.
        equalize: As in `Rule`.
        correct_bias: As in `Rule`.
        adaround: As in `Rule`.
    """

    pattern: str
    mode: Mode | None = None
    observer: Observer | None = None
    activation_qscheme: ActivationScheme | None = None
    weight_dtype: WeightDtype | None = None
    weight_qscheme: WeightScheme | None = None
    weight_observer: Observer | None = None
    equalize: bool | None = None
    correct_bias: bool | None = None
    adaround: bool | None = None


class ModelReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a model comes from.

    Attributes:
        source: Model source as in the command line, for instance `torchvision:resnet18`.
        weights: State dict file (`.pt`, `.pth`, `.safetensors`), a torchvision weights name, or empty.
    """

    source: str = ""
    weights: str = ""


class DataReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where data comes from, how images become tensors, and how samples are divided.

    Attributes:
        source: Data source as in the command line, for instance `folder:photos`.
        resize: Length of the short side in pixels after resizing.
        crop: Side of the central square crop in pixels.
        mean: Per-channel mean that is subtracted.
        std: Per-channel standard deviation by which is divided.
        interpolation: `bilinear`, `bicubic` or `nearest`.
        calibrate: Number of calibration samples.
        evaluate: Number of evaluation samples, 0 for all that are left.
        seed: Seed of the split.
        overlap: Whether calibration samples may be evaluated too.
        batch_size: Samples per batch in calibration and evaluation.
        metric: `PATH.py:CALLABLE` of another metric, or empty for accuracy.
        excluded: Indices of samples that are left out of calibration.
        finite_only: Whether ranges are computed from the finite values where an activation holds NaN or infinite
            ones; without it such an activation stops the calibration.
    """

    source: str = ""
    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    calibrate: int = 100
    evaluate: int = 0
    seed: int = 0
    overlap: bool = False
    batch_size: int = 8
    metric: str = ""
    excluded: tuple[int, ...] = ()
    finite_only: bool = False


class Recipe(msgspec.Struct, frozen=True):
    """All decisions of a person for one model. An immutable value: changes make a new recipe.

    Attributes:
        version: Version of the file format.
        backend: PyTorch quantized engine (`x86`, `onednn`, `fbgemm`, `qnnpack`).
        model: Where the model comes from.
        data: Where the data comes from.
        rules: Layer path to the rule that holds, whoever decided it. A layer without a rule stays float.
        training: How the layers in mode `qat` are trained.
        patterns: Rules by path or type; a later one wins over an earlier one, what was decided for a single layer wins
            over all.
        own: Paths of the layers that were decided singly, which patterns leave alone; None for all that no pattern
            governs, as in a file written by hand.
        underneath: Layer path to the rule that a layer governed by patterns has without them.
    """

    version: int = RECIPE_VERSION
    backend: str = "x86"
    model: ModelReference = ModelReference()
    data: DataReference = DataReference()
    rules: dict[str, Rule] = {}
    training: Training = Training()
    patterns: tuple[PatternRule, ...] = ()
    own: frozenset[str] | None = None
    underneath: dict[str, Rule] = {}

    @property
    def own_layers(self) -> frozenset[str]:
        """Paths of the layers that were decided singly."""
        return self.own if self.own is not None else frozenset(self.rules.keys() - self.underneath.keys())

    @property
    def modes(self) -> dict[str, Mode]:
        """Layer path to mode."""
        return {name: rule.mode for name, rule in self.rules.items()}

    def rule(self, layer: str) -> Rule:
        """Return the rule of a layer path; float where nothing was decided."""
        return self.rules.get(layer, FLOAT_RULE)

    def with_rules(self, changed: Mapping[str, Rule]) -> Recipe:
        """Return a recipe in which the rules of some layers are decided singly."""
        return msgspec.structs.replace(
            self,
            rules={**self.rules, **changed},
            own=self.own_layers.union(changed),
            underneath={name: rule for name, rule in self.underneath.items() if name not in changed},
        )

    def without_patterns(self) -> Recipe:
        """Return a recipe in which every layer has the rule that it has without patterns; the patterns stay listed."""
        return msgspec.structs.replace(
            self, rules={**self.rules, **self.underneath}, own=self.own_layers, underneath={}
        )

    def digest(self) -> str:
        """Return a hash of everything that decides the result: 16 hexadecimal digits of SHA-256.

        How the rules are written does not count: a layer that is float by a pattern and one that is float by a rule of
        its own make the same model, so results stay valid when rules are written in another way.
        """
        deciding = {**msgspec.to_builtins(self), "version": _HASHED_VERSION}
        for field in ("patterns", "own", "underneath"):
            del deciding[field]
        trains = any(rule.mode is Mode.QAT for rule in self.rules.values())
        if not trains or self.training == Training():
            del deciding["training"]
        content = msgspec.json.encode(deciding, order="sorted")
        return hashlib.sha256(content).hexdigest()[:16]
