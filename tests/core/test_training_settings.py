"""Training settings, records and curves, which need no torch."""

import itertools
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.core.recipe import Mode, Recipe, Rule
from qgui.core.training import Steering, Training, parts, resolved, schedule_factor
from qgui.core.training_run import CHECKPOINT, Curve, StepPoint, Thinned, read_checkpoint, run_key, training_key

settings = st.builds(
    Training,
    epochs=st.integers(0, 100),
    batch_size=st.integers(0, 512),
    learning_rate=st.floats(0, 1),
    ranges=st.sampled_from(["lsq", "moving_average"]),
    steering=st.lists(
        st.builds(Steering, st.integers(0, 99), st.floats(0, 1), st.integers(0, 9), st.integers(0, 9))
    ).map(tuple),
)


@given(settings)
def test_training_settings_survive_a_recipe_file(chosen: Training) -> None:
    recipe = Recipe(training=chosen)
    assert recipe_file.decode(recipe_file.encode(recipe)) == recipe


def test_a_recipe_from_before_there_were_settings_still_opens() -> None:
    assert recipe_file.decode(b'{"version": 1, "backend": "x86", "rules": {}}').training == Training()


@given(settings, st.integers(1, 100_000), st.booleans())
def test_resolved_settings_have_a_number_everywhere(chosen: Training, samples: int, labelled: bool) -> None:
    found = resolved(chosen, samples, labelled)
    assert found.epochs >= 1
    assert found.batch_size >= 1
    assert found.learning_rate > 0
    assert found.freeze_observers >= 0
    assert found.loss
    assert resolved(found, samples, labelled) == found


@given(st.integers(1, 10_000), st.floats(0, 0.99), st.integers(0, 10_000))
def test_training_and_validation_never_take_more_than_there_is(samples: int, share: float, wanted: int) -> None:
    trained, held = parts(samples, Training(validation=share, samples=wanted))
    assert trained >= 1
    assert held >= 0
    assert trained + held <= samples


def test_data_without_labels_is_distilled() -> None:
    assert resolved(Training(), 100, labelled=False).loss == "distill"
    assert resolved(Training(), 100, labelled=True).loss == "cross-entropy"


def test_training_settings_decide_the_hash_only_where_a_layer_is_trained() -> None:
    other = Training(epochs=7)
    assert Recipe().digest() == Recipe(training=other).digest()
    rules = {"a": Rule(Mode.QAT)}
    assert Recipe(rules=rules).digest() != Recipe(rules=rules, training=other).digest()


def test_a_run_is_the_same_run_whatever_was_steered() -> None:
    steered = Recipe(training=Training(steering=(Steering(5, 0.1, 1, 1),)))
    assert run_key(steered) == run_key(Recipe())
    assert training_key(steered) != training_key(Recipe())


def test_steering_holds_from_its_step() -> None:
    chosen = Training(
        learning_rate=1.0, freeze_observers=4, steering=(Steering(10, 0.5, 2, 1), Steering(20, 0.1, 2, 1))
    )
    assert [chosen.at(step).learning_rate for step in (0, 9, 10, 19, 20, 99)] == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_schedules_begin_with_the_whole_rate_and_never_rise(schedule: str) -> None:
    factors = [schedule_factor(schedule, step, 100) for step in range(101)]  # type: ignore[arg-type]
    assert factors[0] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(factors))


def test_a_curve_of_a_hundred_thousand_steps_stays_small_and_keeps_its_extremes() -> None:
    curve = Curve(512)
    for step in range(100_000):
        curve.add(step, -50.0 if step == 777 else 90.0 if step == 54_321 else step % 7)
    assert 256 <= len(curve) <= 512
    assert min(curve.lows) == -50.0
    assert max(curve.highs) == 90.0
    assert curve.steps == sorted(curve.steps)
    assert all(low <= mean <= high for low, mean, high in zip(curve.lows, curve.means, curve.highs, strict=True))


@given(st.integers(1, 5000), st.integers(2, 64))
def test_a_curve_never_grows_beyond_its_capacity(count: int, capacity: int) -> None:
    curve, thinned = Curve(capacity), Thinned(capacity)
    for step in range(1, count + 1):
        curve.add(step, 1.0)
        thinned.add(StepPoint(step, 1.0, 1.0, 1.0))
    assert len(curve) <= capacity
    assert len(thinned.kept) <= capacity
    assert curve.steps[-1] == count


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) is None
    (tmp_path / CHECKPOINT).write_bytes(msgspec.json.encode({"version": 99}))
    with pytest.raises(QguiError, match="newer QGUI"):
        read_checkpoint(tmp_path)
