"""The worker as the window meets it: a process that answers commands over its pipes."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from worker_process import Worker

from qgui.core import advice, measured, messages, statistics
from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe

DIGITS = DataReference("example:digits", calibrate=48, evaluate=48)
CNN = ModelReference("example:digits-cnn")


def opened(worker: Worker) -> Recipe:
    """Open the example and return its advised recipe."""
    model = worker.do(messages.OpenModel, model=CNN)
    assert isinstance(model, messages.ModelOpened), model
    data = worker.do(messages.OpenData, data=DIGITS)
    assert isinstance(data, messages.DataOpened), data
    assert data.model is not None
    return Recipe(model=CNN, data=DIGITS, backend="x86", rules=advice.advised_rules(data.model, Mode.STATIC, "x86"))


def test_a_job_from_opening_to_comparing(worker: Worker, tmp_path: Path) -> None:
    recipe = opened(worker)
    calibrated = worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"))
    assert isinstance(calibrated, messages.Calibrated), calibrated
    assert calibrated.samples == 48
    assert len(statistics.load(tmp_path / "s.npz").tensors) > 20
    steps = [(p.done, p.total) for p in worker.progress if p.phase == "Calibrating"]
    assert steps[0] == (0, 48)
    assert steps[-1] == (48, 48)
    assert steps == sorted(steps)

    quantized = worker.do(messages.Quantize, recipe=recipe)
    assert isinstance(quantized, messages.Quantized), quantized
    assert quantized.result.recipe_hash == recipe.digest()
    assert {layer.mode for layer in quantized.result.layers if layer.type == "Conv2d"} == {Mode.STATIC}

    produced = worker.do(messages.MeasureActivations, path=str(tmp_path / "m.npz"), samples=4)
    assert isinstance(produced, messages.ActivationsMeasured), produced
    found = measured.load(tmp_path / "m.npz")
    assert found.recipe_hash == recipe.digest()
    assert found.samples == 4
    assert len(found.layers) > 20

    compared = worker.do(messages.Compare, threads=1, batch_size=1, runs=2)
    assert isinstance(compared, messages.Compared), compared
    assert compared.comparison.float_accuracy is not None
    assert compared.comparison.float_accuracy.top1 > 0.9  # type: ignore[operator]
    assert compared.comparison.output_sqnr_db > 15.0  # type: ignore[operator]
    assert {p.phase for p in worker.progress} >= {"Evaluating", "Measuring latency", "Measuring layers"}


def test_weights_are_written_as_arrays(worker: Worker, tmp_path: Path) -> None:
    opened(worker)
    path = tmp_path / "w.npz"
    written = worker.do(messages.WeightRanges, layer="stem.0", path=str(path))
    assert isinstance(written, messages.WeightRangesWritten), written
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["per-channel/minmax/scale"].shape == (24,)


def test_samples_are_shown(worker: Worker, tmp_path: Path) -> None:
    opened(worker)
    shown = worker.do(messages.ShowSamples, samples=(400, 401), folder=str(tmp_path / "samples"))
    assert isinstance(shown, messages.SamplesShown), shown
    assert [sample.index for sample in shown.samples] == [400, 401]
    assert all(sample.class_name == str(sample.label) for sample in shown.samples)
    assert all(Path(sample.picture).is_file() for sample in shown.samples)


def test_engines_are_measured(worker: Worker, tmp_path: Path) -> None:
    recipe = opened(worker)
    worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"))
    measured = worker.do(messages.MeasureBackends, recipe=recipe)
    assert isinstance(measured, messages.BackendsMeasured), measured
    supported = {name for name in torch.backends.quantized.supported_engines if name != "none"}
    assert {timing.backend for timing in measured.timings} == supported
    assert not any(timing.problem for timing in measured.timings)


def test_a_recipe_is_exported(worker: Worker, tmp_path: Path) -> None:
    recipe = opened(worker)
    worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"))
    worker.do(messages.Quantize, recipe=recipe)
    exported = worker.do(messages.Export, folder=str(tmp_path / "out"), formats=("recipe",))
    assert isinstance(exported, messages.Exported), exported
    (result,) = exported.exports
    assert result.verified
    assert (tmp_path / "out" / "recipe.json").is_file()


@pytest.mark.parametrize(
    ("make", "arguments", "why"),
    [
        (messages.OpenModel, {"model": ModelReference("nowhere.pt")}, "there is no file"),
        (messages.OpenData, {"data": DataReference("folder:nowhere")}, "there is no folder"),
        (messages.OpenData, {"data": DataReference("random:1x3x7", calibrate=2)}, "forward raised"),
        (messages.UseStatistics, {"path": "nowhere.npz"}, "nowhere.npz"),
        (messages.Calibrate, {"path": f"{__file__}/s.npz"}, "Could not write"),
        (messages.WeightRanges, {"layer": "relu", "path": "w.npz"}, "relu"),
        (messages.Export, {"folder": "out", "formats": ("floppy",)}, "floppy"),
    ],
)
def test_a_failing_job_is_told_and_leaves_the_state_usable(
    make: type[messages.Command], arguments: dict[str, object], why: str, worker: Worker, tmp_path: Path
) -> None:
    recipe = opened(worker)
    worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"))
    failed = worker.do(make, **arguments)
    assert isinstance(failed, messages.Failed), failed
    assert why in f"{failed.what} {failed.why}"
    assert not failed.needs_trust
    quantized = worker.do(messages.Quantize, recipe=recipe)
    assert isinstance(quantized, messages.Quantized), quantized


def test_a_file_that_holds_code_asks_for_trust(worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2)), path)
    failed = worker.do(messages.OpenModel, model=ModelReference(str(path)))
    assert isinstance(failed, messages.Failed), failed
    assert failed.needs_trust
    again = worker.do(messages.OpenModel, model=ModelReference(str(path)), trust=True)
    assert isinstance(again, messages.ModelOpened), again


def test_what_a_library_prints_goes_to_the_log_and_not_into_the_stream(worker: Worker, long_data: str) -> None:
    opened(worker)
    data = worker.do(messages.OpenData, data=DataReference(long_data, calibrate=20, evaluate=5))
    assert isinstance(data, messages.DataOpened), data
    assert data.data.samples == 200_000


def test_cancel_stops_a_long_calibration_within_three_seconds(worker: Worker, long_data: str, tmp_path: Path) -> None:
    recipe = opened(worker)
    worker.do(messages.OpenData, data=DataReference(long_data, calibrate=150_000, evaluate=5))
    job = worker.start(messages.Calibrate, path=str(tmp_path / "never.npz"))
    worker.until(lambda event: isinstance(event, messages.Progress) and event.done > 0)
    began = time.monotonic()
    worker.send(messages.Cancel(job=job))
    stopped = worker.answer(job, timeout=10.0)
    assert isinstance(stopped, messages.Stopped), stopped
    assert time.monotonic() - began < 3.0
    assert not (tmp_path / "never.npz").exists()

    # The next job runs, with the decisions that were made.
    worker.do(messages.OpenData, data=DIGITS)
    assert isinstance(worker.do(messages.Calibrate, path=str(tmp_path / "s.npz")), messages.Calibrated)
    assert isinstance(worker.do(messages.Quantize, recipe=recipe), messages.Quantized)


def test_a_job_that_waits_can_be_cancelled(worker: Worker, long_data: str, tmp_path: Path) -> None:
    opened(worker)
    worker.do(messages.OpenData, data=DataReference(long_data, calibrate=150_000, evaluate=5))
    first = worker.start(messages.Calibrate, path=str(tmp_path / "a.npz"))
    second = worker.start(messages.Calibrate, path=str(tmp_path / "b.npz"))
    worker.send(messages.Cancel(job=second))
    worker.send(messages.Cancel(job=first))
    assert isinstance(worker.answer(first, timeout=10.0), messages.Stopped)
    assert isinstance(worker.answer(second, timeout=10.0), messages.Stopped)


def test_cancelling_nothing_stops_nothing(worker: Worker) -> None:
    worker.send(messages.Cancel())
    assert opened(worker).rules


def test_the_heart_beats_while_a_job_runs(worker: Worker, long_data: str, tmp_path: Path) -> None:
    opened(worker)
    worker.do(messages.OpenData, data=DataReference(long_data, calibrate=150_000, evaluate=5))
    job = worker.start(messages.Calibrate, path=str(tmp_path / "never.npz"))
    began = time.monotonic()
    worker.next(messages.Heartbeat)
    worker.next(messages.Heartbeat)
    assert time.monotonic() - began < 4.0
    assert 0 < len(worker.progress) <= 20 * 4 + 5
    worker.send(messages.Cancel(job=job))
    worker.answer(job)


# --- Processes of their own ------------------------------------------------------------------------------------------


def test_a_new_process_with_earlier_statistics_gives_the_same_numbers(
    fresh_worker: Callable[[], Worker], tmp_path: Path
) -> None:
    first, second = fresh_worker(), fresh_worker()
    recipe = opened(first)
    first.do(messages.Calibrate, path=str(tmp_path / "s.npz"))
    before = first.do(messages.Quantize, recipe=recipe)
    assert opened(second) == recipe
    taken = second.do(messages.UseStatistics, path=str(tmp_path / "s.npz"))
    assert isinstance(taken, messages.StatisticsTaken), taken
    after = second.do(messages.Quantize, recipe=recipe)
    assert isinstance(before, messages.Quantized)
    assert isinstance(after, messages.Quantized)
    assert after.result.tensors == before.result.tensors
    assert msgspec.structs.replace(after.result, seconds=0.0) == msgspec.structs.replace(before.result, seconds=0.0)


@pytest.mark.parametrize("ending", ["close", "shutdown"])
def test_the_process_ends_when_the_window_is_gone(ending: str, fresh_worker: Callable[[], Worker]) -> None:
    worker = fresh_worker()
    if ending == "close":
        worker.stdin.close()
    else:
        worker.send(messages.Shutdown())
    assert worker.process.wait(timeout=5.0) == 0


def test_the_process_ends_in_the_middle_of_a_job(
    fresh_worker: Callable[[], Worker], long_data: str, tmp_path: Path
) -> None:
    worker = fresh_worker()
    opened(worker)
    worker.do(messages.OpenData, data=DataReference(long_data, calibrate=150_000, evaluate=5))
    worker.start(messages.Calibrate, path=str(tmp_path / "never.npz"))
    worker.next(messages.Progress)
    worker.stdin.close()
    assert worker.process.wait(timeout=5.0) == 0


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 2**32 - 1) + b"x" * 100,
        struct.pack(">I", 8) + b"nonsense",
        messages.frame(messages.Heartbeat()),
    ],
    ids=["absurd length", "no JSON", "no command"],
)
def test_a_broken_stream_ends_the_process_with_a_line_and_no_traceback(
    garbage: bytes, fresh_worker: Callable[[], Worker]
) -> None:
    worker = fresh_worker()
    worker.write(garbage)
    line = worker.next(messages.LogLine)
    assert line.level == "error"
    assert "is no command" in line.text
    assert worker.process.wait(timeout=5.0) == 1
    assert "Traceback" not in worker.log.read_text()


def test_values_that_are_not_finite_ask_for_consent(worker: Worker, tmp_path: Path) -> None:
    recipe = opened(worker)
    path = tmp_path / "holes.npz"
    x = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
    x[:, 0, 3, 3] = np.nan
    np.savez(path, x=x)
    holes = DataReference(str(path), calibrate=8)
    data = worker.do(messages.OpenData, data=holes)
    assert isinstance(data, messages.DataOpened), data
    recipe = msgspec.structs.replace(recipe, data=holes)
    failed = worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"), recipe=recipe)
    assert isinstance(failed, messages.Failed), failed
    assert failed.needs_consent
    assert "NaN" in failed.why
    agreed = msgspec.structs.replace(recipe, data=msgspec.structs.replace(holes, finite_only=True))
    refused = worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"), recipe=agreed)
    assert isinstance(refused, messages.Failed), "behind the first convolution nothing is finite"
    assert not refused.needs_consent
    assert "no finite value" in refused.why


def test_samples_left_out_do_not_calibrate(worker: Worker, tmp_path: Path) -> None:
    recipe = opened(worker)
    whole = worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"), recipe=recipe)
    assert isinstance(whole, messages.Calibrated), whole
    gone = statistics.load(tmp_path / "s.npz").samples[:2]
    less = msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, excluded=gone))
    calibrated = worker.do(messages.Calibrate, path=str(tmp_path / "t.npz"), recipe=less)
    assert isinstance(calibrated, messages.Calibrated), calibrated
    assert calibrated.samples == 46
    assert statistics.load(tmp_path / "t.npz").settings.excluded == tuple(sorted(gone))


def test_an_equalized_model_is_calibrated_quantized_and_shown_as_one(
    worker: Worker, badly_scaled: str, tmp_path: Path
) -> None:
    reference = ModelReference(badly_scaled)
    worker.do(messages.OpenModel, model=reference)
    noise = DataReference("random:1x3x8x8", calibrate=8)
    data = worker.do(messages.OpenData, data=noise)
    assert isinstance(data, messages.DataOpened), data
    assert data.model is not None
    rules = advice.advised_rules(data.model, Mode.STATIC, "x86")
    ticked = {name: msgspec.structs.replace(rule, equalize=name in ("a", "b")) for name, rule in rules.items()}
    plain = Recipe(model=reference, data=noise, backend="x86", rules=rules)
    recipe = msgspec.structs.replace(plain, rules=ticked)

    def ratio(asked: Recipe) -> float:
        path = tmp_path / "w.npz"
        written = worker.do(messages.WeightRanges, layer="a", path=str(path), recipe=asked)
        assert isinstance(written, messages.WeightRangesWritten), written
        with np.load(path) as arrays:
            width = arrays["maximum"] - arrays["minimum"]
        return float(width.max() / width.min())

    assert ratio(recipe) < ratio(plain) / 2
    worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"), recipe=plain)
    refused = worker.do(messages.Quantize, recipe=recipe)
    assert isinstance(refused, messages.Failed), refused
    assert "equalization changes the weights of a, b" in refused.why
    worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"), recipe=recipe)
    assert statistics.load(tmp_path / "s.npz").settings.equalized == (("a", "b"),)
    quantized = worker.do(messages.Quantize, recipe=recipe)
    assert isinstance(quantized, messages.Quantized), quantized
    assert {layer.name for layer in quantized.result.layers if layer.effects} == {"a", "b"}
