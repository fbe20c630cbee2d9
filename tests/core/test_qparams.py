"""Scale and zero point of a range. That they equal torch.ao's to the bit is tested in tests/engine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core.qparams import EPSILON, activation_grid, qparams_of_range, quantize_dequantize, weight_grid
from qgui.core.recipe import ActivationSetting, WeightSetting

bounds = st.tuples(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32)).map(sorted)
settings_of_activations = st.builds(
    ActivationSetting,
    qscheme=st.sampled_from(["per_tensor_affine", "per_tensor_symmetric"]),
    reduce_range=st.booleans(),
)


@given(bounds, settings_of_activations)
def test_zero_is_always_representable(ends: list[float], setting: ActivationSetting) -> None:
    grid = activation_grid(setting)
    qparams = qparams_of_range(*ends, grid)
    assert grid.quant_min <= qparams.zero_point[0] <= grid.quant_max
    assert quantize_dequantize([0.0], qparams)[0] == 0.0


@given(bounds, settings_of_activations)
def test_the_grid_covers_the_range_up_to_half_a_step(ends: list[float], setting: ActivationSetting) -> None:
    qparams = qparams_of_range(*ends, activation_grid(setting))
    slack = float(qparams.scale[0]) * (1.01 if setting.qscheme.endswith("symmetric") else 0.51)
    assert qparams.low[0] <= ends[0] + slack
    assert qparams.high[0] >= ends[1] - slack


@given(bounds)
def test_weights_of_a_symmetric_scheme_have_zero_point_zero(ends: list[float]) -> None:
    qparams = qparams_of_range(*ends, weight_grid(WeightSetting(qscheme="per_tensor_symmetric")))
    assert qparams.zero_point[0] == 0
    assert qparams.scale.dtype == np.float32


def test_reduce_range_halves_the_levels() -> None:
    assert activation_grid(ActivationSetting()).levels == 256
    assert activation_grid(ActivationSetting(reduce_range=True)).levels == 128


def test_a_range_without_width_gets_the_least_scale() -> None:
    qparams = qparams_of_range(0.0, 0.0, activation_grid(ActivationSetting()))
    assert qparams.scale[0] == EPSILON


def test_float16_weights_have_no_grid() -> None:
    with pytest.raises(ValueError, match="float16"):
        weight_grid(WeightSetting(dtype="float16"))


def test_each_channel_has_its_own_numbers() -> None:
    grid = weight_grid(WeightSetting())
    together = qparams_of_range([-1.0, -4.0], [2.0, 3.0], grid, per_channel=True)
    alone = [qparams_of_range(*ends, grid) for ends in ((-1.0, 2.0), (-4.0, 3.0))]
    assert together.scale.tolist() == [float(q.scale[0]) for q in alone]
    values = np.array([[1.0, 2.0], [1.0, 2.0]])
    expected = np.stack([quantize_dequantize(row, q) for row, q in zip(values, alone, strict=True)])
    assert np.array_equal(quantize_dequantize(values, together), expected)


def test_the_same_bits_are_the_same_numbers() -> None:
    grid = activation_grid(ActivationSetting())
    assert qparams_of_range(-1.0, 1.0, grid).same(qparams_of_range(-1.0, 1.0, grid))
    assert not qparams_of_range(-1.0, 1.0, grid).same(qparams_of_range(-1.0, 1.000001, grid))
