"""Scale and zero point are torch.ao's, to the bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.ao.quantization import MinMaxObserver, PerChannelMinMaxObserver

from qgui.core.qparams import QParams, activation_grid, qparams_of_range, weight_grid
from qgui.core.recipe import ActivationSetting, WeightSetting

finite = st.floats(-(2.0**100), 2.0**100, width=32)
ordinary = st.floats(-64, 64, width=32)
ranges = st.one_of(st.tuples(ordinary, ordinary), st.tuples(finite, finite)).map(sorted)


def same_bits(found: QParams, observer: torch.nn.Module) -> bool:
    scale, zero_point = observer.calculate_qparams()
    return np.array_equal(found.scale, scale.numpy()) and np.array_equal(found.zero_point, zero_point.numpy())


# torch.ao refuses symmetric quint8 with a reduced range.
@pytest.mark.parametrize(
    ("qscheme", "reduce_range"),
    [("per_tensor_affine", False), ("per_tensor_affine", True), ("per_tensor_symmetric", False)],
)
@given(ends=ranges)
def test_activations(ends: list[float], qscheme: str, reduce_range: bool) -> None:
    observer = MinMaxObserver(dtype=torch.quint8, qscheme=getattr(torch, qscheme), reduce_range=reduce_range)
    observer(torch.tensor(ends))
    grid = activation_grid(ActivationSetting(qscheme=qscheme, reduce_range=reduce_range))  # type: ignore[arg-type]
    assert (grid.quant_min, grid.quant_max) == (observer.quant_min, observer.quant_max)
    assert same_bits(qparams_of_range(*ends, grid), observer)


@given(ends=ranges)
def test_weights_with_one_scale(ends: list[float]) -> None:
    observer = MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    observer(torch.tensor(ends))
    assert same_bits(qparams_of_range(*ends, weight_grid(WeightSetting(qscheme="per_tensor_symmetric"))), observer)


@pytest.mark.parametrize(
    ("dtype", "qscheme"), [("qint8", "per_channel_symmetric"), ("quint8", "per_channel_affine_float_qparams")]
)
@given(rows=st.lists(ranges, min_size=1, max_size=6))
def test_weights_with_a_scale_per_channel(rows: list[list[float]], dtype: str, qscheme: str) -> None:
    observer = PerChannelMinMaxObserver(dtype=getattr(torch, dtype), qscheme=getattr(torch, qscheme))
    weight = torch.tensor(rows)
    observer(weight)
    grid = weight_grid(WeightSetting(dtype, qscheme))  # type: ignore[arg-type]
    found = qparams_of_range(weight.amin(1).numpy(), weight.amax(1).numpy(), grid, per_channel=True)
    assert same_bits(found, observer)
