"""What a person decides about calibration is carried out, recorded, and asked for again where it changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sessions import QUIET, evaluation_batch, open_session, recipe_of, session_of
from torch import nn

from qgui.core import statistics
from qgui.core.errors import NeedsConsent, QguiError
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ActivationSetting, Observer, Recipe
from qgui.engine.session import Session


def with_data(recipe: Recipe, **choices: object) -> Recipe:
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, **choices))  # type: ignore[arg-type]


def with_nan(rows: int = 6) -> torch.Tensor:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(0)).abs() + 0.5
    x[2, 1] = float("nan")
    x[3, 0] = float("inf")
    return x


class Linears(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


def linear() -> Linears:
    torch.manual_seed(0)
    return Linears()


def test_a_sample_left_out_leaves_the_statistics_and_is_recorded() -> None:
    session = open_session("residual")
    recipe = recipe_of(session)
    before = session.calibrate(QUIET, recipe=recipe)
    gone = before.tensors["x"].highest[0].sample
    after = session.calibrate(QUIET, recipe=with_data(recipe, excluded=(gone,)))
    assert after.samples == tuple(sample for sample in before.samples if sample != gone)
    assert after.settings.excluded == (gone,)
    assert after.tensors["x"].maximum < before.tensors["x"].maximum
    again = session.calibrate(QUIET, recipe=recipe)
    assert again.samples == before.samples


def test_leaving_all_samples_out_is_refused_and_keeps_the_statistics() -> None:
    session = open_session("residual")
    recipe = recipe_of(session)
    record = session.calibrate(QUIET, recipe=recipe)
    with pytest.raises(QguiError, match="all 12 calibration samples are left out"):
        session.calibrate(QUIET, recipe=with_data(recipe, excluded=record.samples))
    assert session.record is record
    session.quantize(recipe, QUIET)


def test_quantizing_with_stale_statistics_is_refused_in_words() -> None:
    session = open_session("residual")
    recipe = recipe_of(session)
    record = session.calibrate(QUIET, recipe=recipe)
    stale = with_data(recipe, excluded=record.samples[:1])
    with pytest.raises(QguiError, match=rf"sample {record.samples[0]} was left out since.*Calibrate again"):
        session.quantize(stale, QUIET)
    session.calibrate(QUIET, recipe=stale)
    session.quantize(stale, QUIET)


def test_values_that_are_not_finite_stop_calibration_until_the_person_agrees() -> None:
    session = session_of(linear(), with_nan(), calibrate=False)
    recipe = recipe_of(session)
    with pytest.raises(NeedsConsent, match=r"the output of x.*--finite-only"):
        session.calibrate(QUIET, recipe=recipe)
    assert session.record is None
    record = session.calibrate(QUIET, recipe=with_data(recipe, finite_only=True))
    assert record.settings.finite_only
    assert record.tensors["x"].nan == 1
    assert record.tensors["x"].infinite == 1
    assert np.isfinite([record.tensors["x"].minimum, record.tensors["x"].maximum]).all()


def test_ranges_of_the_finite_values_give_a_model_that_computes() -> None:
    session = session_of(linear(), with_nan(), calibrate=False)
    every = [{"correct_bias": True}, {"adaround": True}, {}]
    for steps in every:
        recipe = recipe_of(session, setting=lambda rule, steps=steps: msgspec.structs.replace(rule, **steps))
        recipe = with_data(recipe, finite_only=True)
        session.calibrate(QUIET, recipe=recipe)
        result = session.quantize(recipe, QUIET)
        assert all(np.isfinite([tensor.scale, tensor.low, tensor.high]).all() for tensor in result.tensors)
        batch = evaluation_batch(session, 1)
        with torch.inference_mode():
            assert torch.isfinite(session.run_quantized(batch)).all(), steps


def test_samples_with_finite_extremes_are_remembered_beside_others() -> None:
    session = session_of(linear(), with_nan(), calibrate=False)
    found = session.calibrate(QUIET, recipe=with_data(recipe_of(session), finite_only=True)).tensors["x"]
    x = with_nan()
    finite = x[torch.isfinite(x)]
    assert found.highest[0].value == pytest.approx(float(finite.max()))
    assert found.lowest[0].value == pytest.approx(float(finite.min()))


def test_a_tensor_without_any_finite_value_stops_calibration_even_so() -> None:
    session = open_session("makes_nan")
    with pytest.raises(QguiError) as caught:
        session.calibrate(QUIET, recipe=with_data(recipe_of(session), finite_only=True))
    assert not isinstance(caught.value, NeedsConsent)
    assert "no finite value in any sample" in caught.value.why


class Constant(nn.Module):
    """Gives the same tensor for every input."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.last = nn.Linear(5, 3)
        with torch.no_grad():
            self.first.weight.zero_()
            self.first.bias.fill_(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x))


@pytest.mark.parametrize("value", [0.0, 1.5, -2.0])
def test_constant_and_all_zero_tensors_have_ranges_under_every_observer(value: float) -> None:
    torch.manual_seed(1)
    session = session_of(Constant(value), torch.randn(6, 4))
    assert session.activations is not None
    for kind in AUTOMATIC_OBSERVERS:
        qparams = session.activations.qparams("first", ActivationSetting(observer=Observer(kind)))
        level = round(value / float(qparams.scale[0])) + int(qparams.zero_point[0])
        level = min(max(level, qparams.grid.quant_min), qparams.grid.quant_max)
        given = (level - int(qparams.zero_point[0])) * float(qparams.scale[0])
        assert given == pytest.approx(value, rel=0.01, abs=1e-6), kind
    session.quantize(recipe_of(session), QUIET)
    batch = evaluation_batch(session, 2)
    with torch.inference_mode():
        assert torch.isfinite(session.run_quantized(batch)).all()


def test_one_sample_calibrates_under_every_observer() -> None:
    torch.manual_seed(1)
    session = session_of(linear(), torch.randn(1, 4))
    assert session.activations is not None
    for kind in AUTOMATIC_OBSERVERS:
        choice = session.activations.choice("x", ActivationSetting(observer=Observer(kind)))
        assert np.isfinite(choice.sqnr_db)
    session.quantize(recipe_of(session), QUIET)


def saved(session: Session, folder: Path) -> Path:
    path = folder / "statistics.npz"
    session.save_statistics(path)
    return path


def test_statistics_of_other_weights_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x = torch.randn(6, 4)
    path = saved(session_of(linear(), x), tmp_path)
    other = linear()
    with torch.no_grad():
        other.first.weight.mul_(2.0)
    session = session_of(other, x, calibrate=False)
    with pytest.raises(QguiError, match=r"they belong to other weights.*Calibrate again"):
        session.use_statistics(path)
    assert session.record is None


def test_what_statistics_were_made_with_survives_their_file(tmp_path: Path) -> None:
    session = session_of(linear(), with_nan(), calibrate=False)
    recipe = with_data(recipe_of(session), finite_only=True, excluded=(5,))
    record = session.calibrate(QUIET, recipe=recipe)
    path = saved(session, tmp_path)
    assert statistics.load(path).settings == record.settings
    session.use_statistics(path)
    session.quantize(recipe, QUIET)
    with pytest.raises(QguiError, match="sample 5 was taken back"):
        session.quantize(with_data(recipe, excluded=()), QUIET)
