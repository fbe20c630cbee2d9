"""What a calibration pass depends on, and when statistics are no longer those that a recipe asks for."""

import msgspec
import pytest

from qgui.core.calibration import CalibrationSettings, equalized_pairs, settings_of, why_stale
from qgui.core.layers import Layer
from qgui.core.recipe import DataReference, Mode, Recipe, Rule

PAIR = ("conv1", "conv2")
LAYERS = (
    Layer("conv1", "Conv2d", "module", equalizable=(PAIR,)),
    Layer("conv2", "Conv2d", "module", equalizable=(PAIR, ("conv2", "conv3"))),
    Layer("conv3", "Conv2d", "module", equalizable=(("conv2", "conv3"),)),
)


def recipe(*ticked: str, excluded: tuple[int, ...] = (), finite_only: bool = False) -> Recipe:
    rules = {layer.name: Rule(Mode.STATIC, equalize=layer.name in ticked) for layer in LAYERS}
    return Recipe(rules=rules, data=DataReference("x.npz", excluded=excluded, finite_only=finite_only))


def stale(made: Recipe, wished: Recipe, unfinite: bool = False) -> str:
    return why_stale(settings_of(made, LAYERS), settings_of(wished, LAYERS), range(20), unfinite)


def test_only_pairs_of_which_both_layers_are_ticked_are_equalized() -> None:
    assert equalized_pairs(recipe("conv1"), LAYERS) == ()
    assert equalized_pairs(recipe("conv1", "conv3"), LAYERS) == ()
    assert equalized_pairs(recipe("conv1", "conv2"), LAYERS) == (PAIR,)
    assert equalized_pairs(recipe("conv1", "conv2", "conv3"), LAYERS) == (PAIR, ("conv2", "conv3"))


def test_statistics_fit_the_recipe_they_were_made_with() -> None:
    same = recipe("conv1", "conv2", excluded=(3, 1), finite_only=True)
    assert stale(same, same, unfinite=True) == ""
    assert settings_of(same, LAYERS).excluded == (1, 3)


@pytest.mark.parametrize(
    ("made", "wished", "words"),
    [
        (recipe(), recipe(excluded=(3,)), "sample 3 was left out"),
        (recipe(), recipe(excluded=(1, 2, 3, 4)), "samples 1, 2, 3 and 1 more were left out"),
        (recipe(excluded=(3,)), recipe(), "sample 3 was taken back"),
        (recipe(), recipe("conv1", "conv2"), "conv1, conv2"),
        (recipe("conv1", "conv2"), recipe(), "conv1, conv2"),
        (recipe(), recipe("conv1", "conv2", "conv3"), "conv1, conv2 and 1 more"),
    ],
)
def test_statistics_are_stale_and_say_why(made: Recipe, wished: Recipe, words: str) -> None:
    assert words in stale(made, wished)


def test_what_cannot_change_the_statistics_does_not_make_them_stale() -> None:
    assert stale(recipe(), recipe(excluded=(55,))) == "", "that sample never took part"
    assert stale(recipe(), recipe(finite_only=True)) == "", "all values were finite"
    assert stale(recipe(finite_only=True), recipe()) == "", "all values were finite"
    assert stale(recipe(), recipe("conv1")) == "", "its partner is not ticked"


def test_finite_values_that_are_no_longer_enough_make_statistics_stale() -> None:
    assert "NaN" in stale(recipe(finite_only=True), recipe(), unfinite=True)


def test_settings_survive_a_round_trip() -> None:
    settings = settings_of(recipe("conv1", "conv2", excluded=(3,), finite_only=True), LAYERS)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=CalibrationSettings) == settings
