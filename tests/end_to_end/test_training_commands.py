"""Training from a terminal: progress on standard error, checkpoints, and going on with one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import DIGITS, QUICK, Outcome

from qgui.core import recipe_file
from qgui.core.training_run import read_checkpoint

Run = Callable[..., Outcome]
SHORT = ("--epochs", "2", "--train-batch", "8", "--train-samples", "40", "--format", "recipe")

pytestmark = pytest.mark.skipif("x86" not in torch.backends.quantized.supported_engines, reason="runs on x86 only")


def test_a_training_tells_its_epochs_and_its_settings_stand_in_the_recipe(qgui: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = (*SHORT, "--lr", "0.0005", "--loss", "distill", "--optimizer", "sgd")
    outcome = qgui("quantize", *DIGITS, *QUICK, "--mode", "qat", *options, "--out", str(out), "--json")
    assert outcome.code == 0, outcome.err
    assert "Epoch 0 of 2" in outcome.err
    assert "Epoch 2 of 2" in outcome.err
    trained = outcome.json["training"]
    assert trained["settings"]["learning_rate"] == 0.0005
    assert trained["check"]["agreement"] == 1.0
    assert len(trained["records"]) == 3
    recipe = recipe_file.load(out / "recipe.json")
    assert (recipe.training.epochs, recipe.training.loss) == (2, "distill")
    again = qgui("export", str(out), "--format", "recipe", "--json")
    assert again.code == 0, again.err
    assert "Epoch" not in again.err


def test_a_training_goes_on_from_its_folder(qgui: Run, tmp_path: Path) -> None:
    first = ("quantize", *DIGITS, *QUICK, "--mode", "qat", *SHORT, "--out", str(tmp_path / "a"), "--json")
    assert qgui(*first).code == 0
    shutil.copytree(tmp_path / "a" / "training", tmp_path / "kept")
    resumed = ("quantize", *DIGITS, *QUICK, *SHORT, "--resume", str(tmp_path / "kept"), "--out", str(tmp_path / "b"))
    outcome = qgui(*resumed, "--json")
    assert outcome.code == 0, outcome.err
    found = read_checkpoint(tmp_path / "kept")
    assert found is not None
    assert found.complete
    assert outcome.json["training"]["complete"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--mode", "qat", "--resume", "nowhere"), "holds no checkpoint"),
        (("--mode", "static", "--resume", "nowhere"), "no layer is in mode qat"),
        (("--mode", "qat", "--loss", "hinge"), "no loss 'hinge'"),
        (("--mode", "qat", "--device", "tpu"), "no device 'tpu'"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_line(
    options: tuple[str, ...], word: str, qgui: Run, tmp_path: Path
) -> None:
    outcome = qgui("quantize", *DIGITS, *QUICK, *options, "--out", str(tmp_path / "out"))
    assert word in outcome.failure


def test_another_recipe_s_checkpoint_is_refused(qgui: Run, tmp_path: Path) -> None:
    first = ("quantize", *DIGITS, *QUICK, "--mode", "qat", *SHORT, "--out", str(tmp_path / "a"))
    assert qgui(*first).code == 0
    other = ("--mode", "qat", *SHORT, "--lr", "0.1", "--resume", str(tmp_path / "a"), "--out", str(tmp_path / "b"))
    outcome = qgui("quantize", *DIGITS, *QUICK, *other)
    assert "learning_rate" in outcome.failure


@pytest.mark.parametrize("option", [("--lr", "-1"), ("--epochs", "0"), ("--validation", "1")])
def test_impossible_numbers_are_wrong_usage(option: tuple[str, str], qgui: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        qgui("quantize", *DIGITS, "--mode", "qat", *option, "--out", str(tmp_path / "out"))
    assert left.value.code == 2
