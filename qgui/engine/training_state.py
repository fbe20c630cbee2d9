"""Checkpoints of a training: tensors in safetensors files, and a JSON file that names them, written last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import Recipe
from qgui.core.recipe_file import write_atomically
from qgui.core.training_run import CHECKPOINT, Checkpoint, existing_checkpoint, run_key

_OPTIMIZER = "optimizer/"
WHAT = say("Could not resume the training")

Tensors = dict[str, torch.Tensor]


def write(folder: Path, checkpoint: Checkpoint, state: Tensors, best: Tensors) -> None:
    """Write a checkpoint so that the folder holds either the one before or the whole new one.

    Args:
        folder: Where it belongs; made where it is missing.
        checkpoint: The readable half; names the two files.
        state: The present state with the optimizer's.
        best: The best state.

    Raises:
        QguiError: It cannot be written; the one before is untouched.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensors in ((checkpoint.state, state), (checkpoint.best_state, best)):
            if not (folder / name).exists() or name == checkpoint.state:
                _write_tensors(folder / name, tensors)
    except OSError as error:
        why = error.strerror or str(error)
        raise QguiError(
            say("Could not write the checkpoint to {folder}", folder=folder), why, say("Free some space.")
        ) from error
    write_atomically(folder / CHECKPOINT, msgspec.json.format(msgspec.json.encode(checkpoint), indent=1))
    for file in folder.glob("*.safetensors"):
        if file.name not in (checkpoint.state, checkpoint.best_state):
            file.unlink(missing_ok=True)


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    temporary = path.with_name(f".{path.name}")
    save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def remove(folder: Path) -> None:
    """Remove the checkpoint of a folder, where there is one."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for file in (*folder.glob("*.safetensors"), *folder.glob(".*.safetensors")):
        file.unlink(missing_ok=True)


def find(folder: Path, recipe: Recipe, model: str) -> Checkpoint:
    """Return the checkpoint of a folder if it belongs to a recipe and a model.

    Args:
        folder: The checkpoint's folder.
        recipe: The decisions; what may be changed while paused may differ.
        model: Fingerprint of the float weights.

    Raises:
        QguiError: There is none, it is damaged, or it belongs to another recipe or other weights.
    """
    found = existing_checkpoint(folder)
    if found.model != model:
        why = say("its checkpoint was trained from other float weights")
        raise QguiError(WHAT, why, say("Open the model it belongs to, or train anew."))
    if found.run != run_key(recipe):
        why = say(
            "its checkpoint belongs to another recipe ({differences})", differences=_differences(found.recipe, recipe)
        )
        raise QguiError(WHAT, why, say("Use the recipe it was started with, or train anew."))
    return found


def _differences(theirs: Recipe, ours: Recipe) -> str:
    """Return in what two recipes differ, in a few words."""
    if theirs.model != ours.model:
        return say("the model is {source}", source=theirs.model.source)
    if theirs.data != ours.data:
        fields = [f for f in theirs.data.__struct_fields__ if getattr(theirs.data, f) != getattr(ours.data, f)]
        return say("the data differs in {fields}", fields=", ".join(fields[:3]))
    names = {*theirs.rules, *ours.rules}
    rules = sorted(name for name in names if theirs.rule(name) != ours.rule(name))
    if rules:
        more = say(" and {count} more", count=len(rules) - 3) if len(rules) > 3 else ""
        return say("other rules for {rules}{more}", rules=", ".join(rules[:3]), more=more)
    a, b = theirs.training, ours.training
    fields = [f for f in a.__struct_fields__ if f != "steering" and getattr(a, f) != getattr(b, f)]
    return say("the training settings differ in {fields}", fields=", ".join(fields))


def load(folder: Path, name: str) -> Tensors:
    """Return the tensors of a checkpoint's file.

    Raises:
        QguiError: The file is missing or damaged.
    """
    try:
        return load_file(folder / name)
    except (OSError, SafetensorError) as error:
        hint = say("Train anew; the rest of the program is not affected.")
        raise QguiError(
            WHAT, say("{folder} is missing or damaged ({error})", folder=folder / name, error=error), hint
        ) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """Return the state of an optimizer as named tensors, on the CPU."""
    named = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if value is not None:
                named[f"{_OPTIMIZER}{index}/{key}"] = torch.as_tensor(value).detach().to("cpu", copy=True)
    return named


def load_optimizer(optimizer: torch.optim.Optimizer, named: Mapping[str, torch.Tensor]) -> None:
    """Give an optimizer the state that `optimizer_tensors` returned."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in named.items():
        if name.startswith(_OPTIMIZER):
            index, key = name.removeprefix(_OPTIMIZER).split("/", 1)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
