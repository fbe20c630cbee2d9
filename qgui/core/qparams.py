"""Scale and zero point of a range, to the bit as PyTorch computes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qgui.core.recipe import ActivationSetting, WeightSetting

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

EPSILON = np.finfo(np.float32).eps


@dataclass(frozen=True)
class Grid:
    """The integers that a tensor may take, and how a range is laid upon them.

    Attributes:
        dtype: PyTorch's quantized dtype, `quint8` or `qint8`.
        quant_min: Least integer.
        quant_max: Greatest integer; with reduce range half of what the dtype holds.
        symmetric: Whether the range is mirrored at zero.
        float_zero_point: Whether the zero point is a float (`per_channel_affine_float_qparams`, embeddings).
    """

    dtype: str
    quant_min: int
    quant_max: int
    symmetric: bool
    float_zero_point: bool = False

    @property
    def levels(self) -> int:
        """Number of integers."""
        return self.quant_max - self.quant_min + 1


def activation_grid(setting: ActivationSetting) -> Grid:
    """Return the grid of an activation setting."""
    return Grid("quint8", 0, 127 if setting.reduce_range else 255, setting.qscheme == "per_tensor_symmetric")


def weight_grid(setting: WeightSetting) -> Grid:
    """Return the grid of a weight setting; float16 weights have none.

    Raises:
        ValueError: The dtype is float16.
    """
    if setting.dtype == "float16":
        raise ValueError("float16 weights are not laid upon integers")
    if setting.dtype == "quint8":
        return Grid("quint8", 0, 255, symmetric=False, float_zero_point=True)
    return Grid("qint8", -128, 127, setting.qscheme.endswith("symmetric"))


@dataclass(frozen=True, eq=False)
class QParams:
    """Scale and zero point of a tensor: arrays of one element per tensor, or of one per channel.

    Attributes:
        scale: Shape `(channels,)`, float32.
        zero_point: Shape `(channels,)`; int64, or float32 where the grid has float zero points.
        grid: The integers.
        per_channel: Whether the elements belong to channels.
    """

    scale: Float32
    zero_point: Int64 | Float32
    grid: Grid
    per_channel: bool = False

    @property
    def low(self) -> npt.NDArray[np.float64]:
        """Least value that can be represented, per channel."""
        return (self.grid.quant_min - self.zero_point.astype(np.float64)) * self.scale.astype(np.float64)

    @property
    def high(self) -> npt.NDArray[np.float64]:
        """Greatest value that can be represented, per channel."""
        return (self.grid.quant_max - self.zero_point.astype(np.float64)) * self.scale.astype(np.float64)

    def same(self, other: QParams) -> bool:
        """Whether both have the same bits."""
        return (
            self.grid == other.grid
            and self.per_channel == other.per_channel
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


def qparams_of_range(low: npt.ArrayLike, high: npt.ArrayLike, grid: Grid, per_channel: bool = False) -> QParams:
    """Return scale and zero point for a range, as `torch.ao`'s `UniformQuantizationObserverBase` computes them.

    The range is widened to hold zero, so that zero (padding, ReLU) is exactly representable.

    Args:
        low: Lower bound, or one per channel.
        high: Upper bound, or one per channel.
        grid: The integers.
        per_channel: Whether the bounds belong to channels.
    """
    lows = np.atleast_1d(np.asarray(low, dtype=np.float32))
    highs = np.atleast_1d(np.asarray(high, dtype=np.float32))
    span = np.float32(grid.quant_max - grid.quant_min)
    if grid.float_zero_point:
        scale = (highs - lows) / span
        scale = np.where(scale > EPSILON, scale, np.float32(1))
        return QParams(scale, -lows / scale, grid, per_channel)
    negative = np.minimum(lows, np.float32(0))
    positive = np.maximum(highs, np.float32(0))
    if grid.symmetric:
        scale = np.maximum(np.maximum(-negative, positive) / (span / np.float32(2)), EPSILON)
        middle = 0 if grid.quant_min < 0 else grid.levels // 2
        return QParams(scale, np.full(scale.shape, middle, dtype=np.int64), grid, per_channel)
    scale = np.maximum((positive - negative) / span, EPSILON)
    zero_point = grid.quant_min - np.rint(negative / scale).astype(np.int64)
    return QParams(scale, np.clip(zero_point, grid.quant_min, grid.quant_max), grid, per_channel)


def fixed_qparams(scale: float, zero_point: int) -> QParams:
    """Return the quint8 scale and zero point that an operation (sigmoid, tanh, softmax) prescribes."""
    grid = Grid("quint8", 0, 255, symmetric=False)
    return QParams(np.array([scale], np.float32), np.array([zero_point], np.int64), grid)


def quantize_dequantize(values: npt.ArrayLike, qparams: QParams) -> npt.NDArray[np.float64]:
    """Return values after rounding to the grid and back.

    Args:
        values: Shape `(n,)`, or `(channels, n)` where the qparams are per channel.
        qparams: Scale and zero point.
    """
    x = np.asarray(values, dtype=np.float64)
    scale, zero_point = qparams.scale.astype(np.float64), qparams.zero_point.astype(np.float64)
    if x.ndim > 1:
        scale, zero_point = scale[:, None], zero_point[:, None]
    grid = qparams.grid
    if grid.float_zero_point:
        steps = np.clip(np.rint(x / scale + zero_point), grid.quant_min, grid.quant_max)
    else:
        steps = np.clip(np.rint(x / scale) + zero_point, grid.quant_min, grid.quant_max)
    result: npt.NDArray[np.float64] = (steps - zero_point) * scale
    return result
