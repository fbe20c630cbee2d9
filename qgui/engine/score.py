"""Accuracy of two models on the same samples, and how far their outputs are apart."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.ranges import decibel
from qgui.core.results import Accuracy, Interval
from qgui.engine import python_source
from qgui.engine.batch import Batch
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
        notes: What the person should know.
    """

    float_accuracy: Accuracy | None
    quantized_accuracy: Accuracy | None
    delta: Interval | None
    agreement: float | None
    sqnr_db: float
    max_abs_diff: float
    notes: tuple[str, ...] = ()


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
        QguiError: A model raises or gives NaN, a label is out of range, or the metric fails.
        Cancelled: The person asked to stop.
    """
    signal = noise = greatest = 0.0
    outputs: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    targets: list[torch.Tensor] = []
    same: list[torch.Tensor] = []
    classes = True
    done = unlabelled = 0
    progress.step(say("Evaluating"), 0, total)
    with torch.inference_mode():
        for batch in batches:
            reference = main_output(batch.run(float_model)).float()
            result = main_output(quantized(batch)).float()
            comparable, difference = _difference(reference, result, batch.indices[0])
            signal += float(comparable.double().square().sum())
            noise += float(difference.double().square().sum())
            greatest = max(greatest, float(difference.abs().max()) if difference.numel() else 0.0)
            classes = classes and is_class_scores(reference)
            if classes:
                same.append(reference.argmax(1) == result.argmax(1))
            # Nothing else is kept: outputs like segmentation masks would soon fill the memory.
            if batch.target is not None and (metric or classes):
                outputs[0].append(reference)
                outputs[1].append(result)
                targets.append(batch.target)
            unlabelled += batch.target is None
            done += len(batch.indices)
            progress.step(say("Evaluating"), done, total)
    agreement = float(torch.cat(same).float().mean()) if classes and same else None
    left: Accuracy | None = None
    right: Accuracy | None = None
    delta: Interval | None = None
    notes: tuple[str, ...] = ()
    labelled = bool(targets) and not unlabelled
    if metric and labelled:
        left, right, delta, notes = _by_metric(outputs, targets, metric)
    elif classes and labelled:
        target = torch.cat(targets)
        if target.is_floating_point() and bool((target != target.round()).any()):
            notes = (say("The targets are no class indices, so there is no accuracy; give another metric (--metric)."),)
        else:
            left, right, delta = _by_class(torch.cat(outputs[0]), torch.cat(outputs[1]), target)
    return Scores(left, right, delta, agreement, decibel(signal, noise), greatest, notes)


def _difference(reference: torch.Tensor, result: torch.Tensor, sample: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the float output and how far the other is from it; where both are the same infinity, both are zero.

    Raises:
        QguiError: They cannot be compared.
    """
    what, place = say("Could not score the model"), say("in the batch of sample {sample}", sample=sample)
    if reference.shape != result.shape:
        shapes = say(" and ").join("x".join(map(str, output.shape)) for output in (reference, result))
        hint = say("Let forward return a tensor whose shape does not depend on the values, or leave more layers float.")
        raise QguiError(
            what,
            say("float and quantized give outputs of different shapes {place}: {shapes}", place=place, shapes=shapes),
            hint,
        )
    masked = torch.isinf(reference) & (reference == result)
    comparable, other = reference.masked_fill(masked, 0.0), result.masked_fill(masked, 0.0)
    for output, name in ((comparable, say("float")), (other, say("quantized"))):
        if not bool(torch.isfinite(output).all()):
            hint = say("Look at that sample and at the model; scores of such outputs would mean nothing.")
            raise QguiError(
                what,
                say("the output of the {name} model holds NaN or infinite values {place}", name=name, place=place),
                hint,
            )
    return comparable, comparable - other


def _by_class(left: torch.Tensor, right: torch.Tensor, target: torch.Tensor) -> tuple[Accuracy, Accuracy, Interval]:
    labels, classes = target.reshape(-1).long(), left.shape[1]
    if len(labels) != len(left):
        raise QguiError(
            say("Could not score the model"),
            say("{outputs} outputs meet {labels} labels", outputs=len(left), labels=len(labels)),
            say("Give one label per sample."),
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        raise QguiError(
            say("Could not score the model"),
            say(
                "label {wrong} is out of range: the model knows {classes} classes, 0 to {last}",
                wrong=wrong,
                classes=classes,
                last=classes - 1,
            ),
            say("Number the classes as the model does (classes.txt gives the order for folders), or use --metric."),
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
) -> tuple[Accuracy, Accuracy, Interval | None, tuple[str, ...]]:
    """Return a person's own metric of both models, and the bootstrap interval of the difference.

    The metric of a resample may fail, as one of a single class does; such resamples are left out.
    """
    function: Metric = python_source.load_callable(source, say("Could not use the metric"))
    name = source.rpartition(":")[2]
    what = say("Could not compute the metric")
    try:
        left, right, target = torch.cat(outputs[0]), torch.cat(outputs[1]), torch.cat(targets)
    except RuntimeError as error:
        hint = say("Let every sample have the same size, for instance with --crop.")
        raise QguiError(
            what, say("outputs or targets of the samples differ in shape ({error})", error=error), hint
        ) from error

    def value(output: torch.Tensor, wanted: torch.Tensor) -> float:
        found = python_source.call(function, source, what, output, wanted)
        try:
            number = float(found)
        except (TypeError, ValueError) as error:
            why = say("{source} returned a {kind}", source=source, kind=type(found).__name__)
            raise QguiError(what, why, say("Let it return one number.")) from error
        if not math.isfinite(number):
            raise QguiError(
                what,
                say("{source} returned {number}", source=source, number=number),
                say("Let it return a finite number for these samples."),
            )
        return number

    values = value(left, target), value(right, target)
    accuracies = [Accuracy(len(target), metric=v, metric_name=name) for v in values]
    generator = np.random.default_rng(0)
    differences = []
    for _ in range(BOOTSTRAPS):
        chosen = torch.from_numpy(generator.integers(0, len(target), len(target)))
        with contextlib.suppress(QguiError):
            differences.append(value(right[chosen], target[chosen]) - value(left[chosen], target[chosen]))
    if len(differences) < BOOTSTRAPS // 2:
        note = say("{name} fails for most resamples of these samples, so its difference has no interval.", name=name)
        return accuracies[0], accuracies[1], None, (note,)
    low, high = np.percentile(differences, [2.5, 97.5])
    return accuracies[0], accuracies[1], Interval(values[1] - values[0], float(low), float(high)), ()
