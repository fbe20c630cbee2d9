"""How `qat` layers are trained: the settings that belong to a recipe, and what stands for a setting left to itself."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

CROSS_ENTROPY = "cross-entropy"
DISTILL = "distill"

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "step", "constant"]
RangeMethod = Literal["moving_average", "lsq"]

#: Steps of the optimizer that a run left to itself aims at.
AUTOMATIC_STEPS = 240
AUTOMATIC_EPOCHS = (3, 10)
AUTOMATIC_BATCH = (4, 32)
LEARNING_RATES: dict[Optimizer, float] = {"adamw": 1e-5, "sgd": 1e-3}


class Steering(msgspec.Struct, frozen=True):
    """What a person changed while the training was paused; it holds from a step on.

    Attributes:
        step: The first optimizer step for which it holds.
        learning_rate: Learning rate before the schedule's factor.
        freeze_observers: Epoch from which ranges stay.
        freeze_batch_norm: Epoch from which BatchNorm keeps its statistics.
    """

    step: int
    learning_rate: float
    freeze_observers: int
    freeze_batch_norm: int


class Training(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the `qat` layers of a recipe are trained. Numbers of 0 and the empty loss are chosen from the data.

    Attributes:
        epochs: Passes over the training samples; 0 chooses.
        batch_size: Samples per optimizer step; 0 chooses.
        optimizer: `sgd` with momentum, or `adamw` (Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
            2019).
        learning_rate: Learning rate at the start; 0 chooses.
        schedule: `cosine` falls to zero, `step` falls to a tenth after two thirds of the steps.
        weight_decay: For weights, not for biases, BatchNorm or scales.
        momentum: Of `sgd`.
        loss: `cross-entropy`, `distill` (from the float model, needs no labels), `PATH.py:CALLABLE` that is given
            outputs and target and returns a scalar tensor, or empty: the first where there are labels, else the second.
        temperature: Divides both sides' class scores in `distill` (Hinton et al., 2015).
        output_share: Share in `distill` of the noise-to-signal ratio of the outputs; the rest is the Kullback-Leibler
            divergence of the classes.
        ranges: `moving_average` follows the extremes of the batches, `lsq` learns the scales (Esser et al., "Learned
            Step Size Quantization", 2020).
        averaging_constant: Weight of the newest batch for `moving_average`.
        freeze_observers: Epoch from which ranges stay; -1 chooses.
        freeze_batch_norm: Epoch from which BatchNorm keeps its statistics; 0 is from the start.
        only_qat: Whether only `qat` layers are trained; else every weight of the model is.
        seed: Seed of the order of samples, of the validation part and of everything random.
        samples: Samples to train and validate with; 0 takes all that are not evaluated.
        validation: Share of them that is not trained on and by which the best epoch is chosen.
        device: `cpu`, `cuda` or `mps`; conversion is always on the CPU.
        steering: What was changed while the training was paused.
    """

    epochs: int = 0
    batch_size: int = 0
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.0
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    momentum: float = 0.9
    loss: str = ""
    temperature: float = 1.0
    output_share: float = 0.5
    ranges: RangeMethod = "lsq"
    averaging_constant: float = 0.01
    freeze_observers: int = -1
    freeze_batch_norm: int = 0
    only_qat: bool = True
    seed: int = 0
    samples: int = 0
    validation: float = 0.2
    device: str = "cpu"
    steering: tuple[Steering, ...] = ()

    def at(self, step: int) -> Steering:
        """Return what holds at a step of a resolved run: the last steering before it, else the settings."""
        held = Steering(0, self.learning_rate, self.freeze_observers, self.freeze_batch_norm)
        for change in self.steering:
            if change.step <= step:
                held = change
        return held


def resolved(settings: Training, samples: int, labelled: bool) -> Training:
    """Return settings with numbers in place of those left to themselves.

    Args:
        settings: The person's.
        samples: Number of samples that are trained on, validation left out.
        labelled: Whether the data has labels.
    """
    smallest, largest = AUTOMATIC_BATCH
    power = 2 ** int(math.log2(max(samples / 8, 1)))
    batch_size = settings.batch_size or min(max(power, smallest), largest, max(samples, 1))
    steps = max(math.ceil(samples / batch_size), 1)
    fewest, most = AUTOMATIC_EPOCHS
    epochs = settings.epochs or min(max(round(AUTOMATIC_STEPS / steps), fewest), most)
    freeze = settings.freeze_observers if settings.freeze_observers >= 0 else math.ceil(epochs * 2 / 3)
    return msgspec.structs.replace(
        settings,
        batch_size=batch_size,
        epochs=epochs,
        freeze_observers=freeze,
        learning_rate=settings.learning_rate or LEARNING_RATES[settings.optimizer],
        loss=settings.loss or (CROSS_ENTROPY if labelled else DISTILL),
    )


def parts(samples: int, settings: Training) -> tuple[int, int]:
    """Return how many of some samples are trained on and how many validate."""
    count = min(settings.samples, samples) if settings.samples else samples
    held = min(max(round(count * settings.validation), 1), count - 1) if settings.validation > 0 and count > 1 else 0
    return count - held, held


def schedule_factor(schedule: Schedule, step: int, total: int) -> float:
    """Return by what the learning rate is multiplied at a step of `total`."""
    share = step / max(total, 1)
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * share))
    if schedule == "step":
        return 1.0 if share < 2 / 3 else 0.1
    return 1.0
