"""Causes and ways out follow from what is known of layers, engine and processor."""

import msgspec
import pytest

from qgui.core import slowness
from qgui.core.layers import Family, Layer, ModelDescription
from qgui.core.recipe import Mode
from qgui.core.results import Comparison, Island, Latency, LayerResult, MachineDescription
from qgui.core.slowness import Cause, WayOut

MACHINE = MachineDescription(
    cpu="A processor",
    cores=2,
    threads=2,
    backends=("x86", "onednn", "fbgemm", "qnnpack"),
    default_backend="x86",
    reduce_range={},
    capability="AVX512",
    torch_version="2",
)
OLD = msgspec.structs.replace(MACHINE, vnni=False)


def convolution(name: str = "conv", groups: int = 144, kernel: int = 3, padding: int = 1, inner: int = 1) -> Layer:
    return Layer(
        name,
        "Conv2d",
        "module",
        node=name,
        weight_shape=(groups * inner, inner, kernel, kernel),
        convolution_groups=groups,
        stride=(2, 2) if inner == 1 else (1, 1),
        padding=(padding, padding),
        dilation=(1, 1),
    )


def result(name: str, before: float, after: float, mode: Mode = Mode.STATIC, kind: str = "Conv2d") -> LayerResult:
    return LayerResult(name, kind, mode, float_ms=before, quantized_ms=after)


def compared(layers: tuple[LayerResult, ...], backend: str = "x86", islands: tuple[Island, ...] = ()) -> Comparison:
    latencies = (Latency("float", "eager", 2.0, 2.0, 2.0, 3), Latency("quantized", "eager", 8.0, 8.0, 8.0, 3))
    return Comparison("hash", backend, 1, 1, None, None, None, None, None, latencies, 0.25, {}, 1, 1, layers, islands)


def model(*layers: Layer) -> ModelDescription:
    return ModelDescription("a:b", "b", Family.CNN, True, "", layers, (), 1, 4)


def cause(layer: Layer, backend: str = "x86", machine: MachineDescription = MACHINE, ms: float = 1.0) -> Cause:
    mode = Mode.DYNAMIC if layer.type == "LSTM" else Mode.STATIC
    return slowness.cause_of(layer, result(layer.name, ms, 4.0, mode, layer.type), backend, machine)[0]


@pytest.mark.parametrize(
    ("layer", "backend", "machine", "expected"),
    [
        (convolution(padding=0), "x86", MACHINE, Cause.DEPTHWISE),
        (convolution(padding=1), "x86", MACHINE, Cause.UNKNOWN),
        (convolution(kernel=7, padding=3), "x86", MACHINE, Cause.DEPTHWISE),
        (convolution(groups=150), "x86", MACHINE, Cause.DEPTHWISE),
        (convolution(groups=96, padding=0), "x86", MACHINE, Cause.UNKNOWN),
        (convolution(groups=96, padding=0), "x86", OLD, Cause.DEPTHWISE),
        (convolution(groups=96, padding=0), "fbgemm", MACHINE, Cause.DEPTHWISE),
        (convolution(padding=0), "onednn", MACHINE, Cause.UNKNOWN),
        (convolution(padding=0), "qnnpack", MACHINE, Cause.ENGINE),
        (convolution(groups=32, inner=32), "fbgemm", MACHINE, Cause.GROUPED),
        (convolution(groups=32, inner=8), "fbgemm", MACHINE, Cause.UNKNOWN),
        (Layer("fc", "Linear", "module", weight_shape=(8, 8)), "x86", OLD, Cause.NO_VNNI),
        (Layer("lstm", "LSTM", "module"), "x86", MACHINE, Cause.DYNAMIC),
        (Layer("relu6", "ReLU6", "module"), "x86", MACHINE, Cause.UNFOLDED_CLAMP),
        (Layer("mul", "mul", "function"), "x86", MACHINE, Cause.PLAIN_KERNEL),
    ],
)
def test_that_the_cause_follows_from_layer_engine_and_processor(
    layer: Layer, backend: str, machine: MachineDescription, expected: Cause
) -> None:
    assert cause(layer, backend, machine) is expected


def test_that_little_work_is_too_small_to_pay_and_offers_no_way_that_costs_more() -> None:
    tiny = Layer("add", "add", "function")
    assert cause(tiny, ms=0.02) is Cause.SMALL
    assert slowness.ways_out(Cause.SMALL, ["add"], "x86", MACHINE) == ()


def test_that_the_sentence_says_what_keeps_a_depthwise_convolution_off_the_fast_path() -> None:
    reasons = {
        padding: slowness.cause_of(convolution(padding=padding, kernel=5), result("conv", 1, 9), "x86", MACHINE)[1]
        for padding in (0, 1)
    }
    assert "padding 0x0, where the kernel needs 2x2" in reasons[0]
    assert "padding 1x1, where the kernel needs 2x2" in reasons[1]


def test_that_one_way_out_takes_all_layers_of_one_cause() -> None:
    layers = [convolution("a", padding=0), convolution("b", padding=0), convolution("c")]
    found = compared((result("a", 0.5, 20.0), result("b", 0.5, 9.0), result("c", 0.5, 0.2)))
    explained = slowness.explain(found, model(*layers), MACHINE)
    assert [entry.name for entry in explained.layers] == ["a", "b"]
    assert explained.ways == (WayOut("backend", backend="onednn"), WayOut("float", layers=("a", "b")))
    assert explained.ways[1].text == "Leave these 2 layers float"
    assert "2 of them are depthwise convolutions off the fast path" in explained.summary
    assert "int8 is 4.00 times slower than the best float in PyTorch" in explained.summary


def test_that_a_layer_right_after_one_off_the_fast_path_is_not_blamed_itself() -> None:
    layers = [convolution("slow", padding=0), Layer("next", "Conv2d", "module", weight_shape=(8, 8, 1, 1))]
    found = compared((result("slow", 0.5, 20.0), result("next", 0.2, 0.4)))
    after = slowness.explain(found, model(*layers), MACHINE).layers[1]
    assert after.cause is Cause.FOLLOWS
    assert "slow" in after.reason
    assert WayOut("float", layers=("slow",)) in after.ways


def test_that_only_layers_which_really_lose_time_in_int8_are_listed() -> None:
    layers = [convolution(name, padding=0) for name in ("faster", "alike", "left", "unmeasured")]
    rows = (
        result("faster", 1.0, 0.3),
        result("alike", 1.0, 1.05),
        result("left", 1.0, 3.0, Mode.FLOAT),
        LayerResult("unmeasured", "Conv2d", Mode.STATIC),
    )
    explained = slowness.explain(compared(rows), model(*layers), MACHINE)
    assert explained.layers == ()
    assert explained.ways == ()
    assert "No layer is slower" in explained.summary


@pytest.mark.parametrize(
    ("layer", "backend", "ways", "word"),
    [
        (Layer("act", "ReLU6", "module"), "x86", (WayOut("static", layers=("act",)),), "Left float"),
        (Layer("act", "GELU", "module"), "x86", (), "no int8 kernel for GELU"),
        (convolution("act", padding=0), "x86", (), "It pays"),
        (convolution("act", padding=0), "onednn", (WayOut("static", layers=("act",)),), "Left float"),
    ],
)
def test_that_an_island_is_closed_only_where_that_is_possible_and_pays(
    layer: Layer, backend: str, ways: tuple[WayOut, ...], word: str
) -> None:
    island = Island(("act",), 0.2, 0.5, 0.3)
    found = compared((result("act", 0.4, 0.5, Mode.FLOAT, layer.type),), backend, (island,))
    (explained,) = slowness.explain(found, model(layer), MACHINE).islands
    assert explained.ways == ways
    assert word in explained.reason
    assert explained.lost_ms == pytest.approx(0.6)


def test_that_a_layer_which_only_follows_is_not_left_float_with_those_of_unknown_cause() -> None:
    wide = {"weight_shape": (8, 8, 1, 1)}
    layers = [
        convolution("slow", padding=0),
        Layer("next", "Conv2d", "module", **wide),
        Layer("alone", "Conv2d", "module", **wide),
    ]
    rows = (result("slow", 0.5, 20.0), result("next", 0.2, 0.4), result("alone", 0.5, 0.9))
    explained = slowness.explain(compared(rows), model(*layers), MACHINE)
    assert WayOut("float", layers=("alone",)) in explained.ways
    assert not any("next" in way.layers for way in explained.ways)


def test_that_runtimes_which_are_installed_are_a_way_out() -> None:
    machine = msgspec.structs.replace(MACHINE, runtimes=("onnxruntime",))
    ways = slowness.ways_out(Cause.DEPTHWISE, ["conv"], "x86", machine)
    assert [way.text for way in ways] == ["Use the backend onednn", "Run it in ONNX Runtime", "Leave conv float"]
