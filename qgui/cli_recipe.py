"""Which decisions a command line makes: modes, observers and steps for all layers, rules by pattern, a recipe file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qgui.core import decisions, fitting, patterns
from qgui.core.errors import QguiError
from qgui.core.fitting import Misfit
from qgui.core.layers import Layer
from qgui.core.recipe import STEPS, DataReference, Mode, Observer, ObserverKind, PatternRule, Recipe, Rule
from qgui.core.training import CROSS_ENTROPY, DISTILL, Training


@dataclass(frozen=True)
class Told:
    """What a person should know about the decisions of a command line.

    Attributes:
        misfits: What does not fit the model.
        notes: Sentences about a recipe that was made for another model, and about layers that patterns leave alone.
    """

    misfits: tuple[Misfit, ...]
    notes: tuple[str, ...]


def add_rules(command: argparse.ArgumentParser) -> None:
    """Add the option for rules by pattern."""
    command.add_argument(
        "--rule",
        action="append",
        type=_rule,
        default=[],
        metavar="PATTERN=SETTINGS",
        help="decide for layers by path or type, as in 'layer3.*=float' or 'Conv2d=static,observer=mse'; may be given "
        "several times, a later one wins",
    )


def _rule(line: str) -> PatternRule:
    try:
        return patterns.parsed(line)
    except QguiError as error:
        raise argparse.ArgumentTypeError(f"{error.what}: {error.why}. {error.next_step}") from None


def add_training(command: argparse.ArgumentParser) -> None:
    """Add the options that decide how layers in mode qat are trained; what is not given stays as in the recipe."""
    group = command.add_argument_group("training of qat layers", "what is left out is chosen from the data")
    add = group.add_argument
    add("--epochs", type=count, metavar="N", help="passes over the training samples")
    add("--train-batch", type=count, metavar="N", help="samples per optimizer step")
    add("--optimizer", choices=["adamw", "sgd"], help="optimizer (default: sgd)")
    add("--lr", type=_positive, metavar="X", help="learning rate at the start")
    add("--schedule", choices=["cosine", "step", "constant"], help="learning rate over the steps (default: cosine)")
    add("--weight-decay", type=float, metavar="X", help="for weights only (default: 0)")
    add("--loss", metavar="LOSS", help=f"{CROSS_ENTROPY}, {DISTILL} (needs no labels), or PATH.py:CALLABLE")
    add("--train-ranges", choices=["lsq", "moving_average"], help="how ranges move (default: lsq)")
    add("--freeze-observers", type=int, metavar="EPOCH", help="epoch from which ranges stay")
    add("--freeze-batch-norm", type=int, metavar="EPOCH", help="epoch from which BatchNorm keeps its statistics")
    add("--train-all", action="store_true", default=None, help="train every weight, not only those of qat layers")
    add("--train-seed", type=int, metavar="N", help="seed of the training (default: 0)")
    add("--train-samples", type=count, metavar="N", help="samples to train and validate with")
    add("--validation", type=_share, metavar="SHARE", help="share of them that validates (default: 0.2)")
    add("--device", metavar="DEVICE", help="cpu, cuda or mps (default: cpu)")
    add("--resume", type=Path, metavar="DIR", help="go on with the training whose checkpoint lies there")


def count(text: str) -> int:
    """Return the number of at least 1 in an argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("must be at least 0 and less than 1")
    return value


def decided(session: Any, arguments: argparse.Namespace, given: Recipe | None, backend: str) -> tuple[Recipe, Told]:
    """Return what the command line decides for the open model, and say on standard error what does not fit.

    Args:
        session: Holds model and data.
        arguments: The command line.
        given: The recipe file it names, None for none.
        backend: The engine, empty for the advised one.
    """
    layers = session.opened_model.description.layers
    mode = Mode(arguments.mode) if arguments.mode else None
    start: Recipe = session.advised_recipe(backend, mode if given is None else None)
    recipe, notes = start, tuple[str, ...]()
    if given is not None:
        notes = fitting.travel_notes(given, start.model)
        data = _with_choices(start.data, given.data)
        recipe = msgspec.structs.replace(given, backend=start.backend, model=start.model, data=data)
        recipe = fitting.with_own_found(recipe, start.rules)
    observer = Observer(ObserverKind(arguments.observer)) if arguments.observer else None
    steps: dict[str, Any] = {step: True for step in STEPS if getattr(arguments, step)}
    if observer is not None or steps:
        recipe = for_all(recipe, PatternRule("*", observer=observer, **steps), layers)
    training = _training_of(arguments, recipe.training)
    recipe = msgspec.structs.replace(recipe, training=training, patterns=(*recipe.patterns, *arguments.rule))
    found = session.fitted(recipe)
    notes = (*notes, *(outcome.kept_sentence for outcome in found.outcomes if outcome.kept))
    told = Told(found.told, notes)
    for line in (*told.notes, *told.misfits):
        sys.stderr.write(f"{line}\n")
    return found.recipe, told


def told_in_json(recipe: Recipe, told: Told) -> dict[str, Any]:
    """Return what is told of the decisions with `--json`: patterns, what does not fit, and notes."""
    return {
        "patterns": [patterns.line_of(rule) for rule in recipe.patterns],
        "misfits": msgspec.to_builtins(told.misfits),
        "notes": list(told.notes),
    }


def for_all(recipe: Recipe, wish: PatternRule, layers: Sequence[Layer]) -> Recipe:
    """Return the recipe with a wish granted to all layers that may have it, those that were decided singly too.

    Where the recipe has patterns, the wish becomes the last of them: else they would win over it.
    """
    bare = recipe.without_patterns()
    edits = fitting.edits_of(wish, recipe.backend).values()
    rules = {layer.name: _edited(layer, bare.rules[layer.name], edits) for layer in layers if layer.name in bare.rules}
    more = (wish,) if recipe.patterns else ()
    return msgspec.structs.replace(bare, rules={**bare.rules, **rules}, patterns=(*recipe.patterns, *more))


def _edited(layer: Layer, rule: Rule, edits: Iterable[decisions.Edit]) -> Rule:
    for edit in edits:
        outcome = edit(layer, rule)
        rule = rule if isinstance(outcome, str) else outcome
    return rule


def _training_of(arguments: argparse.Namespace, start: Training) -> Training:
    """Return training settings in which the given options stand in place of a recipe's."""
    given = {
        "epochs": arguments.epochs,
        "batch_size": arguments.train_batch,
        "optimizer": arguments.optimizer,
        "learning_rate": arguments.lr,
        "schedule": arguments.schedule,
        "weight_decay": arguments.weight_decay,
        "loss": arguments.loss,
        "ranges": arguments.train_ranges,
        "freeze_observers": arguments.freeze_observers,
        "freeze_batch_norm": arguments.freeze_batch_norm,
        "only_qat": None if arguments.train_all is None else not arguments.train_all,
        "seed": arguments.train_seed,
        "samples": arguments.train_samples,
        "validation": arguments.validation,
        "device": arguments.device,
    }
    return msgspec.structs.replace(start, **{name: value for name, value in given.items() if value is not None})


def _with_choices(data: DataReference, given: DataReference) -> DataReference:
    """Return the data of the command line with the choices about calibration that a recipe made for the same data."""
    if given.source != data.source:
        return data
    return msgspec.structs.replace(
        data, excluded=data.excluded or given.excluded, finite_only=data.finite_only or given.finite_only
    )
