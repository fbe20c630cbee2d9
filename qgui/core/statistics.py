"""What one calibration pass leaves for a tensor, bounded in memory whatever the number of samples."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from qgui.core.calibration import CalibrationSettings
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe_file import write_atomically

#: Bins of an activation histogram.
BINS = 2048

Float64 = npt.NDArray[np.float64]


class ExtremeSample(msgspec.Struct, frozen=True):
    """A calibration sample that reached far.

    Attributes:
        sample: Index of the sample in the data set.
        value: The extreme value it caused.
    """

    sample: int
    value: float


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Statistics of one activation over all calibration batches.

    Attributes:
        counts: Shape `(BINS,)`. Histogram between `low` and `high`; of large tensors a regular sample per batch.
        low: Left edge of the first bin.
        high: Right edge of the last bin.
        batch_min: Shape `(batches,)`, float32: least finite value of every batch, exact.
        batch_max: Shape `(batches,)`, float32: greatest finite value of every batch, exact.
        elements: Number of finite elements seen.
        total: Sum of the elements.
        energy: Sum of the squared elements.
        zeros: Share of elements that are exactly zero, between 0 and 1.
        nan: Number of NaN elements.
        infinite: Number of infinite elements.
        lowest: Samples with the least values, least first.
        highest: Samples with the greatest values, greatest first.
    """

    counts: Float64
    low: float
    high: float
    batch_min: npt.NDArray[np.float32]
    batch_max: npt.NDArray[np.float32]
    elements: int
    total: float
    energy: float
    zeros: float
    nan: int = 0
    infinite: int = 0
    lowest: tuple[ExtremeSample, ...] = ()
    highest: tuple[ExtremeSample, ...] = ()

    @property
    def minimum(self) -> float:
        """Least value seen."""
        return float(self.batch_min.min())

    @property
    def maximum(self) -> float:
        """Greatest value seen."""
        return float(self.batch_max.max())

    @property
    def mean(self) -> float:
        """Mean of all elements."""
        return self.total / self.elements if self.elements else 0.0

    @property
    def centers(self) -> Float64:
        """Middle of every bin, shape `(BINS,)`."""
        width = (self.high - self.low) / len(self.counts)
        result: Float64 = np.asarray(self.low + (np.arange(len(self.counts)) + 0.5) * width, dtype=np.float64)
        return result


@dataclass(frozen=True)
class CalibrationRecord:
    """The statistics of all tensors and what they were made from.

    Attributes:
        tensors: Tensor name to statistics.
        samples: Indices of the calibration samples in the data set.
        batches: Number of batches.
        model: Fingerprint of the model's weights and graph.
        data: The data source, for showing.
        settings: The decisions it was made with.
    """

    tensors: Mapping[str, TensorStatistics]
    samples: tuple[int, ...]
    batches: int
    model: str
    data: str
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)

    @property
    def unfinite(self) -> tuple[str, ...]:
        """Names of the tensors that held NaN or infinite values."""
        return tuple(name for name, tensor in self.tensors.items() if tensor.nan or tensor.infinite)


def rebin(counts: Float64, low: float, high: float, new_low: float, new_high: float, bins: int = BINS) -> Float64:
    """Return a histogram laid upon new edges, the mass of each old bin spread evenly.

    Args:
        counts: Old histogram.
        low: Left edge of the old histogram.
        high: Right edge of the old histogram.
        new_low: Left edge of the new one, not above `low`.
        new_high: Right edge of the new one, not below `high`.
        bins: Number of new bins.
    """
    edges = np.linspace(new_low, new_high, bins + 1)
    cumulated = np.concatenate([[0.0], np.cumsum(counts)])
    if high <= low:
        fresh = np.zeros(bins)
        fresh[min(bins - 1, int(np.searchsorted(edges, low, side="right") - 1))] = cumulated[-1]
        return fresh
    old_edges = np.linspace(low, high, len(counts) + 1)
    return np.diff(np.interp(edges, old_edges, cumulated))


def merge(parts: Sequence[TensorStatistics]) -> TensorStatistics:
    """Return the statistics of tensors that share one range, in the order in which one pass produces them.

    The extremes are interleaved batch by batch, as one shared `torch.ao` observer would see them.
    """
    if len(parts) == 1:
        return parts[0]
    low, high = min(p.low for p in parts), max(p.high for p in parts)
    counts = np.zeros(BINS)
    for part in parts:
        laid = rebin(part.counts, part.low, part.high, low, high)
        mass = laid.sum()
        if mass > 0:
            counts += laid * (part.elements / mass)
    elements = sum(p.elements for p in parts)
    return TensorStatistics(
        counts=counts,
        low=low,
        high=high,
        batch_min=np.stack([p.batch_min for p in parts], axis=1).ravel(),
        batch_max=np.stack([p.batch_max for p in parts], axis=1).ravel(),
        elements=elements,
        total=sum(p.total for p in parts),
        energy=sum(p.energy for p in parts),
        zeros=sum(p.zeros * p.elements for p in parts) / max(elements, 1),
        nan=sum(p.nan for p in parts),
        infinite=sum(p.infinite for p in parts),
        lowest=_furthest((s for p in parts for s in p.lowest), sign=1.0),
        highest=_furthest((s for p in parts for s in p.highest), sign=-1.0),
    )


def _furthest(samples: Iterable[ExtremeSample], sign: float, keep: int = 4) -> tuple[ExtremeSample, ...]:
    best: dict[int, ExtremeSample] = {}
    for sample in sorted(samples, key=lambda s: sign * s.value):
        best.setdefault(sample.sample, sample)
    return tuple(list(best.values())[:keep])


class _TensorRow(msgspec.Struct):
    name: str
    low: float
    high: float
    elements: int
    total: float
    energy: float
    zeros: float
    nan: int
    infinite: int
    lowest: tuple[ExtremeSample, ...]
    highest: tuple[ExtremeSample, ...]


class _Index(msgspec.Struct):
    version: int
    rows: list[_TensorRow]
    samples: tuple[int, ...]
    batches: int
    model: str
    data: str
    settings: CalibrationSettings = CalibrationSettings()


def save(record: CalibrationRecord, path: Path) -> None:
    """Write a calibration record as one `.npz` file without pickled objects, atomically.

    Raises:
        QguiError: The file cannot be written.
    """
    rows = [
        _TensorRow(name, s.low, s.high, s.elements, s.total, s.energy, s.zeros, s.nan, s.infinite, s.lowest, s.highest)
        for name, s in record.tensors.items()
    ]
    index = _Index(1, rows, record.samples, record.batches, record.model, record.data, record.settings)
    every = list(record.tensors.values())
    buffer = io.BytesIO()
    np.savez(
        buffer,
        index=np.frombuffer(msgspec.json.encode(index), dtype=np.uint8),
        counts=np.stack([s.counts for s in every]) if every else np.zeros((0, BINS)),
        batch_min=np.stack([s.batch_min for s in every]) if every else np.zeros((0, 0), np.float32),
        batch_max=np.stack([s.batch_max for s in every]) if every else np.zeros((0, 0), np.float32),
    )
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> CalibrationRecord:
    """Return the calibration record in a file.

    Raises:
        QguiError: The file cannot be read or is not a calibration record.
    """
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            index = msgspec.json.decode(arrays["index"].tobytes(), type=_Index)
            counts, batch_min, batch_max = arrays["counts"], arrays["batch_min"], arrays["batch_max"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise QguiError(
            say("Could not read the statistics in {path}", path=path), str(error), say("Calibrate again.")
        ) from error
    tensors = {
        row.name: TensorStatistics(
            counts=counts[i],
            low=row.low,
            high=row.high,
            batch_min=batch_min[i],
            batch_max=batch_max[i],
            elements=row.elements,
            total=row.total,
            energy=row.energy,
            zeros=row.zeros,
            nan=row.nan,
            infinite=row.infinite,
            lowest=row.lowest,
            highest=row.highest,
        )
        for i, row in enumerate(index.rows)
    }
    return CalibrationRecord(tensors, index.samples, index.batches, index.model, index.data, index.settings)
