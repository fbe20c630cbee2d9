"""Rules by pattern on the command line, and recipes that were made for another model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import DIGITS, QUICK, Outcome

from qgui.cli import main
from qgui.core import recipe_file
from qgui.core.recipe import Mode, ModelReference, Recipe, Rule, WeightSetting

Run = Callable[..., Outcome]


def test_rules_by_pattern_decide_on_the_command_line_and_stand_in_the_recipe(qgui: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rules = ("--rule", "Conv2d=static,observer=minmax", "--rule", "blocks.*=float", "--rule", "nowhere.*=float")
    outcome = qgui("quantize", *DIGITS, *QUICK, *rules, "--format", "recipe", "--out", str(out), "--json")
    assert outcome.code == 0, outcome.err
    layers = {layer["name"]: layer for layer in outcome.json["layers"]}
    assert layers["stem.0"]["mode"] == "static"
    assert layers["stem.0"]["observer"] == "minmax"
    assert layers["blocks.0.expand.0"]["mode"] == "float"
    assert outcome.json["recipe"]["patterns"] == ["Conv2d=static,observer=minmax", "blocks.*=float", "nowhere.*=float"]
    assert [misfit["subject"] for misfit in outcome.json["recipe"]["misfits"]] == ["nowhere.*"]
    assert "nowhere.*: no layer of this model has such a path or type." in outcome.err
    recipe = recipe_file.load(out / "recipe.json")
    assert [rule.pattern for rule in recipe.patterns] == ["Conv2d", "blocks.*", "nowhere.*"]
    assert recipe.digest() == outcome.json["recipe_hash"]


def test_a_rule_that_cannot_be_read_is_wrong_usage_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["quantize", *DIGITS, "--rule", "blocks.*=fast", "--out", "out"])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "Could not read the rule 'blocks.*=fast'" in told
    assert "layer3.*=float" in told


_TWO_HEADS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, classes, extra):
        super().__init__()
        self.body = torch.nn.Linear(6, 8)
        self.head = torch.nn.Linear(8, classes)
        if extra:
            self.extra = torch.nn.Linear(8, 8)

    def forward(self, x):
        x = self.body(x).sigmoid()
        return self.head(self.extra(x) if hasattr(self, "extra") else x)

def one():
    torch.manual_seed(0)
    return Net(4, True).eval()

def other():
    torch.manual_seed(1)
    return Net(3, False).eval()
"""


def test_a_recipe_of_another_model_applies_what_fits_and_tells_the_rest(qgui: Run, tmp_path: Path) -> None:
    nets = tmp_path / "nets.py"
    nets.write_text(_TWO_HEADS)
    bounds = WeightSetting(channel_bounds=((0, 0.25), (3, 0.25)))
    recipe = Recipe(
        model=ModelReference(f"{nets}:one"),
        rules={"body": Rule(Mode.DYNAMIC), "head": Rule(Mode.STATIC, bounds), "extra": Rule(Mode.STATIC)},
    )
    recipe_file.save(recipe, tmp_path / "one.qgui")
    arguments = (f"{nets}:other", "--data", "random:1x6", *QUICK, "--recipe", str(tmp_path / "one.qgui"))
    outcome = qgui("quantize", *arguments, "--format", "recipe", "--out", str(tmp_path / "out"), "--json")
    assert outcome.code == 0, outcome.err
    modes = {layer["name"]: layer["mode"] for layer in outcome.json["layers"]}
    assert (modes["body"], modes["head"]) == ("dynamic", "static")
    misfits = {misfit["subject"]: misfit["why"] for misfit in outcome.json["recipe"]["misfits"]}
    assert misfits == {
        "extra": "the model has no such layer; its rule is left out.",
        "head": "One bound of a single channel is left out: its weight has 3 output channels.",
    }
    assert "extra: the model has no such layer" in outcome.err
    assert "was made for" in outcome.err
    assert "head has bounds that were typed or dragged for the other model" in outcome.json["recipe"]["notes"][1]


def test_a_rule_for_one_layer_in_a_recipe_wins_over_a_pattern_of_the_command_line(qgui: Run, tmp_path: Path) -> None:
    recipe_file.save(Recipe(rules={"stem.0": Rule(Mode.FLOAT)}), tmp_path / "mine.qgui")
    arguments = (*DIGITS, *QUICK, "--recipe", str(tmp_path / "mine.qgui"), "--rule", "Conv2d=static")
    outcome = qgui("quantize", *arguments, "--format", "recipe", "--out", str(tmp_path / "out"), "--json")
    assert outcome.code == 0, outcome.err
    modes = {layer["name"]: layer["mode"] for layer in outcome.json["layers"]}
    assert modes["stem.0"] == "float"
    assert modes["blocks.0.expand.0"] == "static"
    assert "stem.0 keeps a rule of its own" in outcome.err
