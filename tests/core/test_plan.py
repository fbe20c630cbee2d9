"""Which range decides for which tensor."""

from collections.abc import Callable

import numpy as np
import pytest

from qgui.core import ranges
from qgui.core.errors import QguiError
from qgui.core.layers import Layer, ModelDescription, Tensor
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ActivationSetting, Mode, Observer, ObserverKind, Recipe, Rule
from qgui.core.statistics import CalibrationRecord

LAYERS = (
    Layer("x", "Input", "input", node="x", tensor="x"),
    Layer("conv", "Conv2d", "module", node="conv", tensor="conv"),
    Layer("cat", "cat", "function", node="cat", tensor="cat"),
    Layer("sigmoid", "Sigmoid", "module", node="sigmoid", tensor="sigmoid"),
)
TENSORS = (
    Tensor("x", "x", owner="cat"),
    Tensor("conv", "conv", owner="cat"),
    Tensor("cat", "cat", owner="cat", sources=("x", "conv", "cat")),
    Tensor("pool", "cat", owner="cat"),
    Tensor("sigmoid", "sigmoid", owner="sigmoid", sources=("sigmoid",), fixed=(1 / 256, 0)),
)
SETTING = ActivationSetting()


def recipe_with(layer: str, setting: ActivationSetting) -> Recipe:
    return Recipe(rules={layer: Rule(Mode.STATIC, activation=setting)})


@pytest.fixture
def model(described: Callable[..., ModelDescription]) -> ModelDescription:
    return described(LAYERS, TENSORS)


@pytest.fixture
def plan(model: ModelDescription, make_statistics: Callable) -> ActivationRanges:
    spans = {"x": (-1.0, 1.0), "conv": (-3.0, 2.0), "cat": (-3.0, 2.0), "sigmoid": (0.0, 0.9)}
    tensors = {name: make_statistics(np.linspace(*span, 1000), 4) for name, span in spans.items()}
    return ActivationRanges(model, CalibrationRecord(tensors, (0,), 1, "m", "d"))


def test_tensors_with_one_owner_have_one_range(plan: ActivationRanges) -> None:
    minmax = recipe_with("cat", ActivationSetting(observer=Observer(ObserverKind.MINMAX)))
    found = [plan.chosen(name, minmax) for name in ("x", "conv", "cat", "pool")]
    assert all(q.same(found[0]) for q in found)
    assert (found[0].low[0], found[0].high[0]) == pytest.approx((-3.0, 2.0), abs=0.03)


def test_the_owner_s_rule_decides_and_not_that_of_the_tensor_s_own_layer(plan: ActivationRanges) -> None:
    fixed = ActivationSetting(observer=Observer(ObserverKind.FIXED, low=-0.5, high=0.5))
    by_owner = plan.chosen("conv", recipe_with("cat", fixed))
    by_own = plan.chosen("conv", recipe_with("conv", fixed))
    assert by_owner.high[0] == pytest.approx(0.5, abs=0.01)
    assert by_own.high[0] > 1.5
    assert plan.setting("conv", recipe_with("cat", fixed)) == fixed


def test_statistics_of_all_sources_are_merged(plan: ActivationRanges) -> None:
    assert plan.statistics("pool").elements == 3000
    assert plan.statistics("pool") is plan.statistics("x")


def test_prescribed_numbers_are_kept_whatever_the_setting(plan: ActivationRanges) -> None:
    setting = ActivationSetting(observer=Observer(ObserverKind.FIXED, low=-9.0, high=9.0), reduce_range=True)
    qparams = plan.chosen("sigmoid", recipe_with("sigmoid", setting))
    assert float(qparams.scale[0]) == 1 / 256
    assert int(qparams.zero_point[0]) == 0


def test_the_same_setting_is_computed_once(plan: ActivationRanges) -> None:
    assert plan.qparams("x", SETTING) is plan.qparams("cat", SETTING)


def test_every_observer_is_shown_and_the_set_one_keeps_its_parameters(plan: ActivationRanges) -> None:
    setting = ActivationSetting(observer=Observer(ObserverKind.PERCENTILE, percentile=90.0))
    choices = plan.choices("conv", setting)
    assert tuple(choice.observer.kind for choice in choices) == AUTOMATIC_OBSERVERS
    percentile = choices[AUTOMATIC_OBSERVERS.index(ObserverKind.PERCENTILE)]
    assert percentile.observer == setting.observer
    assert percentile.clipped == pytest.approx(0.1, abs=0.01)


def test_a_choice_tells_what_assessing_tells(plan: ActivationRanges) -> None:
    choice = plan.choice("conv", SETTING)
    cost = ranges.assess(plan.distribution("conv"), choice.qparams)
    assert (choice.sqnr_db, choice.clipped) == (cost.sqnr_db, cost.clipped)


def test_the_best_choice_is_the_candidate_of_least_error_and_the_set_one_where_none_is_better(
    plan: ActivationRanges,
) -> None:
    wide = ActivationSetting(observer=Observer(ObserverKind.FIXED, low=-50.0, high=50.0))
    best = plan.best("conv", wide)
    errors = [plan.choice("conv", candidate).cost.error for candidate in plan.candidates("conv", wide)]
    assert len(errors) == len(AUTOMATIC_OBSERVERS) + 1
    assert best.cost.error == min(errors)
    kept = ActivationSetting(observer=best.observer)
    assert plan.best("conv", kept).observer == best.observer


def test_bounds_by_hand_cost_the_same_as_the_fixed_observer_and_are_not_remembered(plan: ActivationRanges) -> None:
    by_hand = plan.choice_of_bounds("conv", SETTING, -1.0, 1.5)
    fixed = ActivationSetting(observer=Observer(ObserverKind.FIXED, low=-1.0, high=1.5))
    assert not plan.knows("conv", fixed)
    chosen = plan.choice("conv", fixed)
    assert plan.knows("conv", fixed)
    assert by_hand.qparams.same(chosen.qparams)
    assert by_hand.cost.error == chosen.cost.error
    assert 0.0 < chosen.cost.clipping_share < 1.0
    with pytest.raises(QguiError, match="not below"):
        plan.choice_of_bounds("conv", SETTING, 1.0, 1.0)


def test_statistics_of_another_model_are_refused(model: ModelDescription, make_statistics: Callable) -> None:
    record = CalibrationRecord({"x": make_statistics(np.arange(3.0))}, (0,), 1, "m", "d")
    with pytest.raises(QguiError, match="they hold nothing for conv"):
        ActivationRanges(model, record)
