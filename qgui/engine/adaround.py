"""AdaRound: learned rounding of one weight.

Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020. Each element is rounded
down plus a rectified sigmoid of a learned variable, which a regularizer of growing sharpness drives to 0 or 1 while the
layer's output on sampled inputs stays near the float one. Errors count only where the clamp behind the layer lets the
output through, and without their mean where bias correction takes that up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from qgui.engine.columns import Bounds, passes

ITERATIONS = 500
#: Columns that one step sees.
BATCH = 256
LEARNING_RATE = 0.02
#: Ends of the stretched sigmoid (Louizos et al. 2018, as in the paper).
ZETA, GAMMA = 1.1, -0.1
#: Share of the steps before the regularizer sets in, and how its exponent falls.
WARM_UP, BETA_START, BETA_END = 0.2, 20.0, 2.0
#: Weight of the regularizer against the error relative to that of rounding to nearest.
REGULARIZATION = 1.0
#: Share of the columns on which the outcome is judged and that it has not learned from.
HELD_OUT = 0.25
#: With fewer columns nothing can be learned that holds for others.
FEWEST = 8


@dataclass
class Problem:
    """A weight to be rounded.

    Attributes:
        weight: Shape `(groups, outputs, inputs)`.
        scale: Shape `(groups, outputs, 1)`.
        quant_min: Least level.
        quant_max: Greatest level.
        columns: Shape `(groups, inputs, positions)`: what the layer reads.
        outputs: Shape `(groups, outputs, positions)`: what it gives in float.
        bounds: To which its only readers limit that.
        centred: Whether a bias will take up the mean error.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    quant_min: int
    quant_max: int
    columns: torch.Tensor
    outputs: torch.Tensor
    bounds: Bounds
    centred: bool

    def nearest(self) -> torch.Tensor:
        """Return the levels nearest to the weight."""
        return torch.round(self.weight / self.scale).clamp(self.quant_min, self.quant_max)


def learn(
    problem: Problem, seed: int = 0, iterations: int = ITERATIONS, step: Callable[[], None] | None = None
) -> torch.Tensor:
    """Return the levels of a weight, shape `(groups, outputs, inputs)`, int8.

    An output channel keeps the nearest levels where the learned ones are not better on inputs that were held out.

    Args:
        problem: The weight and samples of what it is multiplied with.
        seed: Seed of the order of the columns.
        iterations: Number of steps.
        step: Called before every step; may raise to stop.
    """
    total = problem.columns.shape[2]
    if total < FEWEST:
        return problem.nearest().to(torch.int8)
    held = max(1, int(total * HELD_OUT))
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    errors = _errors(problem, order[held:])
    judge = _errors(problem, order[:held], whole=True)
    nearest = problem.nearest()
    base = judge(nearest * problem.scale - problem.weight)
    reference = float(errors(nearest * problem.scale - problem.weight).sum().clamp_min(1e-30))
    floor = torch.floor(problem.weight / problem.scale)
    part = ((problem.weight / problem.scale - floor).clamp(1e-4, 1 - 1e-4) - GAMMA) / (ZETA - GAMMA)
    variable = torch.log(part / (1 - part)).requires_grad_()
    optimizer = torch.optim.Adam([variable], lr=LEARNING_RATE)
    for iteration in range(iterations):
        if step is not None:
            step()
        with torch.enable_grad():
            up = _rectified(variable)
            levels = (floor + up).clamp(problem.quant_min, problem.quant_max)
            loss = errors(levels * problem.scale - problem.weight).sum() / reference
            done = iteration / iterations
            if done >= WARM_UP:
                beta = BETA_START + (BETA_END - BETA_START) * (done - WARM_UP) / (1 - WARM_UP)
                loss = loss + REGULARIZATION * (1 - (2 * up - 1).abs().pow(beta)).mean()
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    with torch.no_grad():
        levels = (floor + (_rectified(variable) >= 0.5)).clamp(problem.quant_min, problem.quant_max)
        better = judge(levels * problem.scale - problem.weight) < base
        return torch.where(better[..., None], levels, nearest).to(torch.int8)


def _rectified(variable: torch.Tensor) -> torch.Tensor:
    return (torch.sigmoid(variable) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


def _errors(problem: Problem, chosen: torch.Tensor, whole: bool = False) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what maps a change of the weight to the squared error per output channel, shape `(groups, outputs)`.

    Depthwise layers have few inputs: the second moments of their columns say all, exactly and quickly. Others see the
    next few columns at every call, or the whole of them.
    """
    columns, outputs = problem.columns[:, :, chosen], problem.outputs[:, :, chosen]
    mask = passes(outputs, problem.bounds)
    if problem.weight.shape[1] == 1 and len(problem.weight) > 1:
        return _quadratic(columns, mask, problem.centred)
    turn = [0]

    def error(change: torch.Tensor) -> torch.Tensor:
        count = columns.shape[2]
        if whole or count <= BATCH:
            part = slice(0, count)
        else:
            windows = -(-count // BATCH)
            start = min(turn[0] % windows * BATCH, count - BATCH)
            turn[0] += 1
            part = slice(start, start + BATCH)
        moved = change @ columns[:, :, part]
        kept = None if mask is None else mask[:, :, part]
        counted = moved if kept is None else moved * kept
        if problem.centred:
            number = float(moved.shape[2]) if kept is None else kept.sum(2, keepdim=True).clamp_min(1.0)
            away = counted - counted.sum(2, keepdim=True) / number
            counted = away if kept is None else away * kept
        return counted.square().mean(2)

    return error


def _quadratic(
    columns: torch.Tensor, mask: torch.Tensor | None, centred: bool
) -> Callable[[torch.Tensor], torch.Tensor]:
    weighted = columns if mask is None else columns * mask
    second = weighted @ columns.transpose(1, 2)
    if centred:
        sums = weighted.sum(2, keepdim=True)
        number = columns.shape[2] if mask is None else mask.sum(2, keepdim=True).clamp_min(1.0)
        second = second - sums @ sums.transpose(1, 2) / number
    second = second / columns.shape[2]
    return lambda change: ((change @ second) * change).sum(2)
