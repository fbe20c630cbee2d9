"""The best float is the baseline, and a speed-up over a slow float is called so."""

import msgspec
import pytest

from qgui.core import runtimes
from qgui.core.results import Latency
from qgui.core.runtimes import RuntimeResult, RuntimeTable


def row(runtime: str, subject: str, median: float, backend: str = "", **more: int) -> RuntimeResult:
    latency = Latency(subject, runtime, median, median * 1.5, median * 0.9, 3)  # type: ignore[arg-type]
    return RuntimeResult(runtime, subject, backend, latency, **more)  # type: ignore[arg-type]


MISSING = RuntimeResult("openvino", "quantized", problem="OpenVINO is not installed. pip install openvino")
TABLE = RuntimeTable(
    "hash",
    1,
    1,
    runtimes.in_order(
        [
            row("eager", "float", 20.0),
            MISSING,
            row("onnxruntime", "float", 10.0),
            row("torchscript", "quantized", 8.0, "x86", peak_bytes=600, base_bytes=500),
            row("eager", "quantized", 16.0, "x86"),
            row("onnxruntime", "quantized", 4.0),
        ]
    ),
)


def test_that_the_fastest_stands_first_and_what_does_not_run_last() -> None:
    assert [entry.median_ms for entry in TABLE.rows] == [4.0, 8.0, 10.0, 16.0, 20.0, None]


def test_that_the_speed_up_is_best_int8_over_best_float_and_not_over_the_slow_one() -> None:
    assert TABLE.speedup == pytest.approx(2.5)
    assert runtimes.verdict(TABLE) == (
        "The best int8 (ONNX Runtime, 4.00 ms) is 2.50 times as fast as the best float (ONNX Runtime, 10.00 ms)."
    )


def test_that_a_speed_up_over_a_slow_float_is_labelled() -> None:
    eager = next(entry for entry in TABLE.rows if entry.name == "torch eager, x86")
    told = runtimes.slow_baseline(TABLE, eager)
    assert told == "1.25 times over torch eager, a slow float: 2.00 times the best one's time"
    best = next(entry for entry in TABLE.rows if entry.median_ms == 4.0)
    assert runtimes.slow_baseline(TABLE, best) == ""
    assert runtimes.slow_baseline(TABLE, MISSING) == ""


def test_that_int8_slower_than_float_is_told_as_slower() -> None:
    slower = msgspec.structs.replace(TABLE, rows=(row("eager", "float", 2.0), row("eager", "quantized", 9.0, "x86")))
    assert "4.50 times slower than the best float" in runtimes.verdict(slower)


def test_that_without_one_side_there_is_no_speed_up() -> None:
    alone = msgspec.structs.replace(TABLE, rows=(row("eager", "float", 2.0), MISSING))
    assert alone.speedup is None
    assert "no speed-up to tell" in runtimes.verdict(alone)


def test_that_a_missing_runtime_is_told_in_plain_words() -> None:
    assert "OpenVINO, int8: OpenVINO is not installed. pip install openvino" in runtimes.lines(TABLE)


def test_that_the_spread_is_that_of_the_middle_half_of_the_runs() -> None:
    latency = msgspec.structs.replace(TABLE.rows[0].latency, samples_ms=(1.0, 2.0, 3.0, 4.0, 100.0))
    assert runtimes.spread_of(latency) == pytest.approx(2.0)
    assert runtimes.spread_of(TABLE.rows[0].latency) is None


def test_that_memory_of_the_model_is_what_it_adds_to_the_runtime() -> None:
    assert TABLE.rows[1].model_bytes == 100
    assert TABLE.rows[0].model_bytes is None
