"""`qgui bench`: both tables, what rows lack, results that are kept, and exit codes."""

from pathlib import Path

import pytest
from commands import Outcome, as_process

from qgui.cli import main
from qgui.core import benchmarks
from qgui.core.benchmarks import BenchmarkResult, LatencyFigures, TimedVariant


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def bench(capfd: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    code = main(["bench", *arguments])
    out, err = capfd.readouterr()
    return Outcome(code, out, err)


def test_that_the_published_tables_are_shown_without_running_anything(capfd: pytest.CaptureFixture[str]) -> None:
    found = bench(capfd, "--show")
    assert found.code == 0
    assert "581 → 313" in found.out
    assert "69.4 → 68.4 %" in found.out
    assert "BERT on Xeon D-2191, 1.6 GHz" in found.out
    assert "MobileNet-v2 on Samsung S9" in found.out
    assert (
        "let them be downloaded (98 MB), or choose the folder that holds resnet50-0676ba61.pth (--download or"
        in found.out
    )


def test_that_json_holds_both_tables_and_what_was_kept(capfd: pytest.CaptureFixture[str]) -> None:
    variants = (TimedVariant("float eager", False, 10.0, 11.0, 3), TimedVariant("int8 eager", True, 4.0, 5.0, 3))
    kept = BenchmarkResult(
        "latency/resnet50", "2026-01-02T03:04:05+00:00", "old", {"torch": "1"}, 1.0, LatencyFigures(variants, "x86", 1)
    )
    benchmarks.keep(benchmarks.results_file(), [kept])
    found = bench(capfd, "--show", "--json").json
    rows = {(row["table"], row["row"]): row for row in found["rows"]}
    assert len(rows) == 11
    row = rows["latency", "resnet50"]
    assert (row["published"]["speedup"], row["speedup"]) == (2.0, 2.5)
    assert "another processor (old)" in row["stale"]
    assert rows["accuracy", "bert"]["result"] is None
    assert rows["accuracy", "bert"]["missing"]
    assert found["source"]["url"].startswith("https://pytorch.org/")


def test_that_a_row_that_lacks_something_fails_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    found = bench(capfd, "accuracy", "resnet18")
    assert found.failure.startswith("qgui: Could not run ResNet-18 (accuracy): something is missing. Choose the folder")
    assert "(--images)" in found.failure
    assert bench(capfd, "accuracy").code == 1


def test_that_an_unknown_row_fails_and_an_unknown_table_is_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert "has no such row. Choose from bert, resnet50" in bench(capfd, "latency", "vgg16").failure
    with pytest.raises(SystemExit) as caught:
        main(["bench", "speed"])
    assert caught.value.code == 2
    capfd.readouterr()


@pytest.mark.slow
def test_that_a_latency_row_runs_and_is_kept() -> None:
    # The whole MobileNet-v2 on every engine of the machine, as a person would run it.
    found = as_process("bench", "latency", "mobilenet_v2", "--runs", "3", "--json").json
    (row,) = found["rows"]
    assert row["speedup"] > 1
    assert row["result"]["latency"]["threads"] == 1
    assert set(benchmarks.load(Path(found["kept_in"]))) == {"latency/mobilenet_v2"}
