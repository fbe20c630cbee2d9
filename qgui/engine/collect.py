"""The one calibration pass: statistics of every activation, bounded in memory whatever the number of samples."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import fx

from qgui.core.errors import NeedsConsent, QguiError
from qgui.core.language import say
from qgui.core.statistics import BINS, ExtremeSample, TensorStatistics, rebin
from qgui.engine import columns, moments
from qgui.engine.batch import Batch
from qgui.engine.progress import Progress

#: Elements of one tensor and batch that go into the histogram at the most; extremes and sums see every element.
HISTOGRAM_ELEMENTS = 1 << 18
#: Samples with the furthest values that are remembered, on either side.
EXTREME_SAMPLES = 4


class Collector:
    """Statistics of one tensor."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS)
        self._low = math.inf
        self._high = -math.inf
        self._batch_min: list[float] = []
        self._batch_max: list[float] = []
        self._elements = 0
        self._total = self._energy = 0.0
        self._sampled = self._sampled_zeros = 0
        self._nan = self._infinite = 0
        self._lowest: list[ExtremeSample] = []
        self._highest: list[ExtremeSample] = []

    @property
    def unfinite(self) -> int:
        """Number of NaN and infinite elements seen."""
        return self._nan + self._infinite

    def update(self, x: torch.Tensor, indices: list[int]) -> None:
        """Take in the tensor of one batch.

        Args:
            x: Any float tensor.
            indices: Samples of the batch.
        """
        by_sample = x.dim() > 0 and x.shape[0] == len(indices)
        flat = x.detach().reshape(len(indices) if by_sample else 1, -1).float()
        if flat.numel() == 0:
            return
        # Two reductions over rows are eight times faster than one torch.aminmax with a dimension.
        lows, highs = flat.amin(1), flat.amax(1)
        low, high = float(lows.min()), float(highs.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            if by_sample:
                self._remember_finite(flat, indices)
            flat = self._finite(flat)
            if flat.numel() == 0:
                self._batch_min.append(self._batch_min[-1] if self._batch_min else 0.0)
                self._batch_max.append(self._batch_max[-1] if self._batch_max else 0.0)
                return
            low, high = float(flat.min()), float(flat.max())
        elif by_sample:
            self._remember(lows.tolist(), highs.tolist(), indices)
        self._batch_min.append(low)
        self._batch_max.append(high)
        line = flat.reshape(-1)
        self._elements += line.numel()
        self._total += float(line.sum())
        self._energy += float(torch.dot(line, line))
        self._add_histogram(line, low, high)

    def result(self) -> TensorStatistics:
        """Return the statistics so far."""
        return TensorStatistics(
            counts=self._counts,
            low=self._low if self._elements else 0.0,
            high=self._high if self._elements else 0.0,
            batch_min=np.array(self._batch_min, dtype=np.float32),
            batch_max=np.array(self._batch_max, dtype=np.float32),
            elements=self._elements,
            total=self._total,
            energy=self._energy,
            zeros=self._sampled_zeros / self._sampled if self._sampled else 0.0,
            nan=self._nan,
            infinite=self._infinite,
            lowest=tuple(self._lowest),
            highest=tuple(self._highest),
        )

    def _finite(self, flat: torch.Tensor) -> torch.Tensor:
        nan, infinite = int(torch.isnan(flat).sum()), int(torch.isinf(flat).sum())
        self._nan += nan
        self._infinite += infinite
        return flat[torch.isfinite(flat)].reshape(1, -1)

    def _remember_finite(self, flat: torch.Tensor, indices: list[int]) -> None:
        finite = torch.isfinite(flat)
        some = finite.any(1)
        lows = flat.masked_fill(~finite, math.inf).amin(1)[some].tolist()
        highs = flat.masked_fill(~finite, -math.inf).amax(1)[some].tolist()
        self._remember(lows, highs, [index for index, any_ in zip(indices, some.tolist(), strict=True) if any_])

    def _remember(self, lows: list[float], highs: list[float], indices: list[int]) -> None:
        lowest = [*self._lowest, *(ExtremeSample(i, v) for i, v in zip(indices, lows, strict=True))]
        highest = [*self._highest, *(ExtremeSample(i, v) for i, v in zip(indices, highs, strict=True))]
        self._lowest = sorted(lowest, key=lambda s: s.value)[:EXTREME_SAMPLES]
        self._highest = sorted(highest, key=lambda s: -s.value)[:EXTREME_SAMPLES]

    def _add_histogram(self, line: torch.Tensor, low: float, high: float) -> None:
        self._widen(low, high)
        stride = -(-line.numel() // HISTOGRAM_ELEMENTS)
        sample = line[(len(self._batch_min) - 1) % stride :: stride] if stride > 1 else line
        self._sampled += sample.numel()
        self._sampled_zeros += sample.numel() - int(torch.count_nonzero(sample))
        if self._high > self._low:
            counts = torch.histc(sample, BINS, self._low, self._high).double().numpy()
            self._counts += counts * stride
            self._count_extremes(low, high, counts)
        else:
            self._counts[0] += line.numel()

    def _count_extremes(self, low: float, high: float, counts: Any) -> None:
        """Let the extremes of the batch be in the histogram even where the sample missed them."""
        for value in (low, high):
            position = (value - self._low) / (self._high - self._low) * BINS
            bin_index = min(max(int(position), 0), BINS - 1)
            if counts[bin_index] == 0:
                self._counts[bin_index] += 1

    def _widen(self, low: float, high: float) -> None:
        if low >= self._low and high <= self._high:
            return
        if self._low > self._high:
            self._low, self._high = low, high
            return
        margin = 0.1 * (max(high, self._high) - min(low, self._low))
        new_low = low - margin * (low < 0) if low < self._low else self._low
        new_high = high + margin if high > self._high else self._high
        self._counts = rebin(self._counts, self._low, self._high, new_low, new_high)
        self._low, self._high = new_low, new_high


class _Observing(fx.Interpreter):
    """Runs the fused float graph and hands the wanted tensors, and what weighted layers read, to their collectors."""

    def __init__(
        self, module: fx.GraphModule, collectors: dict[str, Collector], inputs: moments.MomentCollector | None
    ) -> None:
        super().__init__(module)
        self._collectors = collectors
        self._inputs = inputs
        self._weighted = columns.weighted_nodes(module) if inputs is not None else {}
        self.indices: list[int] = []
        self.turn = 0

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        collector = self._collectors.get(n.name)
        if collector is not None:
            found = value[0] if isinstance(value, tuple) and value else value
            if isinstance(found, torch.Tensor) and found.is_floating_point():
                collector.update(found, self.indices)
        if self._inputs is not None:
            weighted = self._weighted.get(n.name)
            columns.watch(self, n, value, weighted, moments.POSITIONS, self._inputs.take, self.turn)
        return value


def collect(
    fused: fx.GraphModule,
    wanted: Mapping[str, str],
    batches: Iterable[Batch],
    total: int,
    progress: Progress,
    inputs: moments.MomentCollector | None = None,
    finite_only: bool = False,
) -> tuple[dict[str, TensorStatistics], int]:
    """Return the statistics of tensors after one pass over calibration batches, and the number of batches.

    Args:
        fused: The fused float graph.
        wanted: Name of each tensor, in the order of the graph, and of the layer it belongs to.
        batches: Calibration batches.
        total: Number of calibration samples, for progress.
        progress: Told after every batch.
        inputs: Is told what weighted layers read.
        finite_only: Whether to leave NaN and infinite values out instead of stopping at them.

    Raises:
        NeedsConsent: An activation is NaN or infinite, and only finite ones are not asked for.
        QguiError: The model raises, or an activation holds no finite value at all.
        Cancelled: The person asked to stop.
    """
    collectors = {name: Collector() for name in wanted}
    interpreter = _Observing(fused, collectors, inputs)
    names = [str(node.target) for node in fused.graph.nodes if node.op == "placeholder"]
    done = count = 0
    progress.step(say("Calibrating"), 0, total)
    with torch.inference_mode():
        for batch in batches:
            interpreter.indices, interpreter.turn = batch.indices, count
            try:
                interpreter.run(*batch.positional(names))
            except Exception as error:
                why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                what = say("Calibration stopped at sample {index}", index=batch.indices[0])
                raise QguiError(what, why, say("Check that the data has the shape the model takes.")) from error
            done, count = done + len(batch.indices), count + 1
            if not finite_only:
                _refuse_unfinite(collectors, wanted, batch.indices[0])
            progress.step(say("Calibrating"), done, total)
    found = {name: collector.result() for name, collector in collectors.items()}
    _refuse_empty(found, wanted)
    return found, count


def _refuse_unfinite(collectors: dict[str, Collector], layers: Mapping[str, str], sample: int) -> None:
    broken = [layers[name] for name, collector in collectors.items() if collector.unfinite]
    if broken:
        others = say(" and {count} after it hold", count=len(broken) - 1) if len(broken) > 1 else say(" holds")
        raise NeedsConsent(
            say("Calibration stopped"),
            say(
                "the output of {broken}{others} NaN or infinite values, first in the batch of sample {sample}",
                broken=broken[0],
                others=others,
                sample=sample,
            ),
            say(
                "Look at that layer's weights and at the sample, leave the sample out (--exclude), "
                "or agree to ranges from the finite values only (--finite-only)."
            ),
        )


def _refuse_empty(found: Mapping[str, TensorStatistics], layers: Mapping[str, str]) -> None:
    empty = [layers[name] for name, tensor in found.items() if not tensor.elements and (tensor.nan or tensor.infinite)]
    if empty:
        raise QguiError(
            say("Calibration stopped"),
            say("the output of {empty} holds no finite value in any sample", empty=empty[0]),
            say("Look at that layer's weights: there is nothing from which a range could be chosen."),
        )


def fingerprint(module: torch.nn.Module) -> str:
    """Return a hash of a module's parameters and buffers, by which statistics know their model."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(name.encode())
            digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
