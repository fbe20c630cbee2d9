"""Better than rounding to nearest: moments of the one pass, bias correction, AdaRound, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
import torch.nn.functional as F
from sessions import QUIET, evaluation_batch, output_sqnr, quantized_graph, recipe_of, session_of
from torch import nn

from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe, Rule, WeightSetting
from qgui.engine import adaround, columns, moments, runs
from qgui.engine.adaround import Problem
from qgui.engine.fx import fold, plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Separable(nn.Module):
    """Pointwise and depthwise convolutions with BatchNorm and ReLU6, a grouped one, and linear layers without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.grouped = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=2), nn.ReLU())
        self.head = nn.Linear(16, 12, bias=False)
        self.last = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(self.depthwise(self.stem(x))).mean((2, 3))
        return self.last(F.relu(self.head(x)))


@pytest.fixture(scope="module")
def session() -> Session:
    """A calibrated network whose BatchNorm has seen data."""
    torch.manual_seed(0)
    model = Separable().train()
    images = torch.rand(32, 3, 16, 16, generator=generator()) * 2
    with torch.no_grad():
        for _ in range(20):
            model(images)
    return session_of(model.eval(), images)


def ticked(**steps: bool) -> Callable[[Rule], Rule]:
    return lambda rule: msgspec.structs.replace(rule, **steps)


def recipe_with(session: Session, **steps: bool) -> Recipe:
    return recipe_of(session, setting=ticked(**steps))


# --- Columns and moments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3, padding=1, groups=2),
        nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2),
        nn.Conv2d(4, 4, 5, padding="same", groups=4, padding_mode="reflect"),
        nn.Conv3d(2, 3, 2),
        nn.Linear(7, 5),
    ],
    ids=str,
)
@pytest.mark.parametrize("positions", [1, 4, 1000])
@pytest.mark.parametrize("shift", [0, 3])
def test_columns_times_the_weight_are_the_outputs(layer: columns.Weighted, positions: int, shift: int) -> None:
    dimensions = len(layer.kernel_size) if not isinstance(layer, nn.Linear) else 0
    shape = (3, 6, 7) if dimensions == 0 else (3, layer.in_channels, *([9] * dimensions))
    x = torch.randn(shape, generator=generator())
    with torch.no_grad():
        output = layer(x)
        read, same = columns.columns(layer, x, positions, shift)
        given = same(output)
        groups, outputs, count = given.shape
        weight = layer.weight.reshape(groups, outputs, -1)
        bias = layer.bias.reshape(groups, outputs, 1)
        assert torch.allclose(weight @ read + bias, given, atol=1e-4)
    assert 3 <= count <= output.numel() // (groups * outputs)


def test_moments_are_the_mean_inputs_where_the_clamp_lets_the_output_through(session: Session) -> None:
    fused = session.opened_model.graphs.fused  # type: ignore[union-attr]
    modules = columns.weighted_nodes(fused)
    assert session.moments.keys() == modules.keys()
    collector = moments.MomentCollector({"layer": (0.0, 6.0)})
    read = torch.randn(1, 4, 50, generator=generator())
    given = torch.randn(1, 3, 50, generator=generator(1)) * 5
    collector.take("layer", read[:, :, :20], given[:, :, :20])
    collector.take("layer", read[:, :, 20:], given[:, :, 20:])
    found = collector.moments["layer"]
    for channel in range(3):
        inside = (given[0, channel] > 0) & (given[0, channel] < 6)
        assert torch.allclose(found.sums[0, channel], read[0][:, inside].sum(1), atol=1e-4)
        assert float(found.counts[0, channel]) == float(inside.sum())


def test_a_channel_that_never_passes_has_no_mean() -> None:
    collector = moments.MomentCollector({"layer": (0.0, None)})
    collector.take("layer", torch.ones(1, 2, 5), torch.full((1, 3, 5), -1.0))
    assert collector.moments["layer"].mean_outputs(torch.ones(3, 2).numpy()).tolist() == [0.0, 0.0, 0.0]


def test_moments_survive_their_file(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    session.save_statistics(path)
    fresh = Session(session.model, session.data)
    fresh.use_statistics(path)
    assert fresh.moments.keys() == session.moments.keys()
    for name, found in fresh.moments.items():
        assert torch.equal(found.sums, session.moments[name].sums)
        assert torch.equal(found.counts, session.moments[name].counts)


def test_a_damaged_file_of_moments_is_told(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    session.save_statistics(path)
    moments.path_beside(path).write_bytes(b"nothing")
    with pytest.raises(QguiError, match="Calibrate again"):
        Session(session.model, session.data).use_statistics(path)


# --- Bias correction -----------------------------------------------------------------------------------------------


def test_bias_correction_takes_the_mean_error_of_a_coarsely_rounded_layer_away() -> None:
    layer = nn.Linear(64, 16)
    with torch.no_grad():
        # One great weight leaves few levels to the others.
        layer.weight[:, 0] = 20.0
    inputs = torch.rand(400, 64, generator=generator())
    inputs[:, 0] = 0.0
    session = session_of(nn.Sequential(layer).eval(), inputs)

    def mean_error() -> float:
        batch = evaluation_batch(session, 400)
        with torch.inference_mode():
            difference = session.run_quantized(batch) - batch.run(session.opened_model.loaded.module)
        return float(difference.mean(0).abs().mean())

    wide = WeightSetting(qscheme="per_tensor_symmetric")
    for_all = recipe_of(session, setting=lambda rule: msgspec.structs.replace(rule, weight=wide))
    session.quantize(for_all, QUIET)
    before = mean_error()
    corrected = {name: msgspec.structs.replace(r, correct_bias=True) for name, r in for_all.rules.items()}
    session.quantize(for_all.with_rules(corrected), QUIET)
    assert mean_error() < before / 5


@pytest.mark.parametrize("mode", [Mode.STATIC, Mode.DYNAMIC])
def test_layers_without_a_bias_get_one(session: Session, mode: Mode) -> None:
    recipe = recipe_with(session, correct_bias=True)
    head = msgspec.structs.replace(recipe.rules["head"], mode=mode)
    session.quantize(recipe.with_rules({"head": head}), QUIET)
    bias = quantized_graph(session).get_submodule("head").bias()
    assert bias is not None
    assert float(bias.detach().abs().max()) > 0


def test_the_model_with_corrected_biases_is_nearer_to_the_float_one(session: Session) -> None:
    session.quantize(recipe_with(session), QUIET)
    plainly = output_sqnr(session)
    session.quantize(recipe_with(session, correct_bias=True), QUIET)
    assert output_sqnr(session) > plainly - 0.5
    effects = {layer.name: layer.effects for layer in session_results(session) if layer.effects}
    assert effects
    assert all(effect.step == "correct_bias" for found in effects.values() for effect in found)


def session_results(session: Session) -> tuple[msgspec.Struct, ...]:
    return session.quantize(session.quantized_model.recipe, QUIET).layers  # type: ignore[return-value]


def test_correcting_without_calibration_says_so() -> None:
    session = session_of(nn.Sequential(nn.Linear(4, 4)).eval(), torch.rand(8, 4), calibrate=False)
    recipe = recipe_of(session, Mode.DYNAMIC, setting=ticked(correct_bias=True))
    with pytest.raises(QguiError, match="Calibrate first"):
        session.quantize(recipe, QUIET)
    assert session.result is None


# --- AdaRound ------------------------------------------------------------------------------------------------------


def problem(groups: int, outputs: int, inputs: int, centred: bool, bounds: columns.Bounds = (0.0, 6.0)) -> Problem:
    weight = torch.randn(groups, outputs, inputs, generator=generator())
    # Inputs that go together, as those of real layers do.
    mixed = torch.randn(groups, inputs, 3, generator=generator(1)) @ torch.randn(
        groups, 3, 1500, generator=generator(2)
    )
    read = mixed + 0.1 * torch.randn(groups, inputs, 1500, generator=generator(3))
    scale = weight.abs().amax(2, keepdim=True) / 7
    return Problem(weight, scale, -8, 7, read, weight @ read, bounds, centred)


@pytest.mark.parametrize(("groups", "outputs", "inputs"), [(1, 6, 24), (2, 5, 12), (12, 1, 9)])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("bounds", [(None, None), (0.0, 6.0)])
def test_learned_levels_are_nearer_on_fresh_inputs(
    groups: int, outputs: int, inputs: int, centred: bool, bounds: columns.Bounds
) -> None:
    given = problem(groups, outputs, inputs, centred, bounds)
    levels = adaround.learn(given, iterations=200).float()
    assert bool(((levels - given.weight / given.scale).abs() <= 1.0 + 1e-4).all())
    mixed = torch.randn(groups, inputs, 3, generator=generator(1)) @ torch.randn(groups, 3, 800, generator=generator(7))
    inside = columns.passes(given.weight @ mixed, bounds)

    def energy(chosen: torch.Tensor) -> float:
        error = (chosen * given.scale - given.weight) @ mixed
        if centred and inside is None:
            error = error - error.mean(2, keepdim=True)
        elif centred and inside is not None:
            error = error - (error * inside).sum(2, keepdim=True) / inside.sum(2, keepdim=True).clamp_min(1)
        return float((error if inside is None else error * inside).square().sum())

    assert energy(levels) < 0.7 * energy(given.nearest())


def test_the_same_seed_learns_the_same_levels() -> None:
    given = problem(1, 4, 16, centred=True)
    first, second = (adaround.learn(given, seed=3, iterations=60) for _ in range(2))
    assert torch.equal(first, second)


def test_levels_stay_within_the_grid_and_nearest_ones_stay_where_nothing_is_gained() -> None:
    given = problem(1, 4, 16, centred=False)
    given.weight = torch.round(given.weight / given.scale).clamp(-8, 7) * given.scale
    given.outputs = given.weight @ given.columns
    assert torch.equal(adaround.learn(given, iterations=30).float(), given.nearest())


def test_learned_rounding_is_in_the_model_and_learned_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaround, "ITERATIONS", 40)
    recipe = recipe_with(session, adaround=True)
    session.quantize(recipe, QUIET)
    count = len(session.learned.levels)
    assert count == 5
    weight = quantized_graph(session).get_submodule("head").weight()
    (key,) = [k for k, v in session.learned.levels.items() if v.shape == (12, 16)]
    assert torch.equal(weight.int_repr(), session.learned.levels[key])
    monkeypatch.setattr(adaround, "learn", lambda *_, **__: pytest.fail("learned twice"))
    session.quantize(recipe, QUIET)
    assert len(session.learned.levels) == count


def test_learning_can_be_cancelled_and_leaves_the_result_as_it_was(session: Session) -> None:
    session.quantize(recipe_with(session), QUIET)
    before = session.result
    session.learned.levels.clear()
    calls = [0]

    def cancelled() -> bool:
        calls[0] += 1
        return calls[0] > 60

    with pytest.raises(Cancelled):
        session.quantize(recipe_with(session, adaround=True), Progress(cancelled=cancelled))
    assert session.result is before


def test_progress_counts_the_steps_of_all_layers(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaround, "ITERATIONS", 10)
    session.learned.levels.clear()
    told: list[tuple[str, int, int]] = []
    session.quantize(
        recipe_with(session, adaround=True),
        Progress(lambda phase, done, total, _left: told.append((phase, done, total))),
    )
    learning = [(done, total) for phase, done, total in told if phase == "Learning rounding"]
    assert learning
    assert all(done <= total == 50 for done, total in learning)
    session.learned.levels.clear()


# --- What becomes of them ------------------------------------------------------------------------------------------


def test_folded_weights_compute_the_same_before_rounding(session: Session) -> None:
    graphs = session.opened_model.graphs
    assert graphs is not None
    modules = columns.weighted_nodes(graphs.fused)
    weights = {
        name: (module.weight.detach(), torch.zeros(len(module.weight)) if module.bias is None else module.bias.detach())
        for name, module in modules.items()
    }
    folded = fold.with_weights(graphs.canonical, weights)
    batch = evaluation_batch(session)
    with torch.inference_mode():
        assert torch.allclose(folded(*batch.tensors), graphs.canonical(*batch.tensors), atol=1e-5)
    assert graphs.canonical.get_submodule("head").bias is None


def test_a_canonical_graph_takes_weights_with_biases_that_it_lacks(session: Session) -> None:
    graphs = session.opened_model.graphs
    assert graphs is not None
    head = graphs.canonical.get_submodule("head")
    changed = fold.with_weights(graphs.canonical, {"head": (head.weight.detach(), torch.arange(12.0))})
    fresh = fold.with_weights(graphs.canonical, {})
    plain.take_weights(fresh, changed.state_dict())
    assert fresh.get_submodule("head").bias.tolist() == list(range(12))


def test_a_run_is_restored_with_its_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaround, "ITERATIONS", 30)
    session = Session()
    session.open_model(ModelReference("example:digits-cnn"))
    session.open_data(DataReference("example:digits", calibrate=16, evaluate=16))
    session.calibrate(QUIET)
    session.quantize(recipe_with(session, adaround=True, correct_bias=True), QUIET)
    runs.save(session, tmp_path)
    monkeypatch.setattr(adaround, "learn", lambda *_, **__: pytest.fail("learned again"))
    restored, _ = runs.restore(tmp_path, QUIET)
    batch = evaluation_batch(session)
    assert torch.equal(session.run_quantized(batch), restored.run_quantized(batch))
