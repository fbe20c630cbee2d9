"""Published figures and ours: speed-ups, intervals, staleness, and the file in which results are kept."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import benchmark_text, benchmarks, published
from qgui.core.benchmarks import AccuracyFigures, BenchmarkResult, LatencyFigures, RowState, TimedVariant
from qgui.core.errors import QguiError
from qgui.core.recipe import Mode
from qgui.core.results import Interval

VERSIONS = {"torch": "2.9.0"}
LATENCY = LatencyFigures(
    (
        TimedVariant("float eager", False, 100.0, 110.0, 5),
        TimedVariant("float fused, channels-last, TorchScript", False, 80.0, 85.0, 5),
        TimedVariant("int8 eager", True, 25.0, 30.0, 5),
        TimedVariant("int8 TorchScript", True, 20.0, 22.0, 5),
    ),
    "onednn",
    1,
)
ACCURACY = AccuracyFigures(
    0.7,
    0.69,
    Interval(0.7, 0.67, 0.73),
    Interval(0.69, 0.66, 0.72),
    Interval(-0.01, -0.02, 0.0),
    900,
    "static",
    "x86",
    20,
)


def result(key: str, **changes: object) -> BenchmarkResult:
    found = BenchmarkResult(key, "2026-01-02T03:04:05+00:00", "a processor", VERSIONS, 3.0)
    return msgspec.structs.replace(found, **changes)


def test_that_the_published_tables_hold_what_was_published() -> None:
    latency = {
        row.title: (row.float_value, row.int8_value, row.speedup, row.mode) for row in published.rows_of(["latency"])
    }
    assert latency == {
        "BERT": (581, 313, 1.8, Mode.DYNAMIC),
        "ResNet-50": (214, 103, 2.0, Mode.STATIC),
        "MobileNet-v2": (97, 17, 5.7, Mode.STATIC),
    }
    accuracy = {row.name: (row.float_value, row.int8_value) for row in published.rows_of(["accuracy"])}
    assert len(accuracy) == 8
    assert accuracy["shufflenet_v2_x1_0"] == (0.694, 0.684)
    assert accuracy["bert"] == (0.902, 0.895)
    assert published.row_of("accuracy/mobilenet_v2").mode is Mode.QAT
    assert published.row_of("latency/mobilenet_v2").device == "Samsung S9"


def test_that_a_published_speedup_is_the_ratio_of_its_times() -> None:
    for row in published.rows_of(["latency"]):
        assert row.speedup == pytest.approx(row.float_value / row.int8_value, abs=0.1)


def test_that_an_unknown_row_names_the_known_ones() -> None:
    with pytest.raises(
        QguiError, match=r"the latency table has no such row\. Choose from bert, resnet50, mobilenet_v2"
    ):
        published.rows_of(["latency"], ["vgg16"])
    with pytest.raises(QguiError, match="there is no row latency/vgg16"):
        published.row_of("latency/vgg16")


def test_that_the_speedup_is_told_against_eager_and_against_the_best_float() -> None:
    assert (LATENCY.speedup, LATENCY.speedup_over_best) == (5.0, 4.0)
    row = published.row_of("latency/resnet50")
    cells = benchmark_text.cells(row, result(row.key, latency=LATENCY))
    assert cells[:7] == ("ResNet-50", "static", "214 → 103", "2.0×", "100 → 20", "5.0×", "4.0×")
    (told, *_) = benchmark_text.remarks(row, result(row.key, latency=LATENCY), "")
    assert told.startswith("int8 TorchScript on onednn, 1 thread, batch 1; the best float here is fused, channels-last")
    assert told.endswith("with 80 ms.")


def test_that_accuracy_is_told_with_the_interval_of_the_difference() -> None:
    row = published.row_of("accuracy/resnet18")
    cells = benchmark_text.cells(row, result(row.key, accuracy=ACCURACY))
    assert cells[2:6] == ("69.8 → 69.4 %", "70.0 → 69.0 %", "−1.0 (−2.0 to +0.0)", "900")
    assert len(cells) == len(benchmark_text.HEADERS["accuracy"]) == len(benchmark_text.COLUMNS["accuracy"])
    assert benchmark_text.remarks(row, result(row.key, accuracy=ACCURACY), "torch was 1 and is 2")[:2] == [
        "Stale: torch was 1 and is 2.",
        "95 % interval: float 67.0 to 73.0 %, int8 66.0 to 72.0 %.",
    ]


@pytest.mark.parametrize("row", published.ROWS, ids=lambda row: row.key)
def test_that_a_row_that_was_not_run_has_as_many_cells_as_its_table(row: published.PublishedRow) -> None:
    assert len(benchmark_text.cells(row, None)) == len(benchmark_text.HEADERS[row.table])


def test_that_a_result_of_other_versions_or_another_processor_is_stale() -> None:
    kept = result("latency/bert")
    assert benchmarks.why_stale(kept, "a processor", VERSIONS) == ""
    assert benchmarks.why_stale(kept, "a processor", {"torch": "2.10.0"}) == "torch was 2.9.0 and is 2.10.0"
    assert "another processor (a processor)" in benchmarks.why_stale(kept, "b", VERSIONS)


def test_that_results_are_kept_one_for_each_row(tmp_path: Path) -> None:
    path = tmp_path / "new" / "benchmarks.json"
    assert benchmarks.load(path) == {}
    benchmarks.keep(path, [result("latency/bert", seconds=1.0), result("accuracy/bert")])
    benchmarks.keep(path, [result("latency/bert", seconds=2.0, latency=LATENCY)])
    kept = benchmarks.load(path)
    assert set(kept) == {"latency/bert", "accuracy/bert"}
    assert kept["latency/bert"] == result("latency/bert", seconds=2.0, latency=LATENCY)


def test_that_a_damaged_file_of_results_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    path.write_text("{nonsense")
    with pytest.raises(QguiError, match=r"Move .* away"):
        benchmarks.keep(path, [result("latency/bert")])
    assert path.read_text() == "{nonsense"


@given(st.integers(1, 50_000), st.floats(0, 1))
def test_that_the_interval_of_a_share_holds_the_share(samples: int, share: float) -> None:
    right = round(share * samples)
    found = benchmarks.share_interval(right, samples)
    assert 0.0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1.0


def test_that_the_interval_of_a_share_is_that_of_wilson() -> None:
    found = benchmarks.share_interval(81, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe, 1998, table I


def test_that_the_answer_of_the_command_line_says_what_is_missing_and_what_is_stale() -> None:
    row = published.row_of("latency/resnet50")
    states = {row.key: RowState(row.key, (benchmarks.Missing("images", "Choose a folder."),), "Measures.")}
    kept = {row.key: result(row.key, latency=LATENCY)}
    (entry,) = benchmark_text.answer([row], kept, states, "other", VERSIONS)["rows"]
    assert entry["missing"] == ["Choose a folder."]
    assert entry["stale"]
    assert (entry["speedup"], entry["speedup_over_best_float"]) == (5.0, 4.0)
    assert entry["published"]["speedup"] == 2.0
