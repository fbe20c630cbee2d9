"""Bounds fixed for single output channels: they are what the quantized module has, and bad ones are refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sessions import QUIET, Calibrated, recipe_of

from qgui.core.errors import QguiError
from qgui.core.recipe import Mode, Observer, ObserverKind, Recipe, WeightSetting
from qgui.engine.fx import decide

ROWS = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)


def with_bounds(
    recipe: Recipe, layer: str, *bounds: tuple[int, float], qscheme: str = "per_channel_symmetric"
) -> Recipe:
    rule = recipe.rule(layer)
    weight = msgspec.structs.replace(rule.weight, channel_bounds=bounds, qscheme=qscheme)
    return recipe.with_rules({layer: msgspec.structs.replace(rule, weight=weight)})


@pytest.mark.parametrize("kind", [ObserverKind.MINMAX, ObserverKind.MSE])
def test_a_bound_replaces_the_observer_in_its_channel_only(kind: ObserverKind) -> None:
    plain = WeightSetting(observer=Observer(kind))
    before = decide.weight_qparams(ROWS, plain)
    after = decide.weight_qparams(ROWS, msgspec.structs.replace(plain, channel_bounds=((2, 0.75), (5, 3.0))))
    assert after.scale[2] == np.float32(0.75) / np.float32(127.5)
    assert after.scale[5] == np.float32(3.0) / np.float32(127.5)
    others = [0, 1, 3, 4]
    assert np.array_equal(before.scale[others], after.scale[others])
    assert not after.zero_point.any()


def test_the_quantized_module_has_the_scale_of_the_bound_to_the_bit(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    recipe = with_bounds(recipe_of(session), "stem.0", (3, 0.25))
    result = session.quantize(recipe, QUIET)
    (layer,) = [layer for layer in result.layers if layer.name == "stem.0"]
    assert layer.mode is Mode.STATIC
    assert layer.weight_scale[3] == float(np.float32(0.25) / np.float32(127.5))


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (((-1, 0.5),), "no output channel -1"),
        (((0, 0.0),), "bound 0 of channel 0 is not a number above 0"),
        (((0, -2.0),), "bound -2"),
        (((0, float("nan")),), "bound nan"),
        (((0, float("inf")),), "bound inf"),
        (((0, 0.5), (0, 0.7)), "channel 0 has two bounds"),
    ],
)
def test_a_bad_bound_is_refused_with_the_layer_and_loses_nothing(
    bounds: tuple[tuple[int, float], ...], told: str, calibrated: Calibrated
) -> None:
    session = calibrated("residual")
    good = session.quantize(recipe_of(session), QUIET)
    before = session.result
    with pytest.raises(QguiError, match=told) as caught:
        session.quantize(with_bounds(recipe_of(session), "stem.0", *bounds), QUIET)
    assert "stem.0" in caught.value.why
    assert caught.value.next_step
    assert session.result is before
    assert good.layers


def test_a_bound_of_a_channel_that_this_weight_does_not_have_is_left_out_and_told(calibrated: Calibrated) -> None:
    setting = WeightSetting(channel_bounds=((8, 0.5),))
    with pytest.raises(QguiError, match="no output channel 8: the weight has"):
        decide.weight_qparams(ROWS, setting)
    session = calibrated("residual")
    recipe = with_bounds(recipe_of(session), "stem.0", (3, 0.25), (8, 0.5))
    result = session.quantize(recipe, QUIET)
    assert any("stem.0: One bound of a single channel is left out" in note for note in result.notes)
    assert session.result is not None
    assert session.result.recipe.rule("stem.0").weight.channel_bounds == ((3, 0.25),)


def test_a_weight_with_one_scale_per_tensor_has_no_bounds_of_channels(calibrated: Calibrated) -> None:
    setting = WeightSetting(qscheme="per_tensor_symmetric", channel_bounds=((0, 1.0),))
    with pytest.raises(QguiError, match="only per_channel_symmetric"):
        decide.weight_qparams(ROWS, setting)
    session = calibrated("residual")
    recipe = with_bounds(recipe_of(session), "stem.0", (0, 1.0), qscheme="per_tensor_symmetric")
    result = session.quantize(recipe, QUIET)
    assert any("stem.0" in note for note in result.notes)
