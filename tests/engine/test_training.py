"""Quantization-aware training: a short run that leaves finite weights, and a model that computes what was trained."""

import copy
import inspect

import pytest
import torch
from sessions import (
    QUIET,
    Calibrated,
    evaluation_batch,
    open_session,
    output_sqnr,
    quantized_graph,
    recipe_of,
)

from qgui.core.errors import Cancelled
from qgui.core.recipe import Mode
from qgui.engine.fx import plain, train
from qgui.engine.progress import Progress
from qgui.engine.session import Session

NETWORKS = ("residual", "functional", "clamped", "gated")


def trained(session: Session) -> dict[str, torch.Tensor]:
    session.quantize(recipe_of(session, Mode.QAT), QUIET)
    assert session.result is not None
    assert session.result.float_weights is not None
    return session.result.float_weights


@pytest.mark.parametrize("network", NETWORKS)
def test_training_moves_the_weights_and_keeps_them_finite(network: str, calibrated: Calibrated) -> None:
    session = calibrated(network)
    assert session.model is not None
    assert session.model.graphs is not None
    before = session.model.graphs.canonical.state_dict()
    after = trained(session)
    assert after.keys() == before.keys()
    assert all(torch.isfinite(value).all() for value in after.values())
    weights = [key for key in after if key.endswith("weight") and after[key].dim() > 1]
    assert sum(not torch.equal(before[key], after[key]) for key in weights) >= 3
    assert output_sqnr(session) > 10.0


def test_the_quantized_model_holds_the_trained_weights_rounded(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    after = trained(session)
    for name in ("first", "second", "fc"):
        weight = quantized_graph(session).get_submodule(name).weight()
        step = weight.q_per_channel_scales().float().reshape(-1, *[1] * (weight.dim() - 1))
        assert ((weight.dequantize() - after[f"{name}.weight"]).abs() <= step * 0.5001).all()


@pytest.mark.parametrize("network", ["residual", "clamped"])
def test_the_converted_model_computes_what_fake_quantization_computed(network: str, calibrated: Calibrated) -> None:
    session = calibrated(network)
    after = trained(session)
    assert session.model is not None
    assert session.model.graphs is not None
    assert session.result is not None
    graph = copy.deepcopy(session.model.graphs.canonical)
    graph.load_state_dict(after)
    with plain.engine(session.result.recipe.backend), plain.quiet():
        prepared = train._prepare(graph, session.result.decisions)
    batch = evaluation_batch(session)
    with torch.no_grad():
        expected = prepared(*batch.inputs).double()
        found = session.run_quantized(batch).double()
    noise = (expected - found).square().sum()
    assert float(10 * torch.log10(expected.square().sum() / noise)) > 25.0


def test_the_same_seed_gives_the_same_weights(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    first, second = trained(session), trained(session)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_weights_of_an_earlier_training_are_used_without_training_again(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    weights = trained(session)
    batch = evaluation_batch(session)
    with torch.inference_mode():
        expected = session.run_quantized(batch).clone()
        result = session.quantize(recipe_of(session, Mode.QAT), QUIET, weights)
        assert torch.equal(session.run_quantized(batch), expected)
    assert not any("Trained" in note for note in result.notes)


def test_batch_norm_keeps_its_statistics(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    assert session.model is not None
    assert session.model.graphs is not None
    before, after = session.model.graphs.canonical.state_dict(), trained(session)
    for key in before:
        if "running" in key:
            assert torch.equal(before[key], after[key]), key


def test_data_without_labels_is_trained_by_distillation() -> None:
    session = open_session("clamped", "random:1x3x16x16", calibrate=8)
    session.calibrate(QUIET)
    result = session.quantize(recipe_of(session, Mode.QAT), QUIET)
    assert "distillation" in " ".join(result.notes)
    assert output_sqnr(session) > 15.0


def test_what_was_done_is_told(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    (note,) = session.quantize(recipe_of(session, Mode.QAT), QUIET).notes
    assert note.startswith("Trained 2 epochs on 12 samples with cross-entropy")


def test_training_can_be_cancelled_and_leaves_the_model_as_it_was(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    session.quantize(recipe_of(session), QUIET)
    earlier = session.result
    asked: list[bool] = []
    progress = Progress(None, lambda: asked.append(True) or len(asked) > 2)  # type: ignore[func-returns-value]
    with pytest.raises(Cancelled):
        session.quantize(recipe_of(session, Mode.QAT), progress)
    assert session.result is earlier


@pytest.mark.parametrize("direction", ["_call_impl", "backward"])
def test_training_stops_within_a_batch(direction: str, calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    told: list[str] = []
    progress = Progress(
        lambda phase, *_: told.append(phase), lambda: any(frame.function == direction for frame in inspect.stack(0))
    )
    with pytest.raises(Cancelled):
        session.quantize(recipe_of(session, Mode.QAT), progress)
    assert told.count("Training") == 1


def test_layers_that_are_not_trained_keep_their_weights(calibrated: Calibrated) -> None:
    session = calibrated("perceptron", "vectors")
    float_recipe = recipe_of(session, Mode.FLOAT)
    qat = recipe_of(session, Mode.QAT).rules["a"]
    session.quantize(float_recipe.with_rules({"a": qat}), QUIET)
    assert session.model is not None
    assert session.model.graphs is not None
    assert session.result is not None
    assert session.result.float_weights is not None
    assert set(session.result.decisions["layers"]) == {"a", "relu"}
    after, before = session.result.float_weights, session.model.graphs.canonical.state_dict()
    assert not torch.equal(after["a.weight"], before["a.weight"])
