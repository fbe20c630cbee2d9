"""How good a model is on samples while it is trained: loss, classes, and ratio of its outputs to the float model's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from qgui.core.ranges import decibel
from qgui.core.training_run import ScoreName
from qgui.engine.batch import Batch
from qgui.engine.outputs import is_class_scores
from qgui.engine.training_loss import Loss


@dataclass
class Scored:
    """Sums over samples.

    Attributes:
        samples: Number of samples.
        labelled: How many of them have a class index as label.
        right: How many are given their label.
        alike: How many are given the float model's class.
        is_classes: Whether outputs are class scores.
        classes: Number of classes.
        signal: Energy of the float model's outputs.
        noise: Energy of the difference.
        total_loss: Sum of the loss over samples.
    """

    samples: int = 0
    labelled: int = 0
    right: int = 0
    alike: int = 0
    is_classes: bool = False
    classes: int = 0
    signal: float = 0.0
    noise: float = 0.0
    total_loss: float = 0.0

    def add(self, output: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor | None, loss: float) -> None:
        """Take in a batch.

        Args:
            output: The model's output.
            teacher: The float model's output.
            target: Labels, None without.
            loss: Mean loss of the batch.
        """
        count = len(output)
        self.samples += count
        self.total_loss += loss * count
        self.signal += float(teacher.square().sum(dtype=torch.float32))
        self.noise += float((teacher - output).square().sum(dtype=torch.float32))
        self.is_classes = is_class_scores(output)
        if not self.is_classes:
            return
        self.classes = output.shape[1]
        best = output.argmax(1)
        self.alike += int((best == teacher.argmax(1)).sum())
        if target is not None and target.numel() == count and not target.is_floating_point():
            self.labelled += count
            self.right += int((best == target.reshape(-1)).sum())

    @property
    def loss(self) -> float:
        """Mean loss."""
        return self.total_loss / max(self.samples, 1)

    @property
    def sqnr_db(self) -> float:
        """Ratio of the float output to the difference in dB."""
        return decibel(self.signal, self.noise)

    def score(self, name: ScoreName) -> float:
        """Return what is scored."""
        if name == "accuracy":
            return self.right / max(self.labelled, 1)
        return self.alike / max(self.samples, 1) if name == "agreement" else self.sqnr_db


def score_name(found: Scored) -> ScoreName:
    """Return what can be scored: accuracy with labels, else agreement with the float model's classes, else SQNR."""
    if not found.is_classes:
        return "SQNR"
    return "accuracy" if found.labelled == found.samples else "agreement"


def scored(
    batches: Iterable[Batch],
    total: int,
    run: Callable[[Batch], torch.Tensor],
    teacher: Callable[[Batch], torch.Tensor],
    loss: Loss,
    told: Callable[[int, int], None],
) -> Scored:
    """Return how good a model is on batches.

    Args:
        batches: The samples.
        total: Their number, for progress.
        run: Returns the model's output.
        teacher: Returns the float model's output.
        loss: The loss.
        told: Told before every batch how many samples are done, and of how many.

    Raises:
        Cancelled: The person asked to stop.
    """
    found = Scored()
    for batch in batches:
        told(found.samples, total)
        output, reference = run(batch), teacher(batch)
        target = batch.target.to(output.device) if batch.target is not None else None
        found.add(output, reference, target, float(loss(output, reference, target)))
    told(total, total)
    return found
