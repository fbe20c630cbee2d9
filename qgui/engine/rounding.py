"""Better than rounding to nearest: AdaRound and bias correction for the ticked layers, and what each does there."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import fx

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.ranges import decibel
from qgui.core.recipe import Recipe
from qgui.core.results import StepEffect
from qgui.engine import adaround, columns, memory
from qgui.engine.adaround import Problem
from qgui.engine.batch import Batch
from qgui.engine.collect import fingerprint
from qgui.engine.columns import Bounds, Weighted
from qgui.engine.data import Data
from qgui.engine.fx.fold import WeightAndBias
from qgui.engine.moments import InputMoments
from qgui.engine.progress import Progress

#: Columns from which the rounding of one layer is learned, and samples from which they come at the most.
COLUMNS, SAMPLES = 2048, 64
#: Bytes of columns and outputs that are held at a time; larger models take several passes over the samples.
BUDGET = 384 * 1024 * 1024
#: Samples and positions of each on which the effects are measured.
_EFFECT_SAMPLES, _EFFECT_POSITIONS = 8, 64

#: One weight with its bias: shapes `(groups, outputs, inputs)` and `(groups, outputs, 1)`.
_Pair = tuple[torch.Tensor, torch.Tensor]


class Learned:
    """Levels that were learned, by what they were learned from: the same decision is not learned twice."""

    def __init__(self) -> None:
        self.levels: dict[str, torch.Tensor] = {}

    def save(self, path: Path) -> None:
        """Write the levels to a file, atomically; without any there is no file.

        Raises:
            QguiError: The file cannot be written.
        """
        if not self.levels:
            path.unlink(missing_ok=True)
            return
        temporary = path.with_name(f".{path.name}")
        try:
            save_file({key: value.contiguous() for key, value in self.levels.items()}, temporary)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise QguiError(say("Could not write {path}", path=path), str(error), say("Free some space.")) from error

    def take(self, path: Path) -> None:
        """Take over the levels in a file, where there is one.

        Raises:
            QguiError: It cannot be read.
        """
        if not path.is_file():
            return
        try:
            self.levels |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise QguiError(say("Could not read {path}", path=path), str(error), say("Quantize again.")) from error


@dataclass
class Improved:
    """What the steps make of a model.

    Attributes:
        weights: Node name to the weight on its levels and the bias.
        effects: Layer path to what each step does.
    """

    weights: dict[str, WeightAndBias] = field(default_factory=dict)
    effects: dict[str, tuple[StepEffect, ...]] = field(default_factory=dict)


@dataclass
class _Target:
    """A layer whose weight or bias is to be improved."""

    layer: Layer
    module: Weighted
    scale: torch.Tensor
    quant_min: int
    quant_max: int
    bounds: Bounds
    adaround: bool
    correct_bias: bool

    @property
    def weight(self) -> torch.Tensor:
        """The float weight, shape `(groups, outputs, inputs)`."""
        groups = int(getattr(self.module, "groups", 1))
        weight = self.module.weight.detach()
        return weight.reshape(groups, weight.shape[0] // groups, -1)

    @property
    def bias(self) -> torch.Tensor:
        """The float bias, zero where there is none, shape `(groups, outputs, 1)`."""
        groups, outputs, _ = self.weight.shape
        bias = self.module.bias
        return torch.zeros(groups, outputs, 1) if bias is None else bias.detach().reshape(groups, outputs, 1)

    def nearest(self) -> torch.Tensor:
        """The weight on its nearest levels."""
        return torch.round(self.weight / self.scale).clamp(self.quant_min, self.quant_max) * self.scale

    def key(self, model: str, data: Data) -> str:
        """Return what the learned levels depend on, as a hash: the model up to the layer, the data, the decision."""
        digest = hashlib.sha256(self.scale.contiguous().numpy().tobytes())
        reference = msgspec.structs.replace(data.reference, evaluate=0, metric="", batch_size=1)
        facts = (model, self.layer.node, self.quant_min, self.quant_max, self.bounds, self.correct_bias)
        digest.update(repr((*facts, reference, _samples(data))).encode())
        return digest.hexdigest()[:32]


def improve(
    description: ModelDescription,
    fused: fx.GraphModule,
    recipe: Recipe,
    decisions: Mapping[str, Any],
    moments: Mapping[str, InputMoments],
    learned: Learned,
    data: Data | None,
    progress: Progress,
    with_effects: bool = True,
) -> Improved:
    """Return the weights and biases that AdaRound and bias correction give the ticked layers.

    Args:
        description: The model.
        fused: Its fused float graph.
        recipe: Says which layers are ticked.
        decisions: The scale of every weight.
        moments: Input means of one calibration pass.
        learned: Levels learned before; those learned now are added.
        data: Calibration samples to learn from and others to measure the effects on.
        progress: Told while levels are learned.
        with_effects: Whether to measure what each step does.

    Raises:
        QguiError: A step needs a calibration pass or samples, and there are none.
        Cancelled: The person asked to stop.
    """
    targets = _targets(description, fused, recipe, decisions)
    improved = Improved()
    if not targets:
        return improved
    missing = [name for name, target in targets.items() if target.correct_bias and name not in moments]
    if missing:
        why = say("nothing is known yet of what {name} reads", name=targets[missing[0]].layer.name)
        raise QguiError(say("Could not correct the bias"), why, say("Calibrate first."))
    model = fingerprint(fused) if any(target.adaround for target in targets.values()) else ""
    with memory.held():
        _learn_missing(fused, model, targets, learned, data, progress)
    variants: dict[str, list[_Pair]] = {}
    for name, target in targets.items():
        nearest, bias = target.nearest(), target.bias
        steps: list[_Pair] = [(nearest, bias)]
        if target.correct_bias:
            steps.append((nearest, _corrected(target, nearest, moments[name])))
        if target.adaround and data is not None:
            levels = learned.levels[target.key(model, data)].reshape(target.weight.shape) * target.scale
            steps.append((levels, _corrected(target, levels, moments[name]) if target.correct_bias else bias))
        variants[name] = steps
        improved.weights[name] = (steps[-1][0], steps[-1][1].reshape(-1))
    if data is not None and with_effects:
        improved.effects = _effects(fused, targets, variants, data, progress)
    return improved


def _corrected(target: _Target, weight: torch.Tensor, moments: InputMoments) -> torch.Tensor:
    """Return the bias that takes up the mean error of a rounded weight.

    Raises:
        QguiError: The moments belong to another model.
    """
    change = (target.weight - weight).reshape(-1, weight.shape[2])
    if moments.sums.shape[0] != weight.shape[0] or moments.sums.shape[2] != weight.shape[2]:
        why = say("the input means of {name} belong to another model", name=target.layer.name)
        raise QguiError(say("Could not correct the bias"), why, say("Calibrate again."))
    return target.bias + torch.from_numpy(moments.mean_outputs(change.numpy())).reshape_as(target.bias)


def _targets(
    description: ModelDescription, fused: fx.GraphModule, recipe: Recipe, decisions: Mapping[str, Any]
) -> dict[str, _Target]:
    bounds, modules = (
        columns.bounds_of({t.name: t.clamp for t in description.tensors}, fused),
        columns.weighted_nodes(fused),
    )
    found = {}
    for layer in description.layers:
        rule, module = recipe.rule(layer.name), modules.get(layer.node)
        decided = decisions["layers"].get(layer.node, {}).get("weight", {})
        ticked = rule.adaround or rule.correct_bias
        if not (layer.head and ticked and module is not None and "scale" in decided):
            continue
        groups = int(getattr(module, "groups", 1))
        scale = torch.tensor(decided["scale"], dtype=torch.float32).expand(module.weight.shape[0])
        found[layer.node] = _Target(
            layer,
            module,
            scale.reshape(groups, -1, 1),
            decided["quant_min"],
            decided["quant_max"],
            bounds[layer.node],
            rule.adaround,
            rule.correct_bias,
        )
    return found


def _samples(data: Data) -> list[int]:
    """Return the calibration samples from which rounding is learned, spread over all of them."""
    count = min(SAMPLES, len(data.calibration))
    return [data.calibration[i * len(data.calibration) // count] for i in range(count)]


def _learn_missing(
    fused: fx.GraphModule,
    model: str,
    targets: Mapping[str, _Target],
    learned: Learned,
    data: Data | None,
    progress: Progress,
) -> None:
    wanted = {name: target for name, target in targets.items() if target.adaround}
    if wanted and data is None:
        raise QguiError(
            say("Could not learn rounding"), say("AdaRound needs calibration samples"), say("Open data first.")
        )
    if data is None:
        return
    waiting = [name for name, target in wanted.items() if target.key(model, data) not in learned.levels]
    total, done = len(waiting) * adaround.ITERATIONS, 0

    def step() -> None:
        nonlocal done
        progress.step(say("Learning rounding"), done, total)
        done += 1

    for group in _groups(waiting, wanted):
        read, given = _gather(fused, group, data, progress)
        for name in group:
            target = wanted[name]
            groups, outputs, inputs = target.weight.shape
            problem = Problem(
                target.weight,
                target.scale,
                target.quant_min,
                target.quant_max,
                read.pop(name),
                given.pop(name),
                target.bounds,
                target.correct_bias,
            )
            levels = adaround.learn(problem, iterations=adaround.ITERATIONS, step=step)
            learned.levels[target.key(model, data)] = levels.reshape(groups * outputs, inputs)


def _groups(names: Sequence[str], targets: Mapping[str, _Target]) -> Iterator[list[str]]:
    """Yield layers whose columns and outputs fit into the budget together."""
    group: list[str] = []
    held = 0
    for name in names:
        groups, outputs, inputs = targets[name].weight.shape
        size = 4 * groups * (inputs + outputs) * COLUMNS
        if group and held + size > BUDGET:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _gather(
    fused: fx.GraphModule, names: Sequence[str], data: Data, progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what layers read and give at sampled positions of the calibration samples."""
    read: defaultdict[str, list[torch.Tensor]] = defaultdict(list)
    given: defaultdict[str, list[torch.Tensor]] = defaultdict(list)

    def take(name: str, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        read[name].append(inputs)
        given[name].append(outputs)

    chosen = _samples(data)
    watching = columns.Watching(fused, names, max(1, COLUMNS // len(chosen)), take)
    _run(watching, fused, data.batches(chosen), progress)
    return (
        {name: torch.cat(parts, 2)[:, :, : 2 * COLUMNS] for name, parts in read.items()},
        {name: torch.cat(parts, 2)[:, :, : 2 * COLUMNS] for name, parts in given.items()},
    )


def _run(watching: columns.Watching, fused: fx.GraphModule, batches: Iterable[Batch], progress: Progress) -> None:
    names = [str(node.target) for node in fused.graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        for turn, batch in enumerate(batches):
            progress.check()
            watching.shift = turn
            watching.run(*batch.positional(names))


def _effects(
    fused: fx.GraphModule,
    targets: Mapping[str, _Target],
    variants: Mapping[str, list[_Pair]],
    data: Data,
    progress: Progress,
) -> dict[str, tuple[StepEffect, ...]]:
    """Return what each step does for the SQNR of its layer's output, its inputs being exact, on evaluation samples."""
    signal: defaultdict[str, float] = defaultdict(float)
    noise = {name: np.zeros(len(steps)) for name, steps in variants.items()}

    def take(name: str, inputs: torch.Tensor, _outputs: torch.Tensor) -> None:
        target = targets[name]
        exact = _clamped(target.weight @ inputs + target.bias, target.bounds)
        signal[name] += float(exact.double().square().sum())
        for place, (weight, bias) in enumerate(variants[name]):
            found = _clamped(weight @ inputs + bias, target.bounds)
            noise[name][place] += float((exact - found).double().square().sum())

    watching = columns.Watching(fused, list(targets), _EFFECT_POSITIONS, take)
    samples = data.evaluation[:_EFFECT_SAMPLES]
    _run(watching, fused, data.batches(samples), progress)
    effects = {}
    for name, target in targets.items():
        ratios = [decibel(signal[name], float(energy)) for energy in noise[name]]
        names = [step for step, ticked in _steps(target) if ticked]
        effects[target.layer.name] = tuple(
            StepEffect(step, before, after) for step, before, after in zip(names, ratios, ratios[1:], strict=False)
        )
    return effects


def _steps(target: _Target) -> tuple[tuple[str, bool], ...]:
    return ("correct_bias", target.correct_bias), ("adaround", target.adaround)


def _clamped(value: torch.Tensor, bounds: Bounds) -> torch.Tensor:
    return value if bounds == (None, None) else value.clamp(*bounds)
