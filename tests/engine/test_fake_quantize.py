"""Fake quantization whose range stays, follows the batches, or is learned."""

import pytest
import torch

from qgui.core.qparams import Grid
from qgui.engine.fx.fake_quantize import (
    ActivationFakeQuantize,
    FakeQuantize,
    WeightFakeQuantize,
    gradient_factor,
    rounded,
)

ACTIVATION = Grid("quint8", 0, 255, symmetric=False)
WEIGHT = Grid("qint8", -128, 127, symmetric=True)


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize(("channels", "grid"), [(1, ACTIVATION), (1, WEIGHT), (6, WEIGHT)])
def test_values_have_the_bits_of_pytorch_s_own_and_gradients_are_the_same(
    channels: int, grid: Grid, learns: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    data, gradient = torch.randn(6, 5, 40, generator=generator) * 2, torch.randn(6, 5, 40, generator=generator)
    zero_point = torch.full((channels,), 100 if grid is ACTIVATION else 0, dtype=torch.int32)

    def own(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return rounded(x, scale, zero_point, grid)

    def pytorch(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        low, high, factor = grid.quant_min, grid.quant_max, gradient_factor(x, grid)
        if channels == 1:
            return torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero_point.float(), low, high, factor)
        return torch._fake_quantize_learnable_per_channel_affine(x, scale, zero_point.float(), 0, low, high, factor)

    found = []
    for function in (own, pytorch):
        x, scale = data.clone().requires_grad_(), torch.full((channels,), 0.0137, requires_grad=learns)
        y = function(x, scale)
        (y * gradient).sum().backward()  # type: ignore[no-untyped-call]
        found.append((y.detach(), x.grad, scale.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])  # type: ignore[arg-type]
    if learns:
        torch.testing.assert_close(found[0][2], found[1][2], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(own(data, torch.full((channels,), 0.0137)), found[0][0])


def test_the_gradient_of_a_scale_is_that_of_the_paper() -> None:
    scale = torch.tensor([0.5], requires_grad=True)
    x = torch.tensor([0.6, 200.0, -200.0], requires_grad=True)
    rounded(x, scale, torch.tensor([100], dtype=torch.int32), ACTIVATION).sum().backward()  # type: ignore[no-untyped-call]
    inside, above, below = 1 - 0.6 / 0.5, 155.0, -100.0
    assert float(scale.grad) == pytest.approx((inside + above + below) / (3 * 255) ** 0.5, rel=1e-5)  # type: ignore[arg-type]
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0, 0.0]


def test_a_step_of_the_optimizer_changes_a_learned_scale_by_a_share_of_itself() -> None:
    scales = []
    for scale in (1e-4, 10.0):
        fake_quantize = FakeQuantize(torch.tensor([scale]), torch.tensor([0]), WEIGHT, "lsq")
        assert fake_quantize.log_scale is not None
        with torch.no_grad():
            fake_quantize.log_scale.add_(0.1)
        fake_quantize.take_over()
        scales.append(float(fake_quantize.scale[0]) / scale)
    assert scales[0] == pytest.approx(scales[1], rel=1e-4)


def test_a_following_range_keeps_the_share_that_the_observer_chose() -> None:
    fake_quantize = ActivationFakeQuantize(
        torch.tensor([4 / 255]), torch.tensor([0]), ACTIVATION, "moving_average", 1.0
    )
    fake_quantize.learning_extremes = True
    with torch.no_grad():
        fake_quantize(torch.tensor([0.0, 5.0]))
    fake_quantize.note_extremes()
    fake_quantize.begin()
    fake_quantize(torch.tensor([0.0, 10.0]))
    fake_quantize.take_over()
    assert fake_quantize.range == pytest.approx((0.0, 8.0), rel=1e-5)
    fake_quantize.frozen = True
    fake_quantize(torch.tensor([0.0, 100.0]))
    fake_quantize.take_over()
    assert fake_quantize.range == pytest.approx((0.0, 8.0), rel=1e-5)


def test_the_range_of_a_weight_grows_with_its_extremes() -> None:
    weight = torch.tensor([[1.0, -2.0], [0.5, 0.1]])
    fake_quantize = WeightFakeQuantize(
        torch.tensor([2 / 127.5, 0.5 / 127.5]), torch.tensor([0, 0]), WEIGHT, "moving_average", weight
    )
    fake_quantize(weight * torch.tensor([[2.0], [1.0]]))
    assert fake_quantize.scale.tolist() == pytest.approx([4 / 127.5, 0.5 / 127.5])


def test_values_beyond_seven_bits_are_kept_as_int8_kernels_keep_them() -> None:
    narrow = Grid("quint8", 0, 127, symmetric=False)
    fake_quantize = FakeQuantize(torch.tensor([1.0]), torch.tensor([0]), narrow)
    assert fake_quantize(torch.tensor([100.0, 200.0, 300.0])).tolist() == [100.0, 200.0, 255.0]
