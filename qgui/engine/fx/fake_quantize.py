"""Fake quantization with ranges that stay, follow the batches, or are learned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from qgui.core.qparams import EPSILON, Grid, qparams_of_range
from qgui.core.training import RangeMethod

Bounds = tuple[float | None, float | None] | None


class _Steps(torch.autograd.Function):
    """Rounds to a grid; straight-through gradient, and that of the scale as in "Learned Step Size Quantization".

    The few plain passes over memory that this takes are three times as fast on a CPU as PyTorch's own operations, and
    give the same bits.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, grid: Grid) -> torch.Tensor:
        wide = _along(scale, x)
        steps = (x * wide.reciprocal()).round_()
        level = _limited(steps, zero_point, grid)
        inside = steps == level
        y = level.mul_(wide)
        ctx.learns = ctx.needs_input_grad[1]
        ctx.factor = gradient_factor(x, grid)
        ctx.save_for_backward(inside, scale, *((x, y) if ctx.learns else ()))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        inside, scale, *values = ctx.saved_tensors
        for_scale = None
        if ctx.learns:
            x, y = values
            slope = torch.where(inside, y - x, y).mul_(gradient)
            total = slope.sum().reshape(1) if scale.numel() == 1 else slope.reshape(len(scale), -1).sum(1)
            for_scale = total / scale * ctx.factor
        return gradient * inside, for_scale, None, None


def gradient_factor(x: torch.Tensor, grid: Grid) -> float:
    """Return by what the gradient of a scale is multiplied: one over the root of features times levels (LSQ, 2.2)."""
    features = x[0].numel() if x.dim() > 1 else x.numel()
    return 1.0 / math.sqrt(max(features, 1) * grid.quant_max)


def _along(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return one value, or one per channel, so that it can be multiplied with a tensor."""
    return values.reshape(()) if values.numel() == 1 else values.reshape(-1, *[1] * (x.dim() - 1))


def _limited(steps: torch.Tensor, zero_point: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return steps from zero, limited to those that the integers reach."""
    if zero_point.numel() == 1:
        offset = int(zero_point)
        return steps.clamp(grid.quant_min - offset, grid.quant_max - offset)
    offsets = _along(zero_point, steps).to(steps.dtype)
    return torch.clamp(steps, grid.quant_min - offsets, grid.quant_max - offsets)


def rounded(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return a tensor laid upon the integers of a grid and back, as `torch.fake_quantize_per_tensor_affine` does.

    Args:
        x: Any shape; output channels first where the scale is per channel.
        scale: Shape `(channels,)`; gets a gradient where it asks for one.
        zero_point: Shape `(channels,)`, int32.
        grid: The integers.
    """
    if torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad):
        result: torch.Tensor = _Steps.apply(x, scale, zero_point, grid)
        return result
    wide = _along(scale, x)
    return _limited((x * wide.reciprocal()).round_(), zero_point, grid).mul_(wide)


class FakeQuantize(nn.Module):
    """Lays a tensor upon the integers of int8 and back, with the straight-through gradient.

    A learned scale is held as its logarithm, so that a step of the optimizer changes it by a share of itself, whatever
    its size (as thresholds in Jain et al., "Trained Quantization Thresholds", 2020).

    Args:
        scale: Shape `(channels,)`, float32; one element per tensor, or one per output channel.
        zero_point: Shape `(channels,)`, int32.
        grid: The integers.
        method: How the range moves; None for one that stays.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor

    def __init__(
        self, scale: torch.Tensor, zero_point: torch.Tensor, grid: Grid, method: RangeMethod | None = None
    ) -> None:
        super().__init__()
        self.grid = grid
        self.method = method
        self.frozen = False
        self.register_buffer("scale", scale.float().reshape(-1).clone())
        self.register_buffer("zero_point", zero_point.to(torch.int32).reshape(-1).clone())
        self.log_scale = nn.Parameter(self.scale.log()) if method == "lsq" else None

    @property
    def moves(self) -> bool:
        """Whether the range changes while training."""
        return self.method is not None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor after rounding to int8 and back."""
        if self.log_scale is not None and not self.frozen and torch.is_grad_enabled():
            return rounded(x, self.log_scale.exp(), self.zero_point, self.kernel_grid)
        return self.rounded(x)

    @property
    def kernel_grid(self) -> Grid:
        """The integers at which int8 kernels saturate: all of `quint8`, also where a range keeps to seven bits."""
        return Grid("quint8", 0, 255, self.grid.symmetric) if self.grid.dtype == "quint8" else self.grid

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor after rounding under the range as it is."""
        return rounded(x, self.scale, self.zero_point, self.kernel_grid)

    def rounded_with_zero_point(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor after rounding its sum with the zero point, in float32, instead of the value alone."""
        grid = self.kernel_grid
        levels = (x * self.scale.reciprocal()).add_(self.zero_point).round_().clamp_(grid.quant_min, grid.quant_max)
        return levels.sub_(self.zero_point).mul_(self.scale)

    def take_over(self) -> None:
        """Let the range follow what the optimizer or the batches made of it."""
        if self.log_scale is not None and not self.frozen:
            with torch.no_grad():
                self.scale.copy_(self.log_scale.exp())


class WeightFakeQuantize(FakeQuantize):
    """Fake quantization of a weight; `moving_average` keeps the range in proportion to the weight's extremes.

    Args:
        scale: Shape `(channels,)`.
        zero_point: Shape `(channels,)`.
        grid: The integers.
        method: How the range moves.
        weight: The weight at the start, BatchNorm folded; output channels first where the scale is per channel.
    """

    reference: torch.Tensor
    first_scale: torch.Tensor

    def __init__(
        self,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        grid: Grid,
        method: RangeMethod | None,
        weight: torch.Tensor,
    ) -> None:
        super().__init__(scale, zero_point, grid, method)
        self.register_buffer("reference", self._extent(weight.detach()))
        self.register_buffer("first_scale", self.scale.clone())

    def _extent(self, weight: torch.Tensor) -> torch.Tensor:
        if self.scale.numel() == 1:
            return weight.abs().amax().reshape(1)
        return weight.abs().reshape(len(self.scale), -1).amax(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weight after rounding to int8 and back."""
        if torch.is_grad_enabled():
            self.follow(x)
        return super().forward(x)

    def follow(self, weight: torch.Tensor) -> None:
        """Give `moving_average` the range that belongs to a weight."""
        if self.method == "moving_average" and not self.frozen:
            with torch.no_grad():
                grown = self._extent(weight) / self.reference.clamp_min(torch.finfo(torch.float32).tiny)
                following = (self.first_scale * grown).clamp_min(float(EPSILON))
                self.scale.copy_(torch.where(self.reference > 0, following, self.first_scale))


class ActivationFakeQuantize(FakeQuantize):
    """Fake quantization of an activation; `moving_average` moves the range as the extremes of the batches move.

    The share of the extremes that the observer chose to cover is kept.

    Args:
        scale: Shape `(1,)`.
        zero_point: Shape `(1,)`.
        grid: The integers.
        method: How the range moves.
        averaging_constant: Weight of the newest batch.
        bounds: To which the only readers clamp the tensor; the range stays within.
    """

    #: Low and high: chosen at the start, average of the extremes at the start, average now.
    extremes: torch.Tensor

    def __init__(
        self,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        grid: Grid,
        method: RangeMethod | None,
        averaging_constant: float = 0.01,
        bounds: Bounds = None,
    ) -> None:
        super().__init__(scale, zero_point, grid, method)
        self.averaging_constant = averaging_constant
        self.bounds = bounds
        self.learning_extremes = False
        self._seen: list[tuple[float, float]] = []
        self._first: list[tuple[float, float]] = []
        low, high = self.range
        self.register_buffer("extremes", torch.tensor([low, high, low, high, low, high], dtype=torch.float64))
        self._highest = self._greatest_scale()

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value that can be represented."""
        scale, zero_point = float(self.scale[0]), int(self.zero_point[0])
        return (self.grid.quant_min - zero_point) * scale, (self.grid.quant_max - zero_point) * scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor after rounding to int8 and back."""
        watching = torch.is_grad_enabled() and not self.frozen
        if self.method == "moving_average" and (watching or self.learning_extremes) and x.numel():
            with torch.no_grad():
                low, high = x.aminmax()
                self._seen.append((float(low), float(high)))
        return super().forward(x)

    def take_over(self) -> None:
        """Let the range follow what the optimizer or the batches made of it."""
        super().take_over()
        if self.log_scale is not None and self._highest is not None and not self.frozen:
            with torch.no_grad():
                self.scale.clamp_(max=self._highest)
                self.log_scale.copy_(self.scale.log())
        if self._seen:
            low, high = min(s[0] for s in self._seen), max(s[1] for s in self._seen)
            self._seen.clear()
            self._follow(low, high)

    def note_extremes(self) -> None:
        """Count the extremes of the last batch among those at the start."""
        if self._seen:
            self._first.append((min(s[0] for s in self._seen), max(s[1] for s in self._seen)))
            self._seen.clear()

    def begin(self) -> None:
        """Take the mean of the extremes seen so far as those to which the chosen range belongs."""
        self.learning_extremes = False
        if self._first:
            low, high = (sum(side) / len(self._first) for side in zip(*self._first, strict=True))
            self.extremes[2:] = torch.tensor([low, high, low, high], dtype=torch.float64)
            self._first.clear()

    def _follow(self, low: float, high: float) -> None:
        if not (math.isfinite(low) and math.isfinite(high)):
            return
        first_low, first_high, before_low, before_high, now_low, now_high = self.extremes.tolist()
        now_low += self.averaging_constant * (low - now_low)
        now_high += self.averaging_constant * (high - now_high)
        self.extremes[4:] = torch.tensor([now_low, now_high], dtype=torch.float64)
        chosen_low = first_low * _growth(now_low, before_low)
        chosen_high = first_high * _growth(now_high, before_high)
        least, most = self.bounds or (None, None)
        qparams = qparams_of_range(
            chosen_low if least is None else max(chosen_low, min(least, 0.0)),
            chosen_high if most is None else min(chosen_high, max(most, 0.0)),
            self.grid,
        )
        self.scale.copy_(torch.from_numpy(qparams.scale))
        self.zero_point.copy_(torch.from_numpy(qparams.zero_point.astype(np.int32)))

    def _greatest_scale(self) -> float | None:
        """Return the scale beyond which the range leaves the bounds that it kept at the start."""
        least, most = self.bounds or (None, None)
        low, high = self.range
        limits = []
        if most is not None and most > 0 and 0 < high <= most + float(self.scale[0]):
            limits.append(max(most / high, 1.0))
        if least is not None and least < 0 and least - float(self.scale[0]) <= low < 0:
            limits.append(max(least / low, 1.0))
        return min(limits) * float(self.scale[0]) if limits else None


def _growth(now: float, before: float) -> float:
    """Return by how much an extreme grew; one that was zero or changes its sign gives no measure."""
    return now / before if before * now > 0 else 1.0
