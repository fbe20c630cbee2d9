"""Samples left out, finite values only and equalization on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import DIGITS, QUICK, Outcome

from qgui.core import recipe_file

Run = Callable[..., Outcome]

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8, bias=False), nn.Linear(8, 3)
    def forward(self, x): return self.b(torch.relu(self.a(x)))

def net():
    torch.manual_seed(0)
    module = Net()
    with torch.no_grad():
        module.a.weight.mul_(torch.logspace(-1, 1, 8).reshape(8, 1))
        module.b.weight.div_(torch.logspace(-1, 1, 8).reshape(1, 8))
    return module.eval()
"""


@pytest.fixture
def net(tmp_path: Path) -> tuple[str, ...]:
    """A model whose channels are scaled badly, and data of which sample 3 holds a NaN."""
    (tmp_path / "net.py").write_text(MODEL)
    x = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    x[3, 1] = np.nan
    np.savez(tmp_path / "x.npz", x=x)
    source = ("--data", str(tmp_path / "x.npz"), "--calibrate", "24", "--overlap", "--data-batch", "4")
    return (f"{tmp_path / 'net.py'}:net", *source)


def test_samples_left_out_are_told_and_kept_in_the_recipe(qgui: Run, tmp_path: Path) -> None:
    first = qgui("ranges", *DIGITS, "--calibrate", "16", "--json").json
    gone = first["samples"][:2]
    arguments = (*DIGITS, "--calibrate", "16", "--evaluate", "16", "--runs", "2", "--format", "recipe", "--json")
    names = ",".join(map(str, gone))
    found = qgui("quantize", *arguments, "--mode", "static", "--exclude", names, "--out", str(tmp_path / "out"))
    assert found.code == 0, found.err
    assert found.json["calibration"]["excluded"] == sorted(gone)
    assert found.json["calibration"]["samples"] == first["samples"][2:]
    recipe = tmp_path / "out" / "recipe.json"
    assert recipe_file.load(recipe).data.excluded == tuple(sorted(gone))
    again = qgui("quantize", *arguments, "--recipe", str(recipe), "--out", str(tmp_path / "again"))
    assert again.json["calibration"]["excluded"] == sorted(gone)


@pytest.mark.parametrize(("indices", "why"), [("99999", "there is no sample 99999"), ("-2", "there is no sample -2")])
def test_a_sample_that_does_not_exist_is_one_clear_line(indices: str, why: str, qgui: Run) -> None:
    assert why in qgui("ranges", *DIGITS, *QUICK[:2], f"--exclude={indices}").failure


def test_leaving_all_samples_out_is_one_clear_line(qgui: Run, net: tuple[str, ...]) -> None:
    every = ",".join(map(str, range(24)))
    assert "all 24 calibration samples are left out" in qgui("ranges", *net, "--exclude", every).failure


def test_values_that_are_not_finite_name_the_layer_and_how_to_agree(qgui: Run, net: tuple[str, ...]) -> None:
    failure = qgui("ranges", *net).failure
    assert "the output of x" in failure
    assert "--finite-only" in failure
    agreed = qgui("ranges", *net, "--finite-only", "--json")
    assert agreed.code == 0, agreed.err
    assert agreed.json["calibration"]["unfinite"]["x"] == {"nan": 1, "infinite": 0}
    without = qgui("ranges", *net, "--exclude", "3", "--json")
    assert without.code == 0, without.err
    assert without.json["calibration"]["unfinite"] == {}


def test_equalized_models_are_shown_quantized_and_exported_again(
    qgui: Run, net: tuple[str, ...], tmp_path: Path
) -> None:
    finite = (net[0], "--data", "random:1x4", "--calibrate", "24")

    def ratio(*more: str) -> float:
        outcome = qgui("ranges", *finite, *more, "--json")
        weight = next(t for t in outcome.json["tensors"] if t["name"] == "a.weight")
        scales = weight["observers"]["minmax"]["scale"]
        return max(scales) / min(scales)

    assert ratio("--equalize") < ratio() / 2
    arguments = (*finite, "--mode", "static", "--equalize", "--runs", "2")
    out = ("--format", "script", "--out", str(tmp_path / "out"), "--json")
    outcome = qgui("quantize", *arguments, *out)
    assert outcome.code == 0, outcome.err
    assert outcome.json["calibration"]["equalized"] == [["a", "b"]]
    assert not [note for note in outcome.json["notes"] if "Not as in the recipe" in note]
    effects = {layer["name"]: layer["effects"] for layer in outcome.json["layers"] if layer["effects"]}
    assert {name: effect[0]["step"] for name, effect in effects.items()} == {"a": "equalize", "b": "equalize"}
    assert all(export["verified"] for export in outcome.json["exports"])
    again = qgui("export", str(tmp_path / "out"), "--format", "script", "--json")
    assert again.code == 0, again.err
    assert all(export["verified"] for export in again.json["exports"])
