"""What each observer chooses, and whether what is told about the choice is true."""

from collections.abc import Callable

import numpy as np
import pytest
from brute_force import best_bounds

from qgui.core import ranges
from qgui.core.errors import QguiError
from qgui.core.qparams import Grid, QParams, activation_grid, qparams_of_range, quantize_dequantize, weight_grid
from qgui.core.ranges import Distribution
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ActivationSetting, Observer, ObserverKind, WeightSetting
from qgui.core.statistics import BINS, TensorStatistics

AFFINE = activation_grid(ActivationSetting())
SYMMETRIC = activation_grid(ActivationSetting(qscheme="per_tensor_symmetric"))
NARROW = activation_grid(ActivationSetting(reduce_range=True))
GRIDS = {"affine": AFFINE, "symmetric": SYMMETRIC, "reduce range": NARROW}

MakeDistribution = Callable[[np.ndarray], Distribution]


def noise(values: np.ndarray, qparams: QParams) -> float:
    """Return the energy that rounding and clipping really cost."""
    return float(np.square(values - quantize_dequantize(values, qparams)).sum())


def true_sqnr(values: np.ndarray, qparams: QParams) -> float:
    return ranges.decibel(float(np.square(values, dtype=np.float64).sum()), noise(values, qparams))


def divergence(distribution: Distribution, qparams: QParams) -> float:
    """Return KL(P || Q) written as the definition reads, one level after the other."""
    points, mass = distribution.points[0], distribution.mass[0]
    grid, scale, zero_point = qparams.grid, float(qparams.scale[0]), int(qparams.zero_point[0])
    steps = np.rint(points / scale) + zero_point
    inside = (steps >= grid.quant_min) & (steps <= grid.quant_max)
    levels = np.clip(steps, grid.quant_min, grid.quant_max)
    left = np.zeros_like(mass)
    for level in np.unique(levels):
        here = levels == level
        holders = here & inside & (mass > 0)
        if holders.any():
            left[holders] = mass[here].sum() / holders.sum()
    p = mass / mass.sum()
    q = np.maximum(left / mass.sum(), 1e-4 / len(points))
    q /= q.sum()
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", AUTOMATIC_OBSERVERS)
def test_predicted_sqnr_is_that_of_the_samples(
    kind: ObserverKind, name: str, samples: np.ndarray, distribution: Distribution
) -> None:
    qparams = ranges.chosen_qparams(Observer(kind), distribution, GRIDS[name])
    predicted = ranges.assess(distribution, qparams)
    assert predicted.sqnr_db == pytest.approx(true_sqnr(samples, qparams), abs=0.3)
    # A value is clipped from half a step outside the grid on; a bin of the histogram lies on one side as a whole.
    half = float(qparams.scale[0]) / 2
    outside = (samples < qparams.low[0] - half) | (samples > qparams.high[0] + half)
    assert predicted.clipped == pytest.approx(float(outside.mean()), abs=2e-3)


@pytest.mark.parametrize("kind", AUTOMATIC_OBSERVERS)
def test_a_choice_lies_within_what_was_seen(kind: ObserverKind, distribution: Distribution) -> None:
    low, high = ranges.choose(Observer(kind), distribution, AFFINE)
    assert min(distribution.low[0], 0.0) - 1e-6 <= low[0] <= high[0] <= max(distribution.high[0], 0.0) + 1e-6


def test_minmax_is_exact(samples: np.ndarray, distribution: Distribution) -> None:
    low, high = ranges.choose(Observer(ObserverKind.MINMAX), distribution, AFFINE)
    assert (low[0], high[0]) == (float(samples.min()), float(samples.max()))


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9, 99.99, 100.0])
def test_percentile_is_within_a_bin_of_the_samples(
    percentile: float, samples: np.ndarray, distribution: Distribution
) -> None:
    low, high = ranges.choose(Observer(ObserverKind.PERCENTILE, percentile=percentile), distribution, AFFINE)
    tail = (100.0 - percentile) / 2
    # Between order statistics far apart numpy interpolates; the histogram knows where the elements really lie.
    expected = [np.percentile(samples, [tail, 100.0 - tail], method=method) for method in ("lower", "higher")]
    width = float(distribution.width[0])
    for found, ends in ((low[0], 0), (high[0], 1)):
        near = sorted(float(e[ends]) for e in expected)
        assert near[0] - width <= found <= near[1] + width


@pytest.mark.parametrize("constant", [0.01, 0.1, 1.0])
def test_moving_average_follows_the_batches(constant: float, distribution: Distribution) -> None:
    low, high = ranges.choose(Observer(ObserverKind.MOVING_AVERAGE, averaging_constant=constant), distribution, AFFINE)
    expected_low, expected_high = distribution.batch_min[0, 0], distribution.batch_max[0, 0]
    for least, greatest in zip(distribution.batch_min[0, 1:], distribution.batch_max[0, 1:], strict=True):
        expected_low = np.float32(expected_low + np.float32(constant) * (least - expected_low))
        expected_high = np.float32(expected_high + np.float32(constant) * (greatest - expected_high))
    assert (low[0], high[0]) == (float(expected_low), float(expected_high))


@pytest.mark.parametrize("name", GRIDS)
def test_mse_loses_at_most_a_third_of_a_decibel_against_every_other_range(
    name: str, samples: np.ndarray, distribution: Distribution
) -> None:
    grid = GRIDS[name]
    chosen = noise(samples, ranges.chosen_qparams(Observer(ObserverKind.MSE), distribution, grid))
    ends = float(samples.min()), float(samples.max())
    best = best_bounds(*ends, grid, lambda qparams: noise(samples, qparams), steps=50)
    assert 10 * np.log10(chosen / noise(samples, qparams_of_range(*best, grid))) <= 0.3


@pytest.mark.parametrize("name", ["affine", "reduce range"])
def test_entropy_is_no_worse_than_every_other_range(name: str, distribution: Distribution) -> None:
    grid = GRIDS[name]
    chosen = divergence(distribution, ranges.chosen_qparams(Observer(ObserverKind.ENTROPY), distribution, grid))
    ends = float(distribution.low[0]), float(distribution.high[0])
    best = best_bounds(*ends, grid, lambda qparams: ranges.divergence(distribution, qparams), steps=50)
    assert 10 * np.log10(chosen / divergence(distribution, qparams_of_range(*best, grid))) <= 0.3


def test_mse_is_never_worse_than_any_other_observer(distribution: Distribution) -> None:
    ratios = {
        kind: ranges.assess(distribution, ranges.chosen_qparams(Observer(kind), distribution, AFFINE)).sqnr_db
        for kind in AUTOMATIC_OBSERVERS
    }
    assert ratios[ObserverKind.MSE] >= max(ratios.values()) - 0.1, ratios


def test_an_outlier_is_clipped_by_all_but_minmax(make_distribution: MakeDistribution) -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=100_000), [1000.0]])
    distribution = make_distribution(values)
    highs = {kind: float(ranges.choose(Observer(kind), distribution, AFFINE)[1][0]) for kind in AUTOMATIC_OBSERVERS}
    assert highs[ObserverKind.MINMAX] == 1000.0
    for kind in (ObserverKind.PERCENTILE, ObserverKind.ENTROPY):
        assert highs[kind] < 200.0, highs


@pytest.mark.parametrize("kind", AUTOMATIC_OBSERVERS)
@pytest.mark.parametrize(
    "values", [[0.0] * 100, [3.5] * 100, [-2.0] * 7, [1.25], [0.0], [1e-30, 2e-30], [-1e30, 1e30]], ids=str
)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_degenerate_tensors_have_a_defined_range(
    kind: ObserverKind, values: list[float], grid: Grid, make_distribution: MakeDistribution
) -> None:
    distribution = make_distribution(np.array(values))
    qparams = ranges.chosen_qparams(Observer(kind), distribution, grid)
    assert np.isfinite(qparams.scale).all()
    assert (qparams.scale > 0).all()
    assert grid.quant_min <= qparams.zero_point[0] <= grid.quant_max
    cost = ranges.assess(distribution, qparams)
    assert np.isfinite(cost.sqnr_db)
    assert 0.0 <= cost.clipped <= 1.0


@pytest.mark.parametrize("kind", AUTOMATIC_OBSERVERS)
@pytest.mark.parametrize("value", [3.5, -2.0, 1e-3])
def test_a_constant_tensor_keeps_its_value(
    kind: ObserverKind, value: float, make_distribution: MakeDistribution
) -> None:
    distribution = make_distribution(np.full(64, value))
    qparams = ranges.chosen_qparams(Observer(kind), distribution, AFFINE)
    restored = quantize_dequantize([value], qparams)[0]
    assert restored == pytest.approx(value, rel=0.01)
    assert ranges.assess(distribution, qparams).sqnr_db >= 40.0


def test_zeros_alone_cost_nothing(make_distribution: MakeDistribution) -> None:
    distribution = make_distribution(np.zeros(64))
    assessment = ranges.assess(distribution, ranges.chosen_qparams(Observer(), distribution, AFFINE))
    assert assessment.sqnr_db == ranges.NO_NOISE_DB
    assert assessment.clipped == 0.0


def test_a_tensor_without_finite_values_is_refused(make_statistics: Callable[..., TensorStatistics]) -> None:
    empty = TensorStatistics(
        counts=np.zeros(BINS),
        low=0.0,
        high=0.0,
        batch_min=np.zeros(1, np.float32),
        batch_max=np.zeros(1, np.float32),
        elements=0,
        total=0.0,
        energy=0.0,
        zeros=0.0,
        nan=5,
    )
    with pytest.raises(QguiError, match="no finite value"):
        ranges.of_activation(empty)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, -2.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_fixed_range_that_is_empty_or_inverted_is_refused(
    low: float, high: float, distribution: Distribution
) -> None:
    with pytest.raises(QguiError, match="not below its upper bound"):
        ranges.choose(Observer(ObserverKind.FIXED, low=low, high=high), distribution, AFFINE)


def test_a_fixed_range_is_taken_as_it_is(distribution: Distribution) -> None:
    low, high = ranges.choose(Observer(ObserverKind.FIXED, low=-0.5, high=2.0), distribution, AFFINE)
    assert (low[0], high[0]) == (-0.5, 2.0)


def test_clipping_and_rounding_add_up_to_the_error(samples: np.ndarray, distribution: Distribution) -> None:
    qparams = qparams_of_range(samples.min() / 2, samples.max() / 2, AFFINE)
    cost = ranges.assess(distribution, qparams)
    assert cost.rounding[0] > 0.0
    assert cost.clipping[0] > 0.0
    assert cost.rounding[0] + cost.clipping[0] == pytest.approx(noise(samples, qparams), rel=0.07)


@pytest.mark.parametrize("elements", [50, 9000])
@pytest.mark.parametrize("kind", AUTOMATIC_OBSERVERS)
def test_weight_channels_are_chosen_each_by_itself(kind: ObserverKind, elements: int) -> None:
    rows = np.random.default_rng(0).normal(size=(3, elements)).astype(np.float32) * np.array(
        [[0.1], [1.0], [5.0]], np.float32
    )
    grid = weight_grid(WeightSetting())
    together = ranges.choose(Observer(kind), ranges.of_weight(rows, per_channel=True), grid)
    for channel, row in enumerate(rows):
        alone = ranges.choose(Observer(kind), ranges.of_weight(row[None], per_channel=True), grid)
        assert together[0][channel] == alone[0][0]
        assert together[1][channel] == alone[1][0]


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("elements", [300, 20_000])
def test_predicted_sqnr_of_a_weight_is_that_of_its_elements(per_channel: bool, elements: int) -> None:
    rows = np.random.default_rng(1).normal(size=(4, elements)).astype(np.float32)
    rows[2] = 0.0
    grid = weight_grid(WeightSetting(qscheme="per_channel_symmetric" if per_channel else "per_tensor_symmetric"))
    distribution = ranges.of_weight(rows, per_channel)
    for kind in AUTOMATIC_OBSERVERS:
        qparams = ranges.chosen_qparams(Observer(kind), distribution, grid, per_channel)
        assert ranges.assess(distribution, qparams).sqnr_db == pytest.approx(true_sqnr(rows, qparams), abs=0.3)


def test_a_histogram_for_showing_keeps_every_element(distribution: Distribution) -> None:
    counts, edges = ranges.histogram_of(distribution, bins=100)
    assert counts.sum() == pytest.approx(distribution.mass.sum())
    assert len(edges) == 101
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize(
    ("signal", "noise_energy", "expected"), [(100.0, 1.0, 20.0), (1.0, 0.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 200.0)]
)
def test_decibel(signal: float, noise_energy: float, expected: float) -> None:
    assert ranges.decibel(signal, noise_energy) == expected
