"""When a training goes wrong: numbers that are not finite, and a loss that diverges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.training import CROSS_ENTROPY, DISTILL, Training

STOPPED = say("Training stopped")
#: A training has diverged when the running mean of its loss is so many times that at the start.
_TIMES = 10.0
_MEMORY = 0.9
#: Steps before which nothing is concluded.
_FEWEST = 5


@dataclass
class Divergence:
    """Watches the loss.

    Attributes:
        start: Loss at the start.
        worthless: Loss of outputs that say nothing; no loss below has diverged.
        mean: Running mean.
        steps: Steps seen.
    """

    start: float = 0.0
    worthless: float = 0.0
    mean: float = 0.0
    steps: int = 0

    def seen(self, loss: float) -> bool:
        """Take in the loss of a step, and return whether the training has diverged."""
        self.mean = _MEMORY * self.mean + (1 - _MEMORY) * loss if self.steps else loss
        self.steps += 1
        return self.steps >= _FEWEST and self.mean > max(_TIMES * abs(self.start), self.worthless)

    def failure(self, step: int, epoch: int, best: int, learning_rate: float) -> QguiError:
        """Return the failure to be raised."""
        return QguiError(
            STOPPED,
            say(
                "the loss diverges: it was {start:.3g} at the start and is {mean:.3g} after step {step} "
                "(epoch {epoch}), at learning rate {learning_rate:g}",
                start=self.start,
                mean=self.mean,
                step=step,
                epoch=epoch + 1,
                learning_rate=learning_rate,
            ),
            say("The best state so far, epoch {best}, is kept. Use a learning rate ten times smaller.", best=best),
        )


def worthless_loss(settings: Training, classes: int) -> float:
    """Return what a loss is for outputs that say nothing: a guess, or as much noise as signal; 1 for a person's own."""
    if settings.loss == DISTILL and (settings.output_share > 0 or classes < 2):
        return settings.output_share if classes > 1 else 1.0
    return math.log(classes) if settings.loss in (CROSS_ENTROPY, DISTILL) and classes > 1 else 1.0


class _FirstUnfinite(fx.Interpreter):
    """Runs a graph and remembers the first node that gives NaN or infinite values."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found = ""

    def run_node(self, n: fx.Node) -> object:
        value: object = super().run_node(n)
        computed = n.op not in ("placeholder", "get_attr", "output")
        if computed and not self.found and isinstance(value, torch.Tensor) and value.is_floating_point():
            self.found = n.name if not bool(torch.isfinite(value).all()) else ""
        return value


def first_unfinite(module: fx.GraphModule, inputs: Sequence[torch.Tensor]) -> str:
    """Return the first node of a graph that gives NaN or infinite values for inputs, empty where none does."""
    finder = _FirstUnfinite(module)
    with torch.no_grad():
        finder.run(*inputs)
    return finder.found


def not_finite(what: str, value: float, layer: str, step: int, epoch: int, best: int | None) -> QguiError:
    """Return the failure of a loss or gradient that is no number.

    Args:
        what: `loss`, `validation loss` or `gradient`.
        value: NaN or infinite.
        layer: In which it begins; empty where all layers give finite values.
        step: Steps done.
        epoch: Epochs done.
        best: Epoch whose state is kept, None where there is none.
    """
    where = say("the first values that are not finite belong to {layer}", layer=layer)
    if not layer:
        where = say("all layers still give finite values, so it begins in the {what} itself", what=what)
    place = (
        say("after step {step} (epoch {epoch})", step=step, epoch=epoch + 1) if step else say("before the first step")
    )
    kept = say("The best state so far, epoch {best}, is kept. ", best=best) if best is not None else ""
    advice = say("Use a smaller learning rate, or leave that layer static or float.")
    return QguiError(
        STOPPED,
        say("the {what} became {value} {place}; {where}", what=what, value=value, place=place, where=where),
        f"{kept}{advice}",
    )
