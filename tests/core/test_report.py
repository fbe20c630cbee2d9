"""The report: one page, whole in itself, escaped, accessible, and small."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from qgui.core import advice
from qgui.core.fitting import fitted
from qgui.core.layers import Family, Layer, ModelDescription, Tensor
from qgui.core.patterns import parsed
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import Mode, Recipe
from qgui.core.report import plots
from qgui.core.report.content import Picture, ReportContent, dated
from qgui.core.report.drawing import Drawing, ticks
from qgui.core.report.histograms import downsampled, histograms
from qgui.core.report.page import html
from qgui.core.results import (
    Accuracy,
    Comparison,
    DataDescription,
    ExportResult,
    Interval,
    Latency,
    LayerResult,
    MachineDescription,
    StepEffect,
)
from qgui.core.runtimes import RuntimeResult, RuntimeTable
from qgui.core.slowness import Cause, Explanation, SlowLayer, WayOut
from qgui.core.statistics import BINS, CalibrationRecord, TensorStatistics
from qgui.core.training import Training
from qgui.core.training_run import EpochRecord, References, TrainingOutcome

EVIL = "<script>alert('x')</script>&\"'"
VOID = {"meta", "br", "wbr", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def model(count: int = 3, name: str = "conv") -> ModelDescription:
    layers = tuple(
        Layer(f"{name}.{i}", "Conv2d", "module", node=f"n{i}", tensor=f"n{i}", weight_shape=(8, 4, 3, 3), parameters=9)
        for i in range(count)
    )
    tensors = tuple(Tensor(f"n{i}", f"{name}.{i}", owner=f"n{i}", sources=(f"n{i}",)) for i in range(count))
    return ModelDescription("here.py:net", "net", Family.CNN, True, "", layers, tensors, 1234567, 8)


def statistics(seed: int) -> TensorStatistics:
    values = np.random.default_rng(seed).normal(size=20_000)
    counts, edges = np.histogram(values, BINS)
    extremes = np.array([values.min()], np.float32), np.array([values.max()], np.float32)
    energy = float(np.square(values).sum())
    return TensorStatistics(
        counts.astype(float),
        float(edges[0]),
        float(edges[-1]),
        *extremes,
        values.size,
        float(values.sum()),
        energy,
        0.0,
    )


def content(described: ModelDescription, **more: object) -> ReportContent:
    rules = advice.advised_rules(described, Mode.STATIC, "x86")
    recipe = Recipe(rules=rules, own=frozenset(), patterns=(parsed("*.1=float"), parsed("Conv2d=observer=minmax")))
    record = CalibrationRecord({t.name: statistics(i) for i, t in enumerate(described.tensors)}, (1, 2), 1, "", "d")
    start = ReportContent(described, fitted(recipe, described.layers).recipe, dated(), "1.2", ranges=None)
    fields = {name: getattr(start, name) for name in ReportContent.__dataclass_fields__}
    return ReportContent(**{**fields, "ranges": ActivationRanges(described, record), **more})


def comparison(described: ModelDescription) -> Comparison:
    layers = tuple(
        LayerResult(
            layer.name, layer.type, Mode.STATIC, 0.05, 12, "per-channel", observer="mse", sqnr_db=20.0 + place,
            float_ms=0.5, quantized_ms=0.2, effects=(StepEffect("adaround", 20.0, 25.0),),
        )
        for place, layer in enumerate(described.layers)
    )  # fmt: skip
    latencies = (
        Latency("float", "eager", 4.0, 5.0, 3.5, 30),
        Latency("quantized", "torchscript", 1.0, 1.5, 0.9, 30),
    )
    return Comparison(
        "0" * 16, "x86", 1, 1, Accuracy(100, 0.9), Accuracy(100, 0.88), Interval(-0.02, -0.05, 0.01), 0.97, 24.0,
        latencies, 4.0, {}, 4_000_000, 1_000_000, layers,
    )  # fmt: skip


MACHINE = MachineDescription("A CPU", 2, 2, ("x86",), "x86", {"x86": False}, "AVX512", "2.9")
DATA = DataDescription("folder:photos", 500, 100, 400, ((3, 8, 8),), True)
TRAINING = TrainingOutcome(
    "k", Training(), References("accuracy", 20, 0.98, 0.9),
    (EpochRecord(0, 0, 0.4, 0.4, 0.9, 17.0), EpochRecord(1, 4, 0.3, 0.25, 0.95, 19.0)), 1, 4, 80, 2.0, True,
)  # fmt: skip


def whole(described: ModelDescription, **more: object) -> str:
    exports = (
        ExportResult("torchscript", "/out/model.pt", 2_000_000, True, 0.0, "Same outputs in a fresh process."),
        ExportResult("onnx", "/out/model.onnx", 9, True, 0.1, "Same outputs.", 0.985, 41.3, 1.27, samples=64),
        ExportResult("script", "/out/script", 2_000_000, False, 0.5, "The fresh process computes other outputs."),
    )
    known = {"comparison": comparison(described), "data": DATA, "machine": MACHINE, "exports": exports}
    return html(content(described, **{**known, "training": TRAINING, **more}))


def test_the_report_tells_everything_that_is_known() -> None:
    page = whole(model())
    for told in (
        "1,234,567 parameters", "folder:photos", "A CPU", "88.00 %", "4.00 times", "✓ verified", "✗ not verified",
        "The fresh process computes other outputs.", "98.5", "41.3", "1.27",
        "*.1", "observer=minmax", "AdaRound", "state after epoch 1",
    ):  # fmt: skip
        assert told in page, told
    assert page.count('class="histogram"') == 2


def test_the_report_tells_runtimes_and_why_it_is_not_faster() -> None:
    fast = Latency("quantized", "onnxruntime", 2.5, 2.75, 2.0, 9)
    slow = Latency("float", "eager", 10.0, 11.0, 9.0, 9)
    rows = (
        RuntimeResult("onnxruntime", "quantized", "", fast, 90_000_000, 50_000_000, 1_000_000, 41.5),
        RuntimeResult("eager", "float", "", slow),
        RuntimeResult("openvino", "float", problem="OpenVINO is not installed."),
    )
    ways = (WayOut("backend", "onednn"),)
    found = (SlowLayer("*.1", "Conv2d", 0.2, 4.1, next(iter(Cause)), "It goes channel by channel.", ways),)
    explanation = Explanation("int8 is slower.", found, (), ways)
    table = RuntimeTable("hash", 1, 1, rows, ("A note.",))
    page = whole(model(), explanation=explanation, runtimes=table)
    for told in (
        "ONNX Runtime", "2.50", "4.00", "90.00", "41.5", "OpenVINO is not installed.", "A note.", "int8 is slower.",
        "It goes channel by channel.", "Ways out: Use the backend onednn.",
    ):  # fmt: skip
        assert told in page, told


def test_the_report_loads_nothing_from_anywhere() -> None:
    reader = read(whole(model(), pictures=(Picture("start", "data:image/png;base64,AAAA"),)))
    assert not {"link", "script", "iframe", "object"} & {tag for tag, _ in reader.elements}
    addresses = [
        value for _, attributes in reader.elements for key, value in attributes.items() if key in {"src", "href"}
    ]
    assert addresses
    assert all(value is not None and value.startswith(("#", "data:")) for value in addresses)
    assert not re.search(r"url\(|@import|https?://", whole(model()))


def test_names_of_the_person_are_never_markup() -> None:
    described = msgspec.structs.replace(model(name=EVIL), title=EVIL, source=EVIL, notes=(EVIL,))
    page = whole(described, stale=EVIL, pictures=(Picture(EVIL, "data:image/png;base64,AAAA"),))
    read(page)
    assert "<script" not in page
    assert "alert(" in page


def test_the_report_can_be_heard_and_walked_by_headings() -> None:
    reader = read(whole(model()))
    assert reader.all("html")[0]["lang"] == "en"
    assert len(reader.all("h1")) == 1
    assert all(cell.get("scope") in {"col", "row"} for cell in reader.all("th"))
    drawings = reader.all("svg")
    assert len(drawings) == 5
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)
    identifiers = {attributes["id"] for _, attributes in reader.elements if "id" in attributes}
    links = {str(link["href"]).removeprefix("#") for link in reader.all("a")}
    assert links <= identifiers


def test_the_report_follows_dark_browsers_and_is_light_on_paper() -> None:
    page = whole(model())
    dark, paper = page.index("prefers-color-scheme: dark"), page.index("@media print")
    assert dark < paper
    assert "size: A4" in page
    assert "table-header-group" in page


def test_what_was_not_done_is_said() -> None:
    page = html(content(model(), ranges=None))
    read(page)
    for told in ("Nothing was measured yet.", "Nothing was exported.", "There are no statistics"):
        assert told in page
    assert 'id="training"' not in page


def test_a_report_of_stale_numbers_says_so() -> None:
    assert "The decisions have changed since." in whole(model(), stale="The decisions have changed since.")


def test_a_report_of_two_hundred_layers_stays_under_a_megabyte() -> None:
    described = model(200, "layer4.block.with.a.long.path.conv")
    page = whole(described)
    assert page.count('class="histogram"') > 190
    assert len(page.encode()) < 1_000_000


def test_histograms_show_the_chosen_range_of_int8_activations_only() -> None:
    told = content(model())
    assert told.ranges is not None
    found = list(histograms(told.ranges, told.recipe))
    assert [histogram.layer for histogram in found] == ["conv.0", "conv.2"]
    chosen = told.ranges.chosen("n0", told.recipe)
    assert found[0].low == float(chosen.low[0])
    assert found[0].scale == float(chosen.scale[0])
    assert not found[0].trained


@pytest.mark.parametrize("bins", [64, 100, 2048])
def test_fewer_bins_keep_every_value_and_show_single_ones(bins: int) -> None:
    counts = np.zeros(bins)
    counts[0], counts[-1] = 1.0, 1e6
    heights = downsampled(counts)
    assert heights.shape == (64,)
    assert heights[-1] == 1.0
    assert 0.05 < heights[0] < 0.5
    assert not heights[1:-1].any()


def test_a_histogram_without_values_is_flat() -> None:
    assert not downsampled(np.zeros(128)).any()


def test_the_worst_layers_stand_out_and_exact_ones_are_left_out() -> None:
    described = model(5)
    layers = [
        *comparison(described).layers[:4],
        msgspec.structs.replace(comparison(described).layers[4], sqnr_db=400.0),
    ]
    drawing = plots.sqnr_bars(layers)
    assert drawing is not None
    assert drawing.count("<rect") == 4
    assert "lowest: conv.0 20.0 dB" in drawing
    assert plots.sqnr_bars([]) is None


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 10.0) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert ticks(3.0, 3.0) == [3.0]
    assert all(-0.013 <= tick <= 0.0271 for tick in ticks(-0.013, 0.0271))


def test_texts_in_drawings_are_escaped() -> None:
    drawing = Drawing(10, 10, EVIL, "plot")
    drawing.text(0, 0, EVIL)
    drawing.dot(0, 0, 1, "dot", EVIL)
    assert "<script" not in drawing.markup()
