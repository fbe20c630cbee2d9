"""A small model as the engine would describe it, with statistics and results that fit."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from qgui.core import messages, published
from qgui.core.benchmarks import (
    AccuracyFigures,
    BenchmarkResult,
    BenchmarkSettings,
    LatencyFigures,
    Missing,
    RowState,
    TimedVariant,
)
from qgui.core.calibration import settings_of
from qgui.core.graphs import GraphFile, GraphKind
from qgui.core.layers import Family, Layer, ModelDescription, Tensor
from qgui.core.measured import MeasuredActivation, MeasuredActivations, MeasuredRatios
from qgui.core.recipe import Mode, Observer, ObserverKind, Recipe
from qgui.core.results import (
    Accuracy,
    Comparison,
    DataDescription,
    ExportResult,
    Interval,
    Latency,
    LayerResult,
    MachineDescription,
    QuantizeResult,
    SampleDescription,
)
from qgui.core.runtimes import RuntimeResult, RuntimeTable
from qgui.core.statistics import BINS, CalibrationRecord, ExtremeSample, TensorStatistics
from qgui.core.training import Steering, Training, resolved
from qgui.core.training_run import (
    CHECKPOINT_VERSION,
    Checkpoint,
    ConversionCheck,
    EpochRecord,
    References,
    StepPoint,
    TrainingEstimate,
    TrainingOutcome,
    TrainingUpdate,
    run_key,
    training_key,
)

MACHINE = MachineDescription(
    cpu="A processor",
    cores=2,
    threads=2,
    backends=("x86", "onednn", "qnnpack"),
    default_backend="x86",
    reduce_range={"x86": False, "onednn": False, "qnnpack": False},
    capability="AVX2",
    torch_version="2.14.1",
)

LAYERS = (
    Layer("x", "input", "input", node="x", tensor="x", output_shape=(1, 3, 32, 32)),
    Layer(
        "stem.conv", "Conv2d", "module", node="stem_conv", tensor="stem_conv", parameters=432,
        weight_shape=(16, 3, 3, 3), output_shape=(1, 16, 32, 32), macs=442_368, fusion="Conv2d + BatchNorm2d",
        equalizable=(("stem.conv", "head"),),
    ),
    Layer("stem.bn", "BatchNorm2d", "module", node="stem_bn", parameters=32, group="stem.conv"),
    Layer("stem.act", "ReLU6", "module", node="stem_act", tensor="stem_act", output_shape=(1, 16, 32, 32)),
    Layer("pool", "MaxPool2d", "module", node="pool", tensor="pool", output_shape=(1, 16, 16, 16)),
    Layer("rnn", "LSTM", "module", node="rnn", tensor="rnn", parameters=4096, weight_shape=(64, 16)),
    Layer("up", "ConvTranspose2d", "module", node="up", tensor="up", parameters=1024, weight_shape=(16, 16, 2, 2)),
    Layer("block.0.add", "add", "function", node="add", tensor="add", output_shape=(1, 16, 16, 16)),
    Layer("weird", "Weird", "module", node="weird", tensor="", leaf_reason="control flow in forward", parameters=80),
    Layer("weird.fc", "Linear", "inside", parameters=80, weight_shape=(8, 10), inside="weird"),
    Layer("gate", "Sigmoid", "module", node="gate", tensor="gate"),
    Layer("head", "Linear", "module", node="head", tensor="head", parameters=170, weight_shape=(10, 16),
        equalizable=(("stem.conv", "head"),)),
)  # fmt: skip

TENSORS = (
    Tensor("x", "x", owner="x", sources=("x",)),
    Tensor(
        "stem_conv", "stem.conv", owner="stem_conv", sources=("stem_conv",), clamp=(0.0, 6.0),
        clamp_readers=("stem.act",),
    ),
    Tensor("stem_act", "stem.act", owner="stem_act", sources=("stem_act",)),
    Tensor("pool", "pool", owner="stem_act", sources=("stem_act",)),
    Tensor("rnn", "rnn", owner="rnn", sources=("rnn",)),
    Tensor("up", "up", owner="up", sources=("up",)),
    Tensor("add", "block.0.add", owner="add", sources=("add",)),
    Tensor("gate", "gate", owner="gate", sources=("gate",), fixed=(1.0 / 256, 0)),
    Tensor("head", "head", owner="head", sources=("head",)),
)  # fmt: skip


def model(source: str = "example:digits-cnn") -> ModelDescription:
    return ModelDescription(
        source=source,
        title=source.rpartition(":")[2],
        family=Family.CNN,
        traced=True,
        trace_note="",
        layers=LAYERS,
        tensors=TENSORS,
        parameters=5_800,
        size_bytes=23_200,
    )


def large_model(count: int) -> ModelDescription:
    """A model of blocks with eight layers each."""
    layers = [
        Layer(
            f"stage{i // 80}.{i % 80 // 8}.conv{i % 8}", "Conv2d", "module", node=f"n{i}", tensor=f"n{i}",
            parameters=1000 + i, weight_shape=(16, 16, 3, 3), output_shape=(1, 16, 32, 32), macs=1000 * i,
        )
        for i in range(count)
    ]  # fmt: skip
    tensors = tuple(Tensor(f"n{i}", layers[i].name, owner=f"n{i}", sources=(f"n{i}",)) for i in range(count))
    return ModelDescription("example:large", "large", Family.CNN, True, "", tuple(layers), tensors, 1, 4)


def statistics(seed: int) -> TensorStatistics:
    values = np.random.default_rng(seed).normal(0.5, 2.0, 20_000)
    counts, edges = np.histogram(values, BINS)
    batches = values.reshape(20, -1)
    return TensorStatistics(
        counts=counts.astype(np.float64),
        low=float(edges[0]),
        high=float(edges[-1]),
        batch_min=batches.min(axis=1).astype(np.float32),
        batch_max=batches.max(axis=1).astype(np.float32),
        elements=values.size,
        total=float(values.sum()),
        energy=float((values**2).sum()),
        zeros=0.1,
        lowest=(ExtremeSample(3, -8.0),),
        highest=(ExtremeSample(17, 9.0), ExtremeSample(4, 8.5)),
    )


def record(description: ModelDescription | None = None, recipe: Recipe | None = None) -> CalibrationRecord:
    names = [tensor.name for tensor in (description or model()).tensors]
    settings = settings_of(recipe or Recipe(), LAYERS)
    samples = tuple(sample for sample in range(20) if sample not in settings.excluded)
    tensors = {name: statistics(place) for place, name in enumerate(names)}
    return CalibrationRecord(tensors, samples, 20, "m", "example:digits", settings)


def data() -> DataDescription:
    return DataDescription("example:digits", 1797, 100, 1697, ((1, 3, 32, 32),), True, tuple("0123456789"))


def layer_results(recipe: Recipe, measured: bool) -> tuple[LayerResult, ...]:
    return tuple(
        LayerResult(
            layer.name,
            layer.type,
            recipe.rule(layer.name).mode,
            scale=0.05 if recipe.rule(layer.name).mode is Mode.STATIC else None,
            zero_point=12 if recipe.rule(layer.name).mode is Mode.STATIC else None,
            sqnr_db=8.0 + 3 * place if measured else None,
            float_ms=0.5 + 0.1 * place if measured else None,
            quantized_ms=(2.0 if layer.name == "up" else 0.2) if measured else None,
        )
        for place, layer in enumerate(LAYERS)
        if layer.head
    )


def graph(kind: GraphKind, path: Path) -> GraphFile:
    """Write a graph in which `stem.bn` has no node, as it is fused, and `weird` computes with two."""
    import onnx
    from onnx import TensorProto, helper

    names = ["stem.conv", "stem.act/Clip", "pool", "rnn", "up", "block.0.add", "weird/Mul", "weird/Add", "gate", "head"]
    if kind == "quantized":
        names.insert(0, "x/quantize")
    values = ["x", *(f"{name}/out" for name in names[:-1]), "output"]
    kinds = {"stem.conv": "Conv", "stem.act/Clip": "Clip", "head": "Gemm", "x/quantize": "QuantizeLinear"}
    nodes = [
        helper.make_node(kinds.get(name, "Relu"), [values[place]], [values[place + 1]], name=name)
        for place, name in enumerate(names)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "output")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "qgui", ends[:1], ends[1:])), path)
    return GraphFile(kind, str(path), len(nodes), 1_696)


def result(recipe: Recipe) -> QuantizeResult:
    return QuantizeResult(
        recipe.digest(), recipe.backend, layer_results(recipe, measured=False), (), 23_200, 6_100, 2, 0.4
    )


def measured(recipe: Recipe) -> MeasuredActivations:
    """The input as predicted, the first convolution worse by what it inherits, the last layer worse by itself."""
    rows = (
        MeasuredRatios("x", "x", 0.05, 100, 256, 40.0, 40.3),
        MeasuredRatios("stem.conv", "stem_conv", 0.05, 100, 256, 34.0, 41.0, 35.0, 3, 9),
        MeasuredRatios("head", "head", 0.05, 100, 256, 30.0, 38.0, 60.0),
    )
    levels = np.arange(256)
    counts = np.round(4000 * np.exp(-(((levels - 110) / 40.0) ** 2)))
    layers = {ratios.layer: MeasuredActivation(ratios, counts, counts + 1) for ratios in rows}
    return MeasuredActivations(recipe.digest(), 16, layers)


def samples(indices: Iterable[int], folder: Path) -> tuple[SampleDescription, ...]:
    """Samples of class index modulo ten; odd ones are images, number 3 cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index in indices:
        picture = folder / f"sample-{index}.png"
        if index % 2 and index != 3:
            # The scripted worker, which every test of a window starts, needs Qt for nothing else.
            from PySide6.QtGui import QImage

            image = QImage(8, 8, QImage.Format.Format_Grayscale8)
            image.fill(40 + index)
            image.save(str(picture))
        found.append(
            SampleDescription(
                index,
                None if index == 3 else index % 10,
                "" if index == 3 else f"class {index % 10}",
                picture=str(picture) if index % 2 and index != 3 else "",
                problem="it is gone" if index == 3 else "",
            )
        )
    return tuple(found)


def comparison(recipe: Recipe) -> Comparison:
    def latency(subject: str, runtime: str, median: float) -> Latency:
        samples = tuple(median * (1 + 0.01 * i) for i in range(-5, 20))
        return Latency(subject, runtime, median, median * 1.2, median * 0.95, 25, samples)  # type: ignore[arg-type]

    return Comparison(
        recipe_hash=recipe.digest(),
        backend=recipe.backend,
        threads=1,
        batch_size=1,
        float_accuracy=Accuracy(1697, top1=0.985, top5=0.999),
        quantized_accuracy=Accuracy(1697, top1=0.98, top5=0.999),
        accuracy_delta=Interval(-0.005, -0.009, -0.001),
        agreement=0.99,
        output_sqnr_db=24.2,
        latencies=(
            latency("float", "eager", 4.0),
            latency("float", "torchscript", 3.0),
            latency("quantized", "eager", 1.6),
            latency("quantized", "torchscript", 0.9),
        ),
        speedup=3.33,
        speedup_same_runtime={"eager": 2.5, "torchscript": 3.33},
        float_bytes=23_200,
        quantized_bytes=6_100,
        layers=layer_results(recipe, measured=True),
        notes=("Measured by hand.",),
    )


def runtime_table(recipe: Recipe) -> RuntimeTable:
    def row(runtime: str, subject: str, median: float, backend: str = "", **more: int) -> RuntimeResult:
        samples = tuple(median * (1 + 0.01 * i) for i in range(-5, 20))
        latency = Latency(subject, runtime, median, median * 1.2, median * 0.95, 25, samples)  # type: ignore[arg-type]
        return RuntimeResult(runtime, subject, backend, latency, sqnr_db=24.0, **more)  # type: ignore[arg-type]

    rows = (
        row("onnxruntime", "quantized", 0.5, peak_bytes=80_000_000, base_bytes=50_000_000, file_bytes=6_000),
        row("onnxruntime", "float", 1.0, peak_bytes=90_000_000, base_bytes=50_000_000, file_bytes=23_000),
        row("eager", "quantized", 1.6, recipe.backend),
        row("eager", "float", 4.0),
        RuntimeResult("openvino", "quantized", problem="OpenVINO is not installed. pip install openvino"),
    )
    return RuntimeTable(recipe.digest(), 1, 1, rows)


def fixed_range(low: float, high: float) -> Observer:
    return Observer(ObserverKind.FIXED, low=low, high=high)


REFERENCES = References("accuracy", 20, 0.98, 0.9, 17.0)
RECORDS = (EpochRecord(0, 0, 0.4, 0.4, 0.9, 17.0), EpochRecord(1, 4, 0.3, 0.25, 0.95, 19.0, 1.5, 10**9))


def in_numbers(recipe: Recipe) -> Training:
    return resolved(recipe.training, 80, True)


def points(first: int) -> tuple[StepPoint, ...]:
    return tuple(StepPoint(step, 1.0 / step, 2.0 / step, 1e-3, 0.9) for step in range(first, first + 4))


def training_update(
    recipe: Recipe, paused: bool = False, resumed: bool = False, settings: Training | None = None
) -> TrainingUpdate:
    first = settings is None
    numbers = in_numbers(recipe)
    if settings is not None:
        numbers = resolved(settings, 80, True)
    return TrainingUpdate(
        step=4, total=40, epoch=1, epochs=numbers.epochs, settings=numbers, references=REFERENCES if first else None,
        points=points(1) if first else (), records=RECORDS if first else (), ranges={"stem_conv": (0.0, 5.5)},
        best=1, paused=paused, seconds_left=65.0,
    )  # fmt: skip


def trained(job: int, recipe: Recipe, steering: tuple[Steering, ...] = ()) -> messages.Trained:
    steered = msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, steering=steering))
    check = ConversionCheck(20, "accuracy", 0.95, 0.95, 1.0, 60.0, causes=("stem.conv: 21.0 dB. Saturation.",))
    numbers = msgspec.structs.replace(in_numbers(recipe), steering=steering)
    outcome = TrainingOutcome(
        training_key(steered), numbers, REFERENCES, RECORDS, 1, 4, 80, 2.0, complete=True, check=check
    )
    return messages.Trained(job=job, outcome=outcome, result=result(steered))


def checkpoint(recipe: Recipe) -> Checkpoint:
    return Checkpoint(
        CHECKPOINT_VERSION, run_key(recipe), recipe, "0" * 16, in_numbers(recipe), REFERENCES, RECORDS, points(1),
        epoch=1, step=4, best=1, state="epoch-00001.safetensors", best_state="best-00001.safetensors", samples=80,
        seconds=2.0, saved="2026-11-24T12:00:00+00:00",
    )  # fmt: skip


def estimate(recipe: Recipe) -> TrainingEstimate:
    return TrainingEstimate(in_numbers(recipe), 80, 20, 40, 0.5, 250.0)


def exports(path: Path) -> tuple[ExportResult, ...]:
    """Return one export that computes the same and one that does not."""
    told = "The fresh process computes other outputs. The first layer where they part: head."
    return (
        ExportResult("torchscript", str(path), 4, True, 0.0, "", 1.0, 200.0, 0.8, samples=8),
        ExportResult("onnx", str(path.with_name("model.onnx")), 4, False, 3.1, told, 0.5, 3.2, 0.4, samples=8),
    )


def benchmark_states(settings: BenchmarkSettings) -> tuple[RowState, ...]:
    """Latency rows can be run; accuracy rows once there are images and the person agreed to download weights."""
    images = () if settings.images else (Missing("images", "Choose the folder of images."),)
    weights = () if settings.download else (Missing("weights", "Let the weights be downloaded (98 MB)."),)
    return tuple(
        RowState(row.key, () if row.table == "latency" else (*images, *weights), "Does it.") for row in published.ROWS
    )


def benchmark_result(key: str) -> BenchmarkResult:
    """Int8 five times faster than float eager and four times than the best float; accuracy a point lower."""
    latency = LatencyFigures(
        (
            TimedVariant("float eager", False, 100.0, 110.0, 5),
            TimedVariant("float TorchScript", False, 80.0, 85.0, 5),
            TimedVariant("int8 eager", True, 20.0, 22.0, 5),
        ),
        "onednn",
        1,
    )
    span = Interval(0.7, 0.67, 0.73)
    accuracy = AccuracyFigures(0.7, 0.69, span, span, Interval(-0.01, -0.02, 0.0), 900, "static", "x86", 20.0)
    timed = key.startswith("latency")
    return BenchmarkResult(
        key,
        "2026-01-02T03:04:05+00:00",
        "a processor",
        {"torch": "2.9"},
        3.0,
        latency if timed else None,
        None if timed else accuracy,
        ("A note.",),
    )
