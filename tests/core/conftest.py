"""Statistics, layers and recipes made by hand, without torch."""

from collections.abc import Callable

import numpy as np
import pytest

from qgui.core import ranges
from qgui.core.layers import Family, Layer, ModelDescription, Tensor
from qgui.core.ranges import Distribution
from qgui.core.statistics import BINS, ExtremeSample, TensorStatistics


def statistics_of(values: np.ndarray, batches: int = 1) -> TensorStatistics:
    """Return what one pass over the values in equal batches would leave."""
    values = np.asarray(values, dtype=np.float32)
    parts = np.array_split(values, batches)
    low, high = float(values.min()), float(values.max())
    counts = np.zeros(BINS)
    if high > low:
        counts = np.histogram(values.astype(np.float64), BINS, (low, high))[0].astype(np.float64)
    else:
        counts[0] = len(values)
    extremes = [ExtremeSample(i, float(part.max())) for i, part in enumerate(parts)]
    return TensorStatistics(
        counts=counts,
        low=low,
        high=high,
        batch_min=np.array([part.min() for part in parts], np.float32),
        batch_max=np.array([part.max() for part in parts], np.float32),
        elements=len(values),
        total=float(values.sum(dtype=np.float64)),
        energy=float(np.square(values, dtype=np.float64).sum()),
        zeros=float((values == 0).mean()),
        lowest=tuple(ExtremeSample(i, float(part.min())) for i, part in enumerate(parts))[:4],
        highest=tuple(sorted(extremes, key=lambda e: -e.value))[:4],
    )


def _samples(name: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    size = 40_000
    made = {
        "normal": rng.normal(0.3, 1.0, size),
        "relu": np.maximum(rng.normal(0.0, 1.0, size), 0.0),
        "heavy tail": rng.standard_t(3, size),
        "laplace": rng.laplace(0.0, 0.5, size),
        "outlier": np.concatenate([rng.normal(0.0, 1.0, size - 2), [60.0, -35.0]]),
        "uniform": rng.uniform(-0.2, 5.0, size),
        "negative": -np.abs(rng.normal(2.0, 0.5, size)),
    }
    return made[name].astype(np.float32)


DISTRIBUTIONS = ("normal", "relu", "heavy tail", "laplace", "outlier", "uniform", "negative")


@pytest.fixture(params=DISTRIBUTIONS)
def samples(request: pytest.FixtureRequest) -> np.ndarray:
    """Values as activations hold them, one kind after the other."""
    return _samples(request.param)


@pytest.fixture
def distribution(samples: np.ndarray) -> Distribution:
    """What statistics tell of `samples`."""
    return ranges.of_activation(statistics_of(samples, batches=8))


@pytest.fixture
def make_statistics() -> Callable[..., TensorStatistics]:
    """Return the maker of statistics from values."""
    return statistics_of


@pytest.fixture
def make_distribution() -> Callable[[np.ndarray], Distribution]:
    """Return the maker of distributions from values."""
    return lambda values: ranges.of_activation(statistics_of(np.asarray(values, np.float32)))


@pytest.fixture
def described() -> Callable[..., ModelDescription]:
    """Return the maker of model descriptions from layers and tensors."""

    def make(layers: tuple[Layer, ...], tensors: tuple[Tensor, ...] = (), traced: bool = True) -> ModelDescription:
        return ModelDescription(
            source="made.py:build",
            title="made",
            family=Family.OTHER,
            traced=traced,
            trace_note="" if traced else "It does not trace.",
            layers=layers,
            tensors=tensors,
            parameters=0,
            size_bytes=0,
        )

    return make
