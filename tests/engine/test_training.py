"""Quantization-aware training: it starts as good as static, keeps its best state, and conversion brings no surprise."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from sessions import (
    QUIET,
    Calibrated,
    evaluation_batch,
    open_session,
    output_sqnr,
    quantized_graph,
    recipe_of,
    session_of,
)

from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import Mode, Observer, ObserverKind, Recipe
from qgui.core.training import Steering, Training
from qgui.core.training_run import TrainingOutcome, TrainingUpdate, read_checkpoint
from qgui.engine import training, training_check
from qgui.engine.progress import Progress
from qgui.engine.session import Session
from qgui.engine.training_control import TrainingControl

NETWORKS = ("residual", "functional", "clamped", "gated", "shuffle")
SHORT = Training(epochs=2, batch_size=4, learning_rate=1e-3, loss="distill")


def qat(session: Session, settings: Training = SHORT, **changes: object) -> Recipe:
    """Return the recipe with every layer in mode qat that may be, and training settings."""
    chosen = msgspec.structs.replace(settings, **changes)
    return msgspec.structs.replace(recipe_of(session, Mode.QAT), training=chosen)


def trained(session: Session, recipe: Recipe, **options: object) -> TrainingOutcome:
    outcome, _ = session.train(recipe, QUIET, **options)  # type: ignore[arg-type]
    return outcome


def weights_of(session: Session) -> dict[str, torch.Tensor]:
    assert session.result is not None
    assert session.result.trained is not None
    return session.result.trained.tensors()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class Stopping(Progress):
    """Asks to stop at a step."""

    def __init__(self, at: int) -> None:
        super().__init__(None, lambda: self.steps > at)
        self.steps = 0

    def step(self, phase: str, done: int, total: int) -> None:
        self.steps += phase == training.PHASE
        super().step(phase, done, total)


@pytest.fixture
def fresh() -> Session:
    session = open_session("clamped")
    session.calibrate(QUIET)
    return session


# Starting from calibration


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("ranges", ["lsq", "moving_average"])
def test_the_start_is_as_good_as_static_int8(network: str, ranges: str) -> None:
    # Samples enough that rounding of single values does not decide.
    session = open_session(network, calibrate=20)
    session.calibrate(QUIET)
    outcome = trained(session, qat(session, epochs=1, ranges=ranges))
    assert outcome.references.static_sqnr_db is not None
    assert outcome.records[0].sqnr_db == pytest.approx(outcome.references.static_sqnr_db, abs=1.5)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("ranges", ["lsq", "moving_average"])
def test_the_int8_model_computes_what_was_simulated(network: str, ranges: str, calibrated: Calibrated) -> None:
    session = calibrated(network)
    outcome = trained(session, qat(session, ranges=ranges, validation=0.4))
    check = outcome.check
    assert check is not None
    assert check.samples == 5
    assert check.agreement == 1.0
    assert check.output_db > 30.0
    assert check.layers
    assert all(layer.own_db > 30.0 or layer.cause for layer in check.layers)


def test_training_moves_weights_and_ranges_and_keeps_them_finite(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    assert session.model is not None
    assert session.model.graphs is not None
    before = session.model.graphs.canonical.state_dict()
    result = session.trainer(qat(session, validation=0.0), QUIET).run()
    state = result.simulated.trained()
    assert state.weights.keys() == before.keys()
    assert all(torch.isfinite(value).all() for value in state.tensors().values())
    moved = result.outcome.records[-1]
    assert moved.epoch == 2
    assert moved.step == 6


def test_the_scales_of_the_int8_model_are_the_learned_ones(fresh: Session) -> None:
    outcome = trained(fresh, qat(fresh, epochs=3))
    assert fresh.trained is not None
    state = fresh.trained.trained
    assert fresh.result is not None
    if outcome.best:
        start = fresh.activations
        assert start is not None
        assert any(
            float(found.scale[0]) != float(start.chosen(name, fresh.result.recipe).scale[0])
            for name, found in state.activations.items()
        )
    for name, found in state.activations.items():
        assert fresh.result.decisions["tensors"][name]["scale"] == float(found.scale[0])
    graph = quantized_graph(fresh)
    weight = graph.get_submodule("first").weight()
    assert torch.equal(weight.q_per_channel_scales().float(), state.layers["first"].scale)


def test_a_range_that_was_typed_stays(fresh: Session) -> None:
    recipe = qat(fresh)
    fixed = Observer(ObserverKind.FIXED, low=0.0, high=3.0)
    rule = recipe.rules["second"]
    activation = msgspec.structs.replace(rule.activation, observer=fixed)
    trained(fresh, recipe.with_rules({"second": msgspec.structs.replace(rule, activation=activation)}))
    assert fresh.trained is not None
    assert "second" not in fresh.trained.trained.activations
    assert "first" in fresh.trained.trained.activations


def test_a_range_never_leaves_the_bounds_of_its_clamp(fresh: Session) -> None:
    result = fresh.trainer(qat(fresh, epochs=4, learning_rate=0.05), QUIET)
    for name, fake_quantize in result.simulated.activations.items():
        if fake_quantize.log_scale is not None:
            with torch.no_grad():
                fake_quantize.log_scale.add_(3.0)
            fake_quantize.take_over()
            upper = (fake_quantize.bounds or (None, None))[1]
            if upper is not None:
                assert fake_quantize.range[1] <= upper * 1.01, name


# What is trained


def test_only_qat_layers_are_trained_unless_all_weights_are_wished(calibrated: Calibrated) -> None:
    session = calibrated("perceptron", "vectors")
    assert session.model is not None
    assert session.model.graphs is not None
    before = session.model.graphs.canonical.state_dict()
    static = recipe_of(session, Mode.STATIC)
    one = msgspec.structs.replace(static.with_rules({"a": recipe_of(session, Mode.QAT).rules["a"]}), training=SHORT)
    result = session.trainer(one, QUIET).run()
    after = result.trained.weights if result.outcome.best else result.simulated.trained().weights
    moving = {name for name, _ in result.simulated.module.named_parameters() if _.requires_grad}
    assert moving
    assert all(name.startswith("a.") or "log_scale" in name for name in moving)
    assert all(torch.equal(before[key], after[key]) for key in before if not key.startswith("a."))
    everything = msgspec.structs.replace(one, training=msgspec.structs.replace(SHORT, only_qat=False))
    simulated = session.trainer(everything, QUIET).simulated
    assert all(parameter.requires_grad for parameter in simulated.module.parameters())


def test_qat_static_dynamic_and_float_layers_train_in_one_model(calibrated: Calibrated) -> None:
    session = calibrated("perceptron", "vectors")
    names = [layer.name for layer in session.opened_model.description.layers if layer.type == "Linear"]
    by_mode = {mode: recipe_of(session, mode) for mode in Mode}
    modes = [Mode.QAT, Mode.STATIC, Mode.DYNAMIC, Mode.FLOAT]
    chosen = {name: by_mode[mode].rules[name] for name, mode in zip(names, modes, strict=False)}
    recipe = msgspec.structs.replace(by_mode[Mode.FLOAT].with_rules(chosen), training=SHORT)
    _, result = session.train(recipe, QUIET)
    found = {layer.name: layer.mode for layer in result.layers}
    assert [found[name] for name in chosen] == modes[: len(chosen)]


def test_data_without_labels_is_trained_by_distillation() -> None:
    session = open_session("clamped", "random:1x3x16x16", calibrate=8)
    session.calibrate(QUIET)
    outcome = trained(session, qat(session, loss="", samples=8))
    assert outcome.settings.loss == "distill"
    assert outcome.references.name == "agreement"
    assert outcome.references.float_score == 1.0
    assert output_sqnr(session) > 15.0


def test_a_loss_of_ones_own_is_used(fresh: Session, tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("def loss(output, target):\n    return (output.float() ** 2).mean() + 0.0 * len(target)\n")
    outcome = trained(fresh, qat(fresh, loss=f"{source}:loss"))
    assert outcome.records[-1].validation_loss < outcome.records[0].validation_loss


def test_batch_norm_takes_statistics_until_it_is_frozen(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    trainer = session.trainer(qat(session, freeze_batch_norm=2), QUIET)
    before = {k: v for k, v in trainer.simulated.state().items() if "running_mean" in k}
    trainer.simulated.set_phase(batch_norm_frozen=False, ranges_frozen=False)
    batch = evaluation_batch(session, 4)
    trainer.simulated.module(*batch.inputs)
    after = trainer.simulated.state()
    assert all(not torch.equal(after[key], value) for key, value in before.items())
    trainer.simulated.set_phase(batch_norm_frozen=True, ranges_frozen=False)
    trainer.simulated.module(*batch.inputs)
    assert all(torch.equal(trainer.simulated.state()[key], after[key]) for key in before)


def test_frozen_ranges_stay_while_weights_train(fresh: Session) -> None:
    trainer = fresh.trainer(qat(fresh, freeze_observers=0, epochs=1, ranges="lsq"), QUIET)
    before = trainer.simulated.ranges()
    trainer.run()
    assert trainer.simulated.ranges() == before
    assert trainer.settings.freeze_observers == 0


def test_moving_ranges_follow_the_batches(fresh: Session) -> None:
    trainer = fresh.trainer(qat(fresh, ranges="moving_average", averaging_constant=0.9), QUIET)
    before = trainer.simulated.ranges()
    updates: list[TrainingUpdate] = []
    trainer.course.listener = updates.append
    trainer.run()
    assert any(update.ranges[name] != before[name] for update in updates for name in before)


def test_a_model_that_looks_at_how_feature_maps_lie_is_trained_too() -> None:
    class Viewing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(144, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.fc(x.view(x.shape[0], 144))

    session = session_of(Viewing().eval(), torch.randn(24, 1, 8, 8))
    outcome = trained(session, qat(session))
    assert outcome.records[-1].epoch == 2


# The same again


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(fresh: Session, tmp_path: Path) -> None:
    states = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        fresh.trainer(qat(fresh, seed=seed), QUIET).run(folder)
        states.append(load_file(folder / "epoch-00002.safetensors"))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_quantizing_again_does_not_train_again(fresh: Session) -> None:
    recipe = qat(fresh)
    trained(fresh, recipe)
    before = weights_of(fresh)
    result = fresh.quantize(recipe, QUIET)
    assert same(before, weights_of(fresh))
    assert any("Trained" in note for note in result.notes)
    again = Session(fresh.model, fresh.data, fresh.record, fresh.activations)
    again.quantize(recipe, QUIET, fresh.result.trained if fresh.result else None)
    assert again.trained is None
    assert torch.equal(again.run_quantized(evaluation_batch(fresh)), fresh.run_quantized(evaluation_batch(fresh)))


def test_settings_left_alone_are_chosen_from_the_data(fresh: Session) -> None:
    trainer = fresh.trainer(qat(fresh, Training()), QUIET)
    assert len(trainer.train_samples) == 10
    assert len(trainer.validation) == 2
    assert trainer.settings.batch_size == 4
    assert trainer.settings.epochs == 10
    assert trainer.settings.loss == "cross-entropy"
    assert not set(trainer.train_samples) & set(trainer.validation)


def test_samples_that_are_evaluated_are_never_trained_on() -> None:
    session = Session()
    session.open_model(open_session("clamped").opened_model.reference)
    given = open_session("clamped").opened_data.reference
    session.open_data(msgspec.structs.replace(given, calibrate=6, evaluate=8))
    session.calibrate(QUIET)
    trainer = session.trainer(qat(session), QUIET)
    used = {*trainer.train_samples, *trainer.validation}
    assert len(used) == 16
    assert not used & set(session.opened_data.evaluation)


def test_the_time_is_estimated_from_measured_steps(fresh: Session) -> None:
    estimate = fresh.trainer(qat(fresh), QUIET).estimate()
    assert estimate.steps == 6
    assert estimate.seconds > estimate.seconds_per_step * estimate.steps > 0


# Watching and steering


def test_every_step_and_epoch_is_told(fresh: Session) -> None:
    updates: list[TrainingUpdate] = []
    trained(fresh, qat(fresh), listener=updates.append)
    assert updates[0].settings is not None
    assert updates[0].references is not None
    points = [point for update in updates for point in update.points]
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    assert all(point.gradient_norm > 0 for point in points)
    assert [record.epoch for update in updates for record in update.records] == [0, 1, 2]


def test_a_paused_training_rests_until_it_is_resumed_with_other_settings(fresh: Session) -> None:
    control = TrainingControl()
    control.pause()
    updates: list[TrainingUpdate] = []
    change = Steering(0, 1e-5, 1, 0)

    def listen(update: TrainingUpdate) -> None:
        updates.append(update)
        if update.paused:
            control.resume(change)

    outcome = trained(fresh, qat(fresh), control=control, listener=listen)
    assert any(update.paused for update in updates)
    assert outcome.settings.steering == (change,)
    rates = [point.learning_rate for update in updates for point in update.points]
    assert max(rates) <= 1e-5


def test_a_steered_recipe_reproduces_the_run(fresh: Session) -> None:
    control, updates = TrainingControl(), []

    def listen(update: TrainingUpdate) -> None:
        updates.append(update)
        if update.epoch == 1 and update.records:
            control.pause()
        if update.paused:
            control.resume(Steering(0, 1e-4, 2, 0))

    trained(fresh, qat(fresh), control=control, listener=listen)
    assert fresh.result is not None
    recipe, first = fresh.result.recipe, weights_of(fresh)
    assert len(recipe.training.steering) == 1
    fresh.trained = None
    fresh.quantize(recipe, QUIET)
    assert same(first, weights_of(fresh))


def test_a_training_that_is_finished_early_keeps_its_best_state(fresh: Session) -> None:
    control = TrainingControl()

    def listen(update: TrainingUpdate) -> None:
        if update.points:
            control.finish()

    outcome = trained(fresh, qat(fresh, epochs=50), control=control, listener=listen)
    assert not outcome.complete
    assert outcome.records[-1].epoch < 50
    assert outcome.best in {record.epoch for record in outcome.records}


# Checkpoints


def test_a_resumed_training_ends_with_the_same_weights_as_one_that_ran_through(fresh: Session, tmp_path: Path) -> None:
    recipe = qat(fresh, epochs=4)
    through = fresh.trainer(recipe, QUIET).run(tmp_path / "through")
    with pytest.raises(Cancelled):
        fresh.trainer(recipe, Stopping(8)).run(tmp_path / "cut")
    found = read_checkpoint(tmp_path / "cut")
    assert found is not None
    assert 1 <= found.epoch < 4
    resumed = fresh.trainer(recipe, QUIET).run(tmp_path / "cut", resume=True)
    assert same(through.trained.tensors(), resumed.trained.tensors())
    assert [r.validation_loss for r in resumed.outcome.records] == [r.validation_loss for r in through.outcome.records]


def test_a_cancelled_training_leaves_the_session_as_it_was_and_its_best_state_can_be_kept(
    fresh: Session, tmp_path: Path
) -> None:
    fresh.quantize(recipe_of(fresh), QUIET)
    earlier, recipe = fresh.result, qat(fresh, epochs=4)
    with pytest.raises(Cancelled):
        fresh.train(recipe, Stopping(8), tmp_path)
    assert fresh.result is earlier
    assert fresh.trained is None
    outcome, _ = fresh.keep_training(recipe, tmp_path, QUIET)
    assert outcome.check is not None
    assert not outcome.complete


def test_a_checkpoint_has_no_more_files_than_it_needs(fresh: Session, tmp_path: Path) -> None:
    trained(fresh, qat(fresh, epochs=4), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda r: r.with_rules({"first": msgspec.structs.replace(r.rules["first"], mode=Mode.STATIC)}), "first"),
        (lambda r: msgspec.structs.replace(r, training=msgspec.structs.replace(r.training, seed=9)), "seed"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(
    fresh: Session, tmp_path: Path, change: Callable[[Recipe], Recipe], word: str
) -> None:
    recipe = qat(fresh)
    trained(fresh, recipe, folder=tmp_path)
    with pytest.raises(QguiError, match=word):
        fresh.train(change(recipe), QUIET, tmp_path, resume=True)


def test_a_checkpoint_of_another_model_is_refused(fresh: Session, tmp_path: Path) -> None:
    trained(fresh, qat(fresh), folder=tmp_path)
    other = open_session("residual")
    other.calibrate(QUIET)
    with pytest.raises(QguiError, match="other float weights"):
        other.train(qat(other), QUIET, tmp_path, resume=True)


def test_a_damaged_or_missing_checkpoint_is_refused(fresh: Session, tmp_path: Path) -> None:
    recipe = qat(fresh)
    with pytest.raises(QguiError, match="holds no checkpoint"):
        fresh.train(recipe, QUIET, tmp_path, resume=True)
    trained(fresh, recipe, folder=tmp_path)
    next(tmp_path.glob("epoch*")).write_bytes(b"no tensors")
    with pytest.raises(QguiError, match="damaged"):
        fresh.train(recipe, QUIET, tmp_path, resume=True)
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(QguiError, match="damaged"):
        fresh.train(recipe, QUIET, tmp_path, resume=True)


# Bad input


def test_a_loss_that_becomes_nan_stops_names_the_layer_and_keeps_the_last_good_state(
    fresh: Session, tmp_path: Path
) -> None:
    recipe = qat(fresh, epochs=3)

    def poison(update: TrainingUpdate) -> None:
        if update.records and update.epoch == 1:
            with torch.no_grad():
                trainer.simulated.layers["second"].layer.weight.fill_(math.nan)  # type: ignore[operator, union-attr]

    trainer = fresh.trainer(recipe, QUIET, listener=poison)
    with pytest.raises(QguiError) as failure:
        trainer.run(tmp_path)
    assert "nan" in failure.value.why
    assert "belong to second" in failure.value.why
    assert "is kept" in failure.value.next_step
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.epoch == 1
    outcome, _ = fresh.keep_training(recipe, tmp_path, QUIET)
    assert math.isfinite(outcome.records[outcome.best].validation_loss)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_learning_rate_that_diverges_stops_the_training(fresh: Session, optimizer: str) -> None:
    with pytest.raises(QguiError, match="Training stopped") as failure:
        trained(fresh, qat(fresh, epochs=40, optimizer=optimizer, learning_rate=30.0, loss="distill"))
    assert "learning rate" in str(failure.value)


def test_a_batch_of_one_is_refused_where_batch_norm_takes_statistics(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    with pytest.raises(QguiError, match="batch of one"):
        trained(session, qat(session, batch_size=1, freeze_batch_norm=1))
    outcome = trained(session, qat(session, batch_size=1, epochs=1, samples=4))
    assert outcome.records[-1].step == 3


def test_cross_entropy_without_labels_is_refused_with_a_way_out() -> None:
    session = open_session("clamped", "random:1x3x16x16", calibrate=8)
    session.calibrate(QUIET)
    with pytest.raises(QguiError, match="distill"):
        trained(session, qat(session, loss="cross-entropy"))


@pytest.mark.parametrize("error", [MemoryError("gone"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_running_out_of_memory_says_what_to_do(
    fresh: Session, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    trainer = fresh.trainer(qat(fresh), QUIET)
    monkeypatch.setattr(trainer, "_step", fail)
    with pytest.raises(QguiError, match="Halve the batch size"):
        trainer.run()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"loss": "hinge"}, "no loss 'hinge'"),
        ({"loss": "nowhere.py:loss"}, "no file"),
        ({"device": "tpu"}, "no device 'tpu'"),
    ],
)
def test_settings_that_cannot_be_are_refused(fresh: Session, changes: dict[str, str], word: str) -> None:
    with pytest.raises(QguiError, match=word):
        trained(fresh, qat(fresh, **changes))


def test_a_loss_that_returns_no_scalar_is_refused(fresh: Session, tmp_path: Path) -> None:
    source = tmp_path / "vector.py"
    source.write_text("def loss(output, target):\n    return output\n")
    with pytest.raises(QguiError, match="scalar"):
        trained(fresh, qat(fresh, loss=f"{source}:loss"))


def test_a_recipe_without_qat_layers_is_refused(fresh: Session) -> None:
    with pytest.raises(QguiError, match="no layer is in mode qat"):
        trained(fresh, recipe_of(fresh, Mode.STATIC))


# The check of the conversion


def test_a_difference_after_conversion_is_told_with_its_cause(fresh: Session) -> None:
    recipe = qat(fresh, validation=0.4)
    result = fresh.trainer(recipe, QUIET).run()
    built, _ = fresh.build(recipe, QUIET, result.trained)
    with torch.no_grad():
        layer = result.simulated.layers["second"].layer
        layer.weight.mul_(1.5)  # type: ignore[operator, union-attr]
    assert fresh.model is not None
    found = training_check.check(fresh.opened_model, fresh.opened_data, result, built, QUIET)
    second = next(layer for layer in found.layers if layer.name == "second")
    assert second.own_db < 30.0
    assert "kernel rounds otherwise" in second.cause
    assert any("second" in cause for cause in found.causes)


def test_batch_norm_that_still_moved_is_named_as_the_cause() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4)
    ).eval()
    module[1].running_mean.copy_(torch.linspace(-4.0, 1.0, 8))
    images = torch.randn(24, 1, 8, 8)
    with torch.no_grad():
        usual = int(module(images).mean(0).argmax())
        module[4].weight[[0, usual]] = module[4].weight[[usual, 0]]
        module[4].bias[[0, usual]] = module[4].bias[[usual, 0]]
    session = session_of(module, images)
    recipe = qat(session, freeze_batch_norm=2, validation=0.5, learning_rate=1e-6)
    outcome = trained(session, recipe)
    assert outcome.check is not None
    assert any("BatchNorm still took" in cause for cause in outcome.check.causes)
