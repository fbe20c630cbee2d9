"""What the jobs find out: quantized tensors, accuracy, latency, size, exports."""

from __future__ import annotations

from typing import Literal

import msgspec

from qgui.core.language import say
from qgui.core.recipe import Mode


class Interval(msgspec.Struct, frozen=True):
    """A difference with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class TensorQParams(msgspec.Struct, frozen=True):
    """Scale and zero point that an activation has in the quantized model."""

    tensor: str
    scale: float
    zero_point: int
    low: float
    high: float


class StepEffect(msgspec.Struct, frozen=True):
    """What a step better than rounding does for a layer.

    Attributes:
        step: `equalize`, `correct_bias` or `adaround`.
        before_db: SQNR of the layer's output without the step in dB, its inputs being exact; for `equalize` that of its
            weight, whose inputs differ before and after.
        after_db: The same with the step.
    """

    step: str
    before_db: float
    after_db: float


class LayerResult(msgspec.Struct, frozen=True):
    """What became of a layer in the quantized model.

    Attributes:
        name: Layer path.
        type: Layer type.
        mode: The mode it really has in the quantized model.
        scale: Scale of its output, None where the output is float.
        zero_point: Zero point of its output.
        weight_granularity: `per-channel`, `per-tensor` or empty.
        weight_scale: Scale(s) of the weight.
        weight_zero_point: Zero point(s) of the weight.
        observer: Observer of its activation, empty where the output is float.
        quantized_type: Class or operator that computes it.
        sqnr_db: Measured ratio of its output against the float model, None before comparing.
        float_ms: Median time in the float model in milliseconds, None before comparing.
        quantized_ms: Median time in the quantized model in milliseconds.
        effects: What the steps better than rounding do for it.
    """

    name: str
    type: str
    mode: Mode
    scale: float | None = None
    zero_point: int | None = None
    weight_granularity: str = ""
    weight_scale: tuple[float, ...] = ()
    weight_zero_point: tuple[float, ...] = ()
    observer: str = ""
    quantized_type: str = ""
    sqnr_db: float | None = None
    float_ms: float | None = None
    quantized_ms: float | None = None
    effects: tuple[StepEffect, ...] = ()


class QuantizeResult(msgspec.Struct, frozen=True):
    """A quantized model.

    Attributes:
        recipe_hash: Hash of the recipe from which it was made.
        backend: Quantized engine for which it was converted.
        layers: What became of each layer.
        tensors: Scale and zero point of every quantized activation.
        float_bytes: Size of the float state dict on disk.
        quantized_bytes: Size of the quantized state dict on disk.
        conversions: Number of quantize and dequantize operations in one forward pass.
        seconds: How long quantizing took.
        notes: What the person should know.
    """

    recipe_hash: str
    backend: str
    layers: tuple[LayerResult, ...]
    tensors: tuple[TensorQParams, ...]
    float_bytes: int
    quantized_bytes: int
    conversions: int
    seconds: float
    notes: tuple[str, ...] = ()


class Accuracy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Score of one model on the evaluation samples.

    Attributes:
        samples: Number of samples.
        top1: Share of samples whose best class is right, 0 to 1.
        top5: Share of samples whose label is among the five best; None with fewer than ten classes.
        metric: Value of the person's own metric.
        metric_name: Its name.
    """

    samples: int
    top1: float | None = None
    top5: float | None = None
    metric: float | None = None
    metric_name: str = ""


class Latency(msgspec.Struct, frozen=True):
    """Latency of one variant of a model, interleaved with the others.

    Attributes:
        subject: `float` or `quantized`.
        runtime: `eager`, `torchscript` (traced and frozen), or another of `qgui.core.runtimes.RUNTIMES`.
        median_ms: Median in milliseconds.
        p95_ms: 95th percentile in milliseconds.
        min_ms: Fastest run in milliseconds.
        runs: Number of timed runs.
        samples_ms: Every timed run in milliseconds.
    """

    subject: Literal["float", "quantized"]
    runtime: str
    median_ms: float
    p95_ms: float
    min_ms: float
    runs: int
    samples_ms: tuple[float, ...] = ()


class Island(msgspec.Struct, frozen=True):
    """Float work between int8 layers: dequantize, compute, quantize.

    Attributes:
        layers: Paths of the float layers, in order of execution; none where values are only converted.
        dequantize_ms: Median time of making float values of int8 ones, in milliseconds.
        work_ms: Median time of the float layers.
        quantize_ms: Median time of making int8 values again.
    """

    layers: tuple[str, ...]
    dequantize_ms: float
    work_ms: float
    quantize_ms: float

    @property
    def total_ms(self) -> float:
        """What it costs in all, in milliseconds."""
        return self.dequantize_ms + self.work_ms + self.quantize_ms


class Comparison(msgspec.Struct, frozen=True):
    """Float and quantized side by side.

    Attributes:
        recipe_hash: Hash of the recipe from which the quantized model was made.
        backend: Its quantized engine.
        threads: Threads pinned while measuring.
        batch_size: Batch size of the latency runs.
        float_accuracy: None where the data has no labels.
        quantized_accuracy: None where the data has no labels.
        accuracy_delta: Quantized minus float, paired, in shares (0.01 is one point) or in the metric's unit.
        agreement: Share of samples with the same best class; None where outputs are not class scores.
        output_sqnr_db: Signal to quantization noise ratio of the model's output; None without evaluation data.
        latencies: Interleaved measurements.
        speedup: The fastest float median divided by the fastest quantized median.
        speedup_same_runtime: Runtime to float median divided by quantized median in that runtime.
        float_bytes: Size of the float state dict on disk.
        quantized_bytes: Size of the quantized state dict on disk.
        layers: Per-layer SQNR and latency.
        islands: Float work between int8 layers.
        notes: What the person should know.
    """

    recipe_hash: str
    backend: str
    threads: int
    batch_size: int
    float_accuracy: Accuracy | None
    quantized_accuracy: Accuracy | None
    accuracy_delta: Interval | None
    agreement: float | None
    output_sqnr_db: float | None
    latencies: tuple[Latency, ...]
    speedup: float
    speedup_same_runtime: dict[str, float]
    float_bytes: int
    quantized_bytes: int
    layers: tuple[LayerResult, ...]
    islands: tuple[Island, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def speedup_over_eager(self) -> float:
        """Float eager median divided by the fastest quantized median."""
        eager = self.latency("float", "eager") or self.best_latency("float")
        return eager.median_ms / self.best_latency("quantized").median_ms

    def latency(self, subject: str, runtime: str) -> Latency | None:
        """Return the measurement of a variant, None where it was not measured."""
        for latency in self.latencies:
            if latency.subject == subject and latency.runtime == runtime:
                return latency
        return None

    def best_latency(self, subject: str) -> Latency:
        """Return the fastest variant of `float` or `quantized`."""
        return min((x for x in self.latencies if x.subject == subject), key=lambda x: x.median_ms)


class BackendTiming(msgspec.Struct, frozen=True):
    """Latency of the quantized model on one engine, measured in turn with the others.

    Attributes:
        backend: The engine.
        runtime: The faster of `eager` and `torchscript`.
        median_ms: Median in milliseconds; None where it does not run there.
        sqnr_db: Ratio of its output against the float model in dB: engines differ in how they add.
        problem: Why it does not run there.
    """

    backend: str
    runtime: str
    median_ms: float | None
    sqnr_db: float | None = None
    problem: str = ""


class ExportResult(msgspec.Struct, frozen=True):
    """One exported file, loaded again in a fresh process.

    Attributes:
        format: A key of `core.formats`.
        path: Where it lies.
        size_bytes: Its size.
        verified: Whether the fresh process got the outputs of the model in the program.
        max_abs_diff: Greatest absolute difference of those outputs; None where it has no outputs.
        message: What the verification said.
        agreement: Share of the samples with the same most likely class; None where there are no classes.
        sqnr_db: Ratio of the outputs of the model in the program to the difference, in dB.
        latency_ms: Median time of one sample in the fresh process.
        threads: Threads that the fresh process used.
        samples: Evaluation samples that were compared.
        parting_layer: The first layer whose values differ, where the outputs do and it is known.
    """

    format: str
    path: str
    size_bytes: int
    verified: bool
    max_abs_diff: float | None
    message: str = ""
    agreement: float | None = None
    sqnr_db: float | None = None
    latency_ms: float | None = None
    threads: int = 1
    samples: int = 0
    parting_layer: str = ""

    @property
    def checked(self) -> str:
        """What the verification found, in a few words."""
        if not self.verified:
            return say("NOT verified: {message}", message=self.message)
        if self.sqnr_db is None or self.latency_ms is None:
            return say("verified")
        return say("verified, {sqnr_db:.1f} dB, {latency_ms:.2f} ms", sqnr_db=self.sqnr_db, latency_ms=self.latency_ms)


class DataDescription(msgspec.Struct, frozen=True):
    """What is known of opened data.

    Attributes:
        source: Data source.
        samples: Number of samples; 0 where it is not known.
        calibration: Number of calibration samples under the reference.
        evaluation: Number of evaluation samples.
        input_shapes: Shapes of the inputs of a batch of one.
        labelled: Whether the samples carry labels.
        classes: Class names where known.
        notes: What the person should know (random numbers, uneven classes).
    """

    source: str
    samples: int
    calibration: int
    evaluation: int
    input_shapes: tuple[tuple[int, ...], ...]
    labelled: bool
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class SampleDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one sample.

    Attributes:
        index: Index in the data set.
        label: Class index; None where it has none.
        class_name: Name of its class, empty where it is not known.
        file: Image file it was read from, empty where there is none.
        picture: PNG file that shows it, empty where it is no image.
        problem: Why it could not be read, empty where it could.
    """

    index: int
    label: int | None = None
    class_name: str = ""
    file: str = ""
    picture: str = ""
    problem: str = ""


class MachineDescription(msgspec.Struct, frozen=True):
    """What the engine's machine can do.

    Attributes:
        cpu: Name of the processor.
        cores: Number of physical cores.
        threads: Threads torch uses by default.
        backends: Supported quantized engines.
        default_backend: The engine to start with.
        reduce_range: Backend to whether activations must be limited to seven bits on this CPU.
        capability: Vector instruction set that torch uses.
        torch_version: Version of torch.
        devices: Devices on which layers can be trained.
        vnni: Whether the processor adds products of 8-bit integers in one instruction (AVX-512 VNNI).
        arm: Whether it is an ARM processor.
        runtimes: Runtimes that are installed beside torch, keys of `qgui.core.runtimes.RUNTIMES`.
        limits_memory: Whether the memory of the engine's process can be limited.
    """

    cpu: str
    cores: int
    threads: int
    backends: tuple[str, ...]
    default_backend: str
    reduce_range: dict[str, bool]
    capability: str
    torch_version: str
    devices: tuple[str, ...] = ("cpu",)
    vnni: bool = True
    arm: bool = False
    runtimes: tuple[str, ...] = ()
    limits_memory: bool = False
