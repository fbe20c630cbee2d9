"""What the int8 model really produced: counted level by level, and honest about what was inherited."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sessions import QUIET, Calibrated, evaluation_batch, observing, open_session, quantized_graph, recipe_of

from qgui.core import measured
from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import Mode, Observer, ObserverKind
from qgui.engine import activations
from qgui.engine.fx import plain, profile
from qgui.engine.progress import Progress
from qgui.engine.session import Session


@pytest.fixture
def session(calibrated: Calibrated) -> Session:
    found = calibrated("residual")
    found.quantize(recipe_of(found), QUIET)
    return found


def test_every_element_is_counted_at_its_level(session: Session) -> None:
    found = activations.measure(session, QUIET, 4)
    assert found.samples == 4
    assert found.recipe_hash == session.quantized_model.recipe.digest()
    graph, batch = quantized_graph(session), evaluation_batch(session, 4)
    seen: dict[str, torch.Tensor] = {}
    with torch.inference_mode(), plain.engine(session.quantized_model.recipe.backend):
        profile.Watching(graph, seen.__setitem__, {"stem_0"}).run(*batch.inputs)  # type: ignore[misc]
    stem = found.layers["stem.0"]
    assert stem.ratios.scale == seen["stem_0"].q_scale()
    assert stem.ratios.zero_point == seen["stem_0"].q_zero_point()
    expected = np.bincount(seen["stem_0"].int_repr().numpy().ravel(), minlength=256)
    assert stem.counts.tolist() == expected.tolist()
    assert stem.float_counts.sum() + stem.ratios.below + stem.ratios.above == expected.sum()
    middle = (stem.edges[:-1] + stem.edges[1:]) / 2
    assert middle[stem.ratios.zero_point] == pytest.approx(0.0, abs=1e-12)
    assert len(stem.edges) == 257


def test_the_measured_ratio_is_that_of_the_comparison(session: Session) -> None:
    found = activations.measure(session, QUIET, 4)
    model = session.opened_model
    assert model.graphs is not None
    whole = profile.layer_sqnr(model.description, model.graphs, session.quantized_model, list(session.check_batches(4)))
    for name, entry in found.layers.items():
        if name != "x":
            assert entry.ratios.sqnr_db == pytest.approx(whole[name], abs=1e-6), name


def test_what_a_layer_inherits_is_the_ratio_of_what_it_reads(session: Session) -> None:
    layers = activations.measure(session, QUIET, 4).layers
    assert layers["stem.0"].ratios.inherited_db == layers["x"].ratios.sqnr_db
    assert layers["x"].ratios.inherited_db is None


def test_the_prediction_is_that_of_the_screen_and_holds_where_nothing_is_inherited(session: Session) -> None:
    layers = activations.measure(session, QUIET, 12).layers
    ranges, recipe = session.activations, session.quantized_model.recipe
    assert ranges is not None
    for entry in layers.values():
        name = entry.ratios.tensor
        assert entry.ratios.predicted_db == ranges.choice(name, ranges.setting(name, recipe)).sqnr_db
    assert layers["x"].ratios.sqnr_db == pytest.approx(layers["x"].ratios.predicted_db, abs=1.0)


def test_seven_bits_have_half_the_levels(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session, setting=observing(Observer(ObserverKind.MSE), reduce_range=True)), QUIET)
    stem = activations.measure(session, QUIET, 2).layers["stem.0"]
    assert stem.ratios.levels == len(stem.counts) == 128
    assert stem.counts.sum() > 0


def test_a_clipping_range_counts_what_it_clips(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    narrow = observing(Observer(ObserverKind.FIXED, low=-0.05, high=0.05))
    session.quantize(recipe_of(session, setting=narrow), QUIET)
    first = activations.measure(session, QUIET, 2).layers["x"]
    assert first.ratios.below > 0
    assert first.ratios.above > 0


def test_a_float_model_has_nothing_to_measure(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session, Mode.FLOAT), QUIET)
    assert activations.measure(session, QUIET, 2).layers == {}


def test_a_model_that_does_not_trace_has_nothing_to_measure() -> None:
    session = open_session("root_branches", "vectors")
    session.quantize(recipe_of(session, Mode.DYNAMIC), QUIET)
    assert activations.measure(session, QUIET, 2).layers == {}


def test_folded_clamps_show_what_their_convolution_produced(calibrated: Calibrated) -> None:
    session = calibrated("example:digits-cnn", "example:digits")
    session.quantize(recipe_of(session), QUIET)
    layers = activations.measure(session, QUIET, 2).layers
    assert layers["stem.2"].counts.tolist() == layers["stem.0"].counts.tolist()
    assert layers["stem.2"].ratios.layer == "stem.2"


def test_measuring_before_quantizing_is_told() -> None:
    with pytest.raises(QguiError, match="Quantize first"):
        activations.measure(open_session("residual"), QUIET)


def test_measuring_activations_can_be_cancelled(session: Session) -> None:
    with pytest.raises(Cancelled):
        activations.measure(session, Progress(cancelled=lambda: True))


def test_what_was_measured_survives_its_file(session: Session, tmp_path: Path) -> None:
    found = activations.measure(session, QUIET, 2)
    measured.save(found, tmp_path / "m.npz")
    again = measured.load(tmp_path / "m.npz")
    assert (again.recipe_hash, again.samples) == (found.recipe_hash, found.samples)
    assert list(again.layers) == list(found.layers)
    for name, entry in found.layers.items():
        assert again.layers[name].ratios == entry.ratios
        assert again.layers[name].counts.tolist() == entry.counts.tolist()
        assert again.layers[name].float_counts.tolist() == entry.float_counts.tolist()


@pytest.mark.parametrize("content", [b"", b"no archive", msgspec.json.encode({"rows": []})])
def test_a_damaged_file_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    with pytest.raises(QguiError, match="Could not read what was measured"):
        measured.load(path)
