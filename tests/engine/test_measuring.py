"""Accuracy, agreement, latency and per-layer measurements: honest numbers, and the machine left as it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sessions import ENGINES, QUIET, Calibrated, open_session, recipe_of, session_of
from torch import nn

from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import DataReference, Mode
from qgui.engine import backends, comparison, latency, machine, score, training, weights
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.latency import Variant
from qgui.engine.progress import Progress

hits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


# --- Accuracy --------------------------------------------------------------------------------------------------------


@given(hits)
def test_the_interval_holds_the_difference_and_is_mirrored_when_sides_change(pairs: list[tuple[bool, bool]]) -> None:
    left, right = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    found, turned = score.paired_interval(left, right), score.paired_interval(right, left)
    assert found.value == pytest.approx(right.mean() - left.mean())
    assert found.low <= found.value <= found.high
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_the_interval_shrinks_with_the_samples() -> None:
    def width(count: int) -> float:
        left = np.arange(count) % 10 != 0
        right = np.arange(count) % 10 != 1
        found = score.paired_interval(left, right)
        return found.high - found.low

    assert width(1000) < width(100) / 2


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(500):
        both = rng.random(200)
        left, right = both < 0.8, (both < 0.75) | (both > 0.98)
        found = score.paired_interval(left, right)
        covered += found.low <= -0.03 <= found.high
    assert 0.92 <= covered / 500 <= 0.99


class Scores(nn.Module):
    """Returns its input as class scores, so that a test decides what is predicted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def scored(left: torch.Tensor, right: torch.Tensor, target: torch.Tensor | None, metric: str = "") -> score.Scores:
    targets = [None] * len(left) if target is None else list(target.split(2))
    pairs = zip(left.split(2), targets, strict=False)
    batches = [Batch((x,), y, [2 * i, 2 * i + 1]) for i, (x, y) in enumerate(pairs)]
    return score.score(Scores(), lambda batch: right[batch.indices], batches, len(left), metric, QUIET)


def test_top1_top5_and_agreement_are_counted() -> None:
    left = torch.eye(10) + torch.arange(10) * 0.01
    right = left.clone()
    right[0] = left[1]
    found = scored(left, right, torch.arange(10))
    assert found.float_accuracy is not None
    assert found.quantized_accuracy is not None
    assert (found.float_accuracy.top1, found.quantized_accuracy.top1) == (1.0, pytest.approx(0.9))
    assert found.agreement == pytest.approx(0.9)
    assert found.delta is not None
    assert found.delta.value == pytest.approx(-0.1)
    # Class 0 has the least of the equal rest, so that it is not among the best five of sample 0.
    assert (found.float_accuracy.top5, found.quantized_accuracy.top5) == (1.0, pytest.approx(0.9))
    assert found.max_abs_diff == pytest.approx(1.0, abs=0.02)


def test_with_few_classes_there_is_no_top5() -> None:
    found = scored(torch.eye(4), torch.eye(4), torch.arange(4))
    assert found.float_accuracy is not None
    assert found.float_accuracy.top5 is None
    assert found.sqnr_db == 200.0


def test_without_labels_there_is_agreement_but_no_accuracy() -> None:
    found = scored(torch.eye(4), torch.eye(4), None)
    assert found.float_accuracy is None
    assert found.agreement == 1.0


@pytest.mark.parametrize(("label", "told"), [(10, "label 10 is out of range"), (-1, "label -1 is out of range")])
def test_a_label_out_of_range_is_told(label: int, told: str) -> None:
    target = torch.arange(10)
    target[3] = label
    with pytest.raises(QguiError, match=told) as caught:
        scored(torch.eye(10), torch.eye(10), target)
    assert "0 to 9" in caught.value.why


def test_a_metric_of_one_s_own_is_computed_with_an_interval(tmp_path: Path) -> None:
    file = tmp_path / "metric.py"
    file.write_text("def error(outputs, target):\n    return float((outputs[:, 0] - target).abs().mean())\n")
    left, right = torch.zeros(20, 3), torch.full((20, 3), 0.5)
    found = scored(left, right, torch.zeros(20), f"{file}:error")
    assert found.float_accuracy is not None
    assert (found.float_accuracy.metric, found.float_accuracy.metric_name) == (0.0, "error")
    assert found.delta == msgspec.structs.replace(found.delta, value=0.5, low=0.5, high=0.5)  # type: ignore[type-var]


def test_a_metric_that_raises_is_told(tmp_path: Path) -> None:
    file = tmp_path / "metric.py"
    file.write_text("def broken(outputs, target):\n    return 1 / 0\n")
    with pytest.raises(QguiError, match=r"Could not compute the metric.*ZeroDivisionError"):
        scored(torch.eye(4), torch.eye(4), torch.arange(4), f"{file}:broken")


@pytest.mark.parametrize(("returned", "told"), [("'good'", "returned a str"), ("float('nan')", "returned nan")])
def test_a_metric_that_is_no_number_is_told(returned: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "metric.py"
    file.write_text(f"def odd(outputs, target):\n    return {returned}\n")
    with pytest.raises(QguiError, match=told):
        scored(torch.eye(4), torch.eye(4), torch.arange(4), f"{file}:odd")


METRICS = """
def one_class_fails(outputs, target):
    if target.unique().numel() < 2:
        raise ValueError("only one class")
    return float(outputs.mean())

def all_classes_needed(outputs, target):
    if target.unique().numel() < 4:
        raise ValueError("a class is missing")
    return float(outputs.mean())
"""


def test_resamples_in_which_a_metric_fails_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "metric.py"
    file.write_text(METRICS)
    found = scored(torch.eye(4), 2 * torch.eye(4), torch.arange(4), f"{file}:one_class_fails")
    assert found.delta is not None
    assert found.delta.low <= found.delta.value <= found.delta.high
    found = scored(torch.eye(4), 2 * torch.eye(4), torch.arange(4), f"{file}:all_classes_needed")
    assert found.delta is None
    assert found.float_accuracy is not None
    assert "has no interval" in found.notes[0]


def test_targets_that_are_no_classes_give_no_accuracy_and_that_is_said() -> None:
    found = scored(torch.eye(4), torch.eye(4), torch.tensor([0.5, 1.0, 2.0, 3.0]))
    assert found.float_accuracy is None
    assert found.agreement == 1.0
    assert "--metric" in found.notes[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["float", "quantized"])
def test_an_output_that_is_not_finite_is_told_with_its_sample(side: str, bad: float) -> None:
    outputs = {"float": torch.eye(4), "quantized": torch.eye(4)}
    outputs[side][2, 1] = bad
    with pytest.raises(QguiError, match=rf"output of the {side} model .* in the batch of sample 2"):
        scored(outputs["float"], outputs["quantized"], torch.arange(4))


def test_classes_that_both_models_rule_out_do_not_count() -> None:
    left = torch.eye(4)
    left[:, 3] = -float("inf")
    found = scored(left, left.clone(), torch.arange(4))
    assert found.sqnr_db == 200.0
    assert found.max_abs_diff == 0.0


def test_outputs_of_different_shapes_are_told() -> None:
    batch = Batch((torch.eye(4),), None, [0, 1, 2, 3])
    with pytest.raises(QguiError, match="different shapes in the batch of sample 0: 4x4 and 3x4"):
        score.score(Scores(), lambda _: torch.eye(4)[:3], [batch], 4, "", QUIET)


class InPlace(nn.Module):
    """Works on its input in place, as normalizing models do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.sub_(0.5))


def test_a_model_that_works_in_place_leaves_the_data_as_it_was() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    session = session_of(InPlace(), x)
    session.quantize(recipe_of(session), QUIET)
    found = comparison.compare(session, QUIET, runs=1)
    assert torch.equal(x, before)
    assert found.output_sqnr_db is not None
    assert found.output_sqnr_db > 30.0


def test_the_message_on_a_model_that_raises_tells_unusual_types() -> None:
    with pytest.raises(QguiError, match=r"inputs: 2x4 uint8"):
        Batch((torch.zeros(2, 4, dtype=torch.uint8),), None, [0, 1]).run(nn.Linear(4, 2))


def test_a_model_that_raises_is_told_with_the_shapes() -> None:
    with pytest.raises(QguiError, match=r"forward raised RuntimeError.*inputs: 2x5"):
        Batch((torch.zeros(2, 5),), None, [0, 1]).run(nn.Linear(4, 2))


# --- Latency ---------------------------------------------------------------------------------------------------------


def test_variants_run_in_turn_with_warm_up() -> None:
    order: list[str] = []
    variants = [Variant("float", "eager", "", lambda name=name: order.append(name)) for name in "abc"]
    times = latency.measure(variants, threads=1, runs=5, progress=QUIET)
    assert "".join(order) == "abc" * (latency.WARM_UP + 5)
    assert [len(t) for t in times] == [5, 5, 5]


def test_each_variant_runs_on_its_engine_with_the_wished_threads() -> None:
    seen: list[tuple[str, int]] = []

    def note() -> None:
        seen.append((torch.backends.quantized.engine, torch.get_num_threads()))

    before = torch.get_num_threads()
    latency.measure([Variant("quantized", "eager", name, note) for name in ENGINES], 2, 1, QUIET)
    assert seen[: len(ENGINES)] == [(name, 2) for name in ENGINES]
    assert torch.get_num_threads() == before


def test_threads_and_engine_are_restored_when_a_run_raises() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        latency.measure([Variant("quantized", "eager", ENGINES[-1], fail)], 2, 1, QUIET)
    # The fixture of this folder checks the rest.


def test_measuring_can_be_cancelled() -> None:
    runs: list[int] = []
    progress = Progress(None, lambda: len(runs) > 2)
    with pytest.raises(Cancelled):
        latency.measure([Variant("float", "eager", "", lambda: runs.append(1))], 1, 100, progress)
    assert len(runs) == 3


def test_the_times_are_summed_up_honestly() -> None:
    found = latency.latency_of(Variant("float", "eager", "", lambda: None), [5.0, 1.0, 2.0, 3.0, 100.0])
    assert (found.median_ms, found.min_ms, found.runs) == (3.0, 1.0, 5)
    assert found.p95_ms == pytest.approx(np.percentile([5.0, 1.0, 2.0, 3.0, 100.0], 95))
    assert found.samples_ms == (5.0, 1.0, 2.0, 3.0, 100.0)


# --- Comparing -------------------------------------------------------------------------------------------------------


def test_a_comparison_tells_everything_of_both_sides(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    recipe = recipe_of(session)
    session.quantize(recipe, QUIET)
    found = comparison.compare(session, QUIET, threads=1, batch_size=2, runs=3)
    assert found.recipe_hash == recipe.digest()
    assert (found.threads, found.batch_size, found.backend) == (1, 2, recipe.backend)
    assert found.float_accuracy is not None
    assert found.float_accuracy.samples == 12
    assert {(x.subject, x.runtime) for x in found.latencies} == {
        (subject, runtime) for subject in ("float", "quantized") for runtime in ("eager", "torchscript")
    }
    assert all(x.runs == 3 for x in found.latencies)
    best, eager = found.best_latency("quantized"), found.latency("float", "eager")
    assert eager is not None
    assert found.speedup == pytest.approx(found.best_latency("float").median_ms / best.median_ms)
    assert found.speedup_over_eager == pytest.approx(eager.median_ms / best.median_ms)
    assert found.quantized_bytes < found.float_bytes
    assert found.output_sqnr_db is not None
    assert found.output_sqnr_db > 15.0


def test_every_head_has_an_sqnr_and_times_in_both_models(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    assert session.model is not None
    found = {layer.name: layer for layer in comparison.compare(session, QUIET, runs=1).layers}
    heads = [layer for layer in session.model.description.layers if layer.head]
    assert set(found) == {layer.name for layer in heads}
    for layer in heads:
        row = found[layer.name]
        assert row.sqnr_db is not None, layer.name
        assert row.sqnr_db > 10.0
        if layer.kind != "input":
            assert row.float_ms is not None, layer.name
            assert row.quantized_ms is not None, layer.name
            assert 0.0 < row.quantized_ms < 1000.0
    # Noise adds up along the network.
    assert found["stem.0"].sqnr_db > found["fc"].sqnr_db - 6.0  # type: ignore[operator]


def test_layers_of_a_model_that_does_not_trace_are_measured_too() -> None:
    session = open_session("root_branches", "vectors")
    session.quantize(session.advised_recipe(), QUIET)
    found = {layer.name: layer for layer in comparison.compare(session, QUIET, runs=1).layers}
    for name in ("lstm", "head"):
        assert found[name].mode is Mode.DYNAMIC
        assert found[name].sqnr_db > 20.0  # type: ignore[operator]
        assert found[name].float_ms > 0.0  # type: ignore[operator]


def test_random_data_has_latency_but_no_accuracy_and_says_so() -> None:
    session = open_session("clamped", "random:1x3x16x16", calibrate=4)
    session.calibrate(QUIET)
    session.quantize(recipe_of(session), QUIET)
    found = comparison.compare(session, QUIET, runs=1)
    assert found.float_accuracy is None
    assert found.accuracy_delta is None
    assert any("Random numbers" in note for note in found.notes)


def test_labels_that_the_model_does_not_know_are_told_and_the_result_stays(calibrated: Calibrated) -> None:
    session = session_of(nn.Sequential(nn.Linear(4, 3)), torch.randn(6, 4))
    assert session.data is not None
    session.quantize(recipe_of(session), QUIET)
    for index in range(6):
        session.data.samples[index].target.fill_(7)  # type: ignore[union-attr]
    with pytest.raises(QguiError, match="label 7 is out of range"):
        comparison.compare(session, QUIET, runs=1)
    assert session.result is not None


def test_comparing_before_quantizing_is_told() -> None:
    session = open_session("clamped")
    with pytest.raises(QguiError, match="Quantize first"):
        comparison.compare(session, QUIET)


def test_a_program_without_its_data_or_model_says_what_is_missing() -> None:
    from qgui.engine.session import Session

    session = Session()
    with pytest.raises(QguiError, match="Open a model first"):
        session.calibrate(QUIET)
    session.open_data(DataReference("random:1x4", calibrate=2))
    with pytest.raises(QguiError, match="Open a model first"):
        session.calibrate(QUIET)


def test_every_engine_is_measured_in_one_run_and_the_result_is_kept(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    session.quantize(recipe_of(session), QUIET)
    before = session.result
    timings = backends.measure(session, recipe_of(session), QUIET, runs=2)
    assert {timing.backend for timing in timings} == set(machine.backends())
    measured = [timing.median_ms for timing in timings if timing.median_ms is not None]
    assert measured == sorted(measured)
    assert all(timing.sqnr_db is not None and timing.sqnr_db > 15.0 for timing in timings if not timing.problem)
    assert session.result is before


def test_measuring_every_engine_does_not_train(calibrated: Calibrated, monkeypatch: pytest.MonkeyPatch) -> None:
    session = calibrated("clamped")
    monkeypatch.setattr(training, "Trainer", lambda *_: pytest.fail("trained"))
    timings = backends.measure(session, recipe_of(session, Mode.QAT), QUIET, runs=1)
    assert {timing.backend for timing in timings} == set(machine.backends())


def test_an_unknown_engine_is_told(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    recipe = msgspec.structs.replace(recipe_of(session), backend=ENGINES[0])
    session.quantize(recipe, QUIET)
    with pytest.raises((QguiError, RuntimeError, ValueError)):
        session.quantize(msgspec.structs.replace(recipe, backend="abacus"), QUIET)


def test_the_engine_is_restored_after_an_error() -> None:
    before = torch.backends.quantized.engine
    with pytest.raises(ZeroDivisionError), plain.engine(ENGINES[0]):
        raise ZeroDivisionError
    assert torch.backends.quantized.engine == before


# --- The machine and weights -----------------------------------------------------------------------------------------


def test_the_machine_is_described() -> None:
    found = machine.describe()
    assert set(found.backends) == set(ENGINES)
    assert found.default_backend == found.backends[0]
    assert set(found.reduce_range) == set(ENGINES)
    assert found.cores >= 1
    assert found.cpu


def test_ranges_of_a_weight_are_written_per_tensor_and_per_channel(calibrated: Calibrated, tmp_path: Path) -> None:
    session = calibrated("residual")
    path = tmp_path / "w.npz"
    weights.write_ranges(session.opened_model, "stem.0", path)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["minimum"].shape == (8,)
        assert arrays["counts"].sum() == 8 * 27
        assert arrays["per-channel/mse/scale"].shape == (8,)
        assert arrays["per-tensor/minmax/scale"].shape == (1,)
        assert arrays["per-channel/minmax/sqnr_db"] > arrays["per-tensor/minmax/sqnr_db"]
        assert arrays["per-tensor/minmax/sqnr_by_row"].shape == arrays["per-channel/minmax/sqnr_by_row"].shape == (8,)
        assert (arrays["per-tensor/minmax/sqnr_by_row"] <= arrays["per-channel/minmax/sqnr_by_row"] + 1.0).all()
        for name, rows in (("whole", 1), ("channels", 8)):
            held = arrays[f"{name}/mass"].sum(axis=1) + arrays[f"{name}/zeros"]
            assert held.tolist() == [8 * 27 / rows] * rows
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.parametrize("layer", ["relu", "pool"])
def test_a_layer_without_a_weight_has_no_ranges(layer: str, calibrated: Calibrated, tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="no single weight"):
        weights.write_ranges(calibrated("residual").opened_model, layer, tmp_path / "w.npz")


def test_a_relu_in_place_does_not_change_what_the_layer_before_it_is_held_against() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 3)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            return self.last(self.relu(y + self.second(y))).mean((2, 3))

    torch.manual_seed(0)
    session = session_of(Residual(), torch.randn(4, 3, 12, 12))
    recipe = recipe_of(session)
    floats = {
        name: rule if name == "last" else msgspec.structs.replace(rule, mode=Mode.FLOAT)
        for name, rule in recipe.rules.items()
    }
    session.quantize(msgspec.structs.replace(recipe, rules=floats), QUIET)
    found = comparison.compare(session, QUIET, threads=1, batch_size=1, runs=3)
    ratios = {layer.name: layer.sqnr_db for layer in found.layers}
    assert ratios["add"] is not None
    assert ratios["add"] > 100


class _Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return self.convolution(image) + shift


@pytest.mark.parametrize("named", [True, False])
def test_a_float_model_with_its_channels_last_computes_the_same(named: bool) -> None:
    model, image, shift = _Named().eval(), torch.randn(1, 3, 8, 8), torch.randn(1)
    batch = Batch({"shift": shift, "image": image} if named else (image, shift), None, [0])
    program, inputs = latency.channels_last(model, batch)
    images = next(tensor for tensor in inputs if tensor.dim() == 4)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert model.convolution.weight.is_contiguous()
    torch.testing.assert_close(program(*inputs), model(image, shift))
