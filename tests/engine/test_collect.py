"""The one calibration pass: its statistics are exact, bounded, and give the ranges of torch.ao's observers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from sessions import QUIET, Calibrated, evaluation_batch, open_session, recipe_of, session_of
from torch import fx, nn
from torch.ao.quantization import (
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    QConfig,
    QConfigMapping,
    default_weight_observer,
)
from torch.ao.quantization.observer import ObserverBase
from torch.ao.quantization.quantize_fx import prepare_fx

from qgui.core import ranges, statistics
from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import ActivationSetting, DataReference, Observer, ObserverKind
from qgui.core.statistics import BINS, TensorStatistics
from qgui.engine import collect
from qgui.engine.batch import Batch
from qgui.engine.collect import Collector
from qgui.engine.fx import plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session


def collected(batches: list[torch.Tensor]) -> TensorStatistics:
    collector, done = Collector(), 0
    for batch in batches:
        collector.update(batch, list(range(done, done + len(batch))))
        done += len(batch)
    return collector.result()


@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from(["normal", "relu", "growing", "constant"]))
def test_statistics_are_those_of_the_values(seed: int, count: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(0.2, 1.0, size=(3, 50)).astype(np.float32) for _ in range(count)]
    if kind == "relu":
        arrays = [np.maximum(a, 0) for a in arrays]
    elif kind == "growing":
        arrays = [a * 3.0**i for i, a in enumerate(arrays)]
    elif kind == "constant":
        arrays = [np.full_like(a, 1.5) for a in arrays]
    found = collected([torch.from_numpy(a) for a in arrays])
    whole = np.concatenate(arrays).ravel()
    assert (found.minimum, found.maximum) == (float(whole.min()), float(whole.max()))
    assert found.batch_min.tolist() == [float(a.min()) for a in arrays]
    assert found.batch_max.tolist() == [float(a.max()) for a in arrays]
    assert found.elements == whole.size
    assert found.total == pytest.approx(float(whole.sum(dtype=np.float64)), rel=1e-4, abs=1e-3)
    assert found.energy == pytest.approx(float(np.square(whole, dtype=np.float64).sum()), rel=1e-4)
    assert found.zeros == pytest.approx(float((whole == 0).mean()))
    assert found.counts.sum() == pytest.approx(whole.size, rel=1e-6)
    if kind == "constant":
        return
    # Each element lies within a bin of where the histogram holds it, once more for edges that had to grow; each batch
    # may add one for an extreme.
    assert found.low <= whole.min()
    assert found.high >= whole.max()
    width = (found.high - found.low) / BINS
    cumulated = np.concatenate([[0.0], np.cumsum(found.counts)])
    edges = np.linspace(found.low, found.high, BINS + 1)
    for edge, below in zip(edges[:: BINS // 64], cumulated[:: BINS // 64], strict=True):
        assert (whole < edge - 2 * width).sum() - count <= below <= (whole <= edge + 2 * width).sum() + count


def test_large_tensors_are_sampled_and_their_extremes_kept() -> None:
    values = torch.randn(4, 400_000, generator=torch.Generator().manual_seed(0))
    values[2, 333_333] = 50.0
    found = collected([values])
    assert found.maximum == 50.0
    assert found.counts[-1] >= 1.0
    assert found.energy == pytest.approx(float(values.double().square().sum()), rel=1e-4)
    assert found.elements == values.numel()
    distribution = ranges.of_activation(found)
    assert float(distribution.elements[0]) == pytest.approx(values.numel())
    assert float(distribution.energy[0]) == pytest.approx(found.energy, rel=0.01)


def test_the_samples_that_caused_the_extremes_are_remembered() -> None:
    batches = [torch.tensor([[0.0, 1.0], [5.0, -3.0]]), torch.tensor([[9.0, 0.0], [0.0, -7.0]])]
    found = collected(batches)
    assert [(s.sample, s.value) for s in found.highest][:2] == [(2, 9.0), (1, 5.0)]
    assert [(s.sample, s.value) for s in found.lowest][:2] == [(3, -7.0), (1, -3.0)]


def test_the_result_does_not_grow_with_the_samples() -> None:
    def size(count: int) -> int:
        found = collected([torch.randn(4, 100, generator=torch.Generator().manual_seed(i)) for i in range(count)])
        return found.counts.size + len(found.lowest) + len(found.highest)

    assert size(3) == size(60)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_counted_and_left_out(bad: float) -> None:
    values = torch.tensor([[1.0, 2.0], [bad, -1.0]])
    collector = Collector()
    collector.update(values, [0, 1])
    found = collector.result()
    assert collector.unfinite == found.nan + found.infinite == 1
    assert (found.minimum, found.maximum, found.elements) == (-1.0, 2.0, 3)


def test_a_tensor_without_any_finite_value_has_statistics_too() -> None:
    found = collected([torch.full((2, 3), float("nan")), torch.ones(2, 3)])
    assert found.elements == 6
    assert found.nan == 6


def test_an_activation_that_is_not_finite_stops_calibration_and_names_the_layer() -> None:
    session = open_session("makes_nan")
    with pytest.raises(QguiError, match="NaN or infinite") as caught:
        session.calibrate(QUIET)
    assert "log" in caught.value.why
    assert session.record is None
    assert session.activations is None


def test_one_calibration_sample_is_enough() -> None:
    session = open_session("residual", calibrate=1)
    record = session.calibrate(QUIET)
    assert record.batches == 1
    assert len(record.samples) == 1
    session.quantize(recipe_of(session), QUIET)
    with torch.inference_mode():
        assert torch.isfinite(session.run_quantized(evaluation_batch(session))).all()


def test_the_split_is_recorded(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    assert session.record is not None
    assert session.data is not None
    assert session.record.samples == tuple(session.data.calibration)
    assert not set(session.record.samples) & set(session.data.evaluation)


def test_data_of_the_wrong_shape_is_told_and_leaves_the_session_as_it_was() -> None:
    session = open_session("residual")
    before = session.data, session.model
    with pytest.raises(QguiError, match=r"Could not run the model.*inputs: 1x3x7") as caught:
        session.open_data(DataReference("random:1x3x7", calibrate=4))
    assert "shape" in caught.value.next_step
    assert (session.data, session.model) == before


def test_a_sample_of_another_shape_stops_calibration_and_is_named() -> None:
    # The window asks for a sample first; later ones may differ.
    session = session_of(nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 4))
    assert session.model is not None
    assert session.model.graphs is not None
    batches = [Batch((torch.zeros(1, 4),), None, [0]), Batch((torch.zeros(1, 5),), None, [17])]
    with pytest.raises(QguiError, match="Calibration stopped at sample 17"):
        collect.collect(session.model.graphs.fused, {"x": "x"}, batches, 2, QUIET)


def test_calibration_can_be_cancelled_between_batches() -> None:
    session = open_session("residual")
    asked: list[bool] = []
    progress = Progress(None, lambda: asked.append(True) or len(asked) > 2)  # type: ignore[func-returns-value]
    with pytest.raises(Cancelled):
        session.calibrate(progress)
    assert session.record is None


def test_statistics_of_an_earlier_run_give_the_same_numbers(calibrated: Calibrated, tmp_path: Path) -> None:
    session = calibrated("residual")
    assert session.record is not None
    path = tmp_path / "s.npz"
    statistics.save(session.record, path)
    again = open_session("residual")
    again.use_statistics(path)
    recipe = recipe_of(session)
    assert session.quantize(recipe, QUIET).tensors == again.quantize(recipe, QUIET).tensors


def test_statistics_of_other_weights_are_refused(calibrated: Calibrated, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    record = calibrated("shuffle").record
    assert record is not None
    statistics.save(record, path)
    session = open_session("residual")
    with pytest.raises(QguiError, match="they belong to other weights"):
        session.use_statistics(path)
    assert session.record is None


# --- The ranges of torch.ao ----------------------------------------------------------------------------------------


def observed_by_torch(session: Session, kind: type[ObserverBase]) -> dict[str, ObserverBase]:
    """Return tensor name to the observer that prepare_fx puts there, after it saw the same batches."""
    assert session.model is not None
    assert session.model.graphs is not None
    assert session.data is not None
    qconfig = QConfig(kind.with_args(dtype=torch.quint8), default_weight_observer)
    mapping = QConfigMapping().set_global(qconfig)
    with plain.engine("x86" if "x86" in torch.backends.quantized.supported_engines else "qnnpack"), plain.quiet():
        prepared = prepare_fx(plain.fold_clamps(session.model.graphs.canonical, ()), mapping, ())
    with torch.inference_mode():
        for batch in session.data.batches(session.data.calibration):
            batch.run(prepared)
    modules = dict(prepared.named_modules(remove_duplicate=False))
    found = {}
    for node in prepared.graph.nodes:
        observer = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(observer, kind):
            source = node.args[0]
            assert isinstance(source, fx.Node)
            found[source.name] = observer
    return found


@pytest.fixture(scope="module")
def resnet18() -> Session:
    """torchvision's ResNet-18 at 64 x 64, calibrated."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None).eval()
    session = session_of(model, torch.randn(6, 3, 64, 64), calibrate=False)
    assert session.data is not None
    session.data.reference = msgspec.structs.replace(session.data.reference, batch_size=2)
    session.calibrate(QUIET)
    return session


@pytest.fixture(params=["residual", "upsampling", "example:digits-cnn", "resnet18", "shuffle"])
def any_network(request: pytest.FixtureRequest, calibrated: Callable[..., Session]) -> Session:
    if request.param == "resnet18":
        return request.getfixturevalue("resnet18")
    return calibrated(request.param, "example:digits" if ":" in request.param else "images")


# The parts of a chunk or split stay int8 with one range here, where torch quantizes each part again.
@pytest.mark.parametrize("any_network", ["residual", "upsampling", "example:digits-cnn", "resnet18"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "observer"),
    [
        (MinMaxObserver, Observer(ObserverKind.MINMAX)),
        (MovingAverageMinMaxObserver, Observer(ObserverKind.MOVING_AVERAGE)),
    ],
)
def test_ranges_are_those_of_torch_s_observers_to_the_bit(
    kind: type[ObserverBase], observer: Observer, any_network: Session
) -> None:
    theirs = observed_by_torch(any_network, kind)
    assert len(theirs) >= 6
    assert any_network.activations is not None
    plan = any_network.activations
    clamped = {tensor.owner for tensor in plan.model.tensors if tensor.clamp is not None}
    setting, compared = ActivationSetting(observer=observer), 0
    for name, torch_s in theirs.items():
        # A tensor that only ReLU6 reads is not observed before the clamp, as torch does, but after it.
        if plan.owner(name).name in clamped:
            continue
        chosen = plan.qparams(name, setting)
        scale, zero_point = torch_s.calculate_qparams()
        assert np.array_equal(chosen.scale, scale.numpy()), name
        assert np.array_equal(chosen.zero_point, zero_point.numpy()), name
        compared += 1
    assert compared >= 3


def test_tensors_share_a_range_where_torch_shares_an_observer(any_network: Session) -> None:
    theirs = observed_by_torch(any_network, MinMaxObserver)
    assert any_network.activations is not None
    groups: dict[int, set[str]] = {}
    for name, observer in theirs.items():
        groups.setdefault(id(observer), set()).add(name)
    for group in groups.values():
        owners = {any_network.activations.owner(name).name for name in group}
        assert len(owners) == 1, group
