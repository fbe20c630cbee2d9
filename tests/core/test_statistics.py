"""Statistics: laid upon new edges, merged, saved."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import statistics
from qgui.core.calibration import CalibrationSettings
from qgui.core.errors import QguiError
from qgui.core.statistics import BINS, CalibrationRecord, TensorStatistics, rebin

MakeStatistics = Callable[..., TensorStatistics]


@given(
    st.lists(st.floats(0, 1e6), min_size=2, max_size=40),
    st.floats(-100, 100),
    st.floats(0.001, 100),
    st.floats(0, 50),
    st.floats(0, 50),
)
def test_new_edges_keep_every_element(counts: list[float], low: float, width: float, left: float, right: float) -> None:
    old = np.array(counts)
    laid = rebin(old, low, low + width, low - left, low + width + right)
    assert laid.sum() == pytest.approx(old.sum(), rel=1e-9, abs=1e-9)
    assert (laid >= -1e-9).all()


def test_new_edges_move_no_element_by_more_than_a_bin() -> None:
    counts = np.zeros(BINS)
    counts[100] = 5.0
    laid = rebin(counts, 0.0, 1.0, -1.0, 2.0)
    centers = -1.0 + (np.arange(BINS) + 0.5) * 3.0 / BINS
    mean = (laid * centers).sum() / laid.sum()
    assert mean == pytest.approx((100 + 0.5) / BINS, abs=3.0 / BINS)


def test_a_histogram_without_width_becomes_one_bin() -> None:
    counts = np.zeros(BINS)
    counts[0] = 7.0
    laid = rebin(counts, 1.0, 1.0, 0.0, 2.0)
    assert laid.sum() == 7.0
    assert np.count_nonzero(laid) == 1
    assert laid[BINS // 2] == 7.0


def test_merging_one_part_changes_nothing(make_statistics: MakeStatistics) -> None:
    part = make_statistics(np.arange(10.0))
    assert statistics.merge([part]) is part


def test_merged_parts_hold_what_the_parts_held(make_statistics: MakeStatistics) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=4000), np.maximum(rng.normal(1.0, 3.0, size=2000), 0.0)
    merged = statistics.merge([make_statistics(first, 4), make_statistics(second, 4)])
    whole = np.concatenate([first, second]).astype(np.float32)
    assert merged.elements == 6000
    assert (merged.minimum, merged.maximum) == (float(whole.min()), float(whole.max()))
    assert merged.mean == pytest.approx(float(whole.mean()), rel=1e-5)
    assert merged.energy == pytest.approx(float(np.square(whole).sum()), rel=1e-5)
    assert merged.zeros == pytest.approx(float((whole == 0).mean()))
    assert merged.counts.sum() == pytest.approx(6000)
    expected = np.histogram(whole, BINS, (merged.low, merged.high))[0]
    assert np.abs(np.cumsum(merged.counts) - np.cumsum(expected)).max() <= expected.max() + 2


def test_merged_extremes_come_in_the_order_of_one_pass(make_statistics: MakeStatistics) -> None:
    first, second = make_statistics(np.array([1.0, 2.0]), 2), make_statistics(np.array([-1.0, 5.0]), 2)
    assert statistics.merge([first, second]).batch_max.tolist() == [1.0, -1.0, 2.0, 5.0]


def test_merged_extreme_samples_are_the_furthest(make_statistics: MakeStatistics) -> None:
    merged = statistics.merge([make_statistics(np.array([1.0, 9.0]), 2), make_statistics(np.array([4.0, 3.0]), 2)])
    assert [(s.sample, s.value) for s in merged.highest] == [(1, 9.0), (0, 4.0)]
    assert [s.value for s in merged.lowest] == [1.0, 3.0]


@pytest.fixture
def record(make_statistics: MakeStatistics) -> CalibrationRecord:
    rng = np.random.default_rng(3)
    tensors = {name: make_statistics(rng.normal(size=500), 5) for name in ("x", "conv", "relu")}
    settings = CalibrationSettings((9,), True, (("conv", "fc"),))
    return CalibrationRecord(tensors, (3, 1, 4), batches=5, model="abc", data="folder:bilder", settings=settings)


def test_a_record_survives_its_file(record: CalibrationRecord, tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    statistics.save(record, path)
    loaded = statistics.load(path)
    assert (loaded.samples, loaded.batches, loaded.model, loaded.data) == ((3, 1, 4), 5, "abc", "folder:bilder")
    assert loaded.settings == record.settings
    assert list(loaded.tensors) == list(record.tensors)
    for name, expected in record.tensors.items():
        found = loaded.tensors[name]
        for field in ("counts", "batch_min", "batch_max"):
            assert np.array_equal(getattr(found, field), getattr(expected, field))
            assert getattr(found, field).dtype == getattr(expected, field).dtype
        for field in ("low", "high", "elements", "total", "energy", "zeros", "nan", "infinite", "lowest", "highest"):
            assert getattr(found, field) == getattr(expected, field)


def test_a_record_without_tensors_survives_its_file(tmp_path: Path) -> None:
    empty = CalibrationRecord({}, (), 0, "abc", "random:1x3")
    statistics.save(empty, tmp_path / "s.npz")
    assert statistics.load(tmp_path / "s.npz") == empty


@pytest.mark.parametrize("kept", [0, 1, 100, -40])
def test_a_truncated_file_is_refused(kept: int, record: CalibrationRecord, tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    statistics.save(record, path)
    content = path.read_bytes()
    path.write_bytes(content[:kept])
    with pytest.raises(QguiError, match="Could not read the statistics"):
        statistics.load(path)


@pytest.mark.parametrize("name", ["missing.npz", "."])
def test_a_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="Could not read the statistics"):
        statistics.load(tmp_path / name)


def test_a_file_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, index=np.array([{"a": 1}], dtype=object))
    with pytest.raises(QguiError, match="Could not read the statistics"):
        statistics.load(path)


def test_another_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(QguiError, match="Could not read the statistics"):
        statistics.load(path)
