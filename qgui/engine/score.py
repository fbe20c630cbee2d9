"""Accuracy of two models on the same samples, and how far their outputs are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qgui.core.errors import QguiError
from qgui.core.ranges import decibel
from qgui.core.results import Accuracy, Interval
from qgui.engine import python_source
from qgui.engine.data import Batch
from qgui.engine.outputs import is_class_scores, main_output
from qgui.engine.progress import Progress

Metric = Callable[[torch.Tensor, torch.Tensor], float]
#: Resamples of the paired bootstrap by which a person's own metric gets its interval.
BOOTSTRAPS = 400
_Z95 = 1.959963984540054


@dataclass
class Scores:
    """Two models on the same samples.

    Attributes:
        float_accuracy: None where there are no labels to score.
        quantized_accuracy: None where there are no labels to score.
        delta: Quantized minus float with its paired interval.
        agreement: Share of samples with the same best class; None where outputs are not class scores.
        sqnr_db: Ratio of the float output to the difference.
        max_abs_diff: Greatest absolute difference of the outputs.
    """

    float_accuracy: Accuracy | None
    quantized_accuracy: Accuracy | None
    delta: Interval | None
    agreement: float | None
    sqnr_db: float
    max_abs_diff: float


def score(
    float_model: nn.Module,
    quantized: Callable[[Batch], object],
    batches: Iterable[Batch],
    total: int,
    metric: str,
    progress: Progress,
) -> Scores:
    """Run both models over the evaluation samples.

    Args:
        float_model: The person's model.
        quantized: Runs the quantized model on a batch.
        batches: Evaluation batches.
        total: Number of evaluation samples.
        metric: `PATH.py:CALLABLE` of another metric, or empty.
        progress: Told after every batch.

    Raises:
        QguiError: A model raises, a label is out of range, or the metric fails.
        Cancelled: The person asked to stop.
    """
    signal = noise = greatest = 0.0
    outputs: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    targets: list[torch.Tensor] = []
    done = 0
    progress.step("Evaluating", 0, total)
    with torch.inference_mode():
        for batch in batches:
            reference = main_output(run(float_model, batch)).float()
            result = main_output(quantized(batch)).float()
            difference = reference - result
            signal += float(reference.double().square().sum())
            noise += float(difference.double().square().sum())
            greatest = max(greatest, float(difference.abs().max()))
            outputs[0].append(reference)
            outputs[1].append(result)
            if batch.target is not None:
                targets.append(batch.target)
            done += len(batch.indices)
            progress.step("Evaluating", done, total)
    agreement = _agreement(*outputs)
    left, right, delta = None, None, None
    if targets and len(targets) == len(outputs[0]):
        if metric:
            left, right, delta = _by_metric(outputs, targets, metric)
        elif all(is_class_scores(o) for o in outputs[0]):
            left, right, delta = _by_class(torch.cat(outputs[0]), torch.cat(outputs[1]), torch.cat(targets))
    return Scores(left, right, delta, agreement, decibel(signal, noise), greatest)


def run(model: nn.Module, batch: Batch) -> object:
    """Return what a model gives for a batch.

    Raises:
        QguiError: The model raises.
    """
    try:
        return batch.run(model)
    except Exception as error:
        lines = str(error).strip().splitlines()
        shapes = ", ".join("x".join(map(str, t.shape)) for t in batch.tensors)
        why = f"forward raised {type(error).__name__}: {lines[0] if lines else ''} (inputs: {shapes})"
        hint = "Check that the data has the shape and type the model takes."
        raise QguiError("Could not run the model", why, hint, str(error)) from error


def _agreement(left: list[torch.Tensor], right: list[torch.Tensor]) -> float | None:
    if not left or not all(is_class_scores(o) for o in left):
        return None
    same = torch.cat([a.argmax(1) == b.argmax(1) for a, b in zip(left, right, strict=True)])
    return float(same.float().mean())


def _by_class(left: torch.Tensor, right: torch.Tensor, target: torch.Tensor) -> tuple[Accuracy, Accuracy, Interval]:
    labels, classes = target.reshape(-1).long(), left.shape[1]
    if len(labels) != len(left):
        raise QguiError(
            "Could not score the model", f"{len(left)} outputs meet {len(labels)} labels", "Give one label per sample."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        raise QguiError(
            "Could not score the model",
            f"label {wrong} is out of range: the model knows {classes} classes, 0 to {classes - 1}",
            "Number the classes as the model does (classes.txt gives the order for folders), or use --metric.",
        )
    hits = [output.argmax(1) == labels for output in (left, right)]
    fives = [_top5(output, labels) for output in (left, right)]
    accuracies = [
        Accuracy(len(labels), top1=float(hit.float().mean()), top5=five) for hit, five in zip(hits, fives, strict=True)
    ]
    return accuracies[0], accuracies[1], paired_interval(hits[0].numpy(), hits[1].numpy())


def _top5(output: torch.Tensor, labels: torch.Tensor) -> float | None:
    if output.shape[1] < 10:
        return None
    return float((output.topk(5, 1).indices == labels[:, None]).any(1).float().mean())


def paired_interval(left: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> Interval:
    """Return the difference of two paired shares, right minus left, with its 95 % interval.

    The interval is the adjusted Wald interval for matched pairs: half a pair is added to each of the four cells
    (Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", 2005).

    Args:
        left: Shape `(samples,)`, whether the first model was right.
        right: Shape `(samples,)`, whether the second model was right.
    """
    count = len(left)
    lost, won = int((left & ~right).sum()), int((right & ~left).sum())
    n, b, c = count + 2.0, lost + 0.5, won + 0.5
    middle = (c - b) / n
    spread = _Z95 * math.sqrt(max((b + c) - (c - b) ** 2 / n, 0.0)) / n
    value = (won - lost) / count
    return Interval(value, min(middle - spread, value), max(middle + spread, value))


def _by_metric(
    outputs: tuple[list[torch.Tensor], list[torch.Tensor]], targets: list[torch.Tensor], source: str
) -> tuple[Accuracy, Accuracy, Interval]:
    function: Metric = python_source.load_callable(source, "Could not use the metric")
    left, right, target = torch.cat(outputs[0]), torch.cat(outputs[1]), torch.cat(targets)

    def value(output: torch.Tensor, wanted: torch.Tensor) -> float:
        result = python_source.call(function, source, "Could not compute the metric", output, wanted)
        return float(result)

    values = value(left, target), value(right, target)
    generator = np.random.default_rng(0)
    differences = []
    for _ in range(BOOTSTRAPS):
        chosen = torch.from_numpy(generator.integers(0, len(target), len(target)))
        differences.append(value(right[chosen], target[chosen]) - value(left[chosen], target[chosen]))
    low, high = np.percentile(differences, [2.5, 97.5])
    name = source.rpartition(":")[2]
    accuracies = [Accuracy(len(target), metric=v, metric_name=name) for v in values]
    return accuracies[0], accuracies[1], Interval(values[1] - values[0], float(low), float(high))
