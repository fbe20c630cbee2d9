"""The table of modes against the real conversion: what it allows runs in int8 and is right, on every engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from sessions import ENGINES, QUIET, output_sqnr, recipe_of, session_of
from torch import Tensor, nn

from qgui.core import legality
from qgui.core.recipe import Mode, Rule, WeightSetting

FLAT, LINE, IMAGE, CUBE = (16, 24), (4, 8, 12), (4, 8, 6, 6), (4, 8, 4, 4, 4)
Maker = Callable[[], object]


class Called(nn.Module):
    """A function as the whole of a model."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


class Alone(nn.Module):
    """A module as the whole of a model; of a tuple that it returns, the first entry."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y[0] if isinstance(self.layer, (nn.LSTM, nn.GRU, nn.LSTMCell)) else y


MODULES: dict[tuple[int, ...], tuple[Maker, ...]] = {
    FLAT: (
        *(lambda: nn.Linear(24, 16), nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh),
        *(nn.ELU, nn.LeakyReLU, nn.Hardswish, lambda: nn.Softmax(1), lambda: nn.LayerNorm(24)),
    ),
    LINE: (
        *(lambda: nn.Conv1d(8, 6, 3), lambda: nn.ConvTranspose1d(8, 6, 3), lambda: nn.InstanceNorm1d(8, affine=True)),
        *(lambda: nn.MaxPool1d(2), lambda: nn.AvgPool1d(2), lambda: nn.AdaptiveAvgPool1d(3)),
    ),
    IMAGE: (
        *(lambda: nn.Conv2d(8, 6, 3), lambda: nn.Conv2d(8, 8, 3, groups=8), lambda: nn.ConvTranspose2d(8, 6, 3)),
        *(lambda: nn.ConvTranspose2d(8, 16, 2, 2), lambda: nn.ConvTranspose2d(8, 8, 2, 2)),
        *(lambda: nn.ConvTranspose2d(8, 16, 3, groups=8), lambda: nn.ConvTranspose2d(8, 8, 3, groups=2)),
        *(lambda: nn.BatchNorm2d(8), lambda: nn.InstanceNorm2d(8, affine=True), lambda: nn.MaxPool2d(2)),
        *(lambda: nn.AvgPool2d(2), lambda: nn.AdaptiveAvgPool2d(2)),
        *(lambda: nn.PixelShuffle(2), lambda: nn.PixelUnshuffle(2)),
    ),
    CUBE: (
        *(lambda: nn.Conv3d(8, 6, 3), lambda: nn.ConvTranspose3d(8, 6, 3), lambda: nn.BatchNorm3d(8)),
        *(lambda: nn.InstanceNorm3d(8, affine=True), lambda: nn.MaxPool3d(2), lambda: nn.AvgPool3d(2)),
        lambda: nn.AdaptiveAvgPool3d(2),
    ),
}
FUNCTIONS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "add": (FLAT, lambda x: x + x),
    "mul": (FLAT, lambda x: x * x),
    "matmul": (FLAT, lambda x: torch.matmul(x, x.transpose(0, 1))),
    "cat": (FLAT, lambda x: torch.cat([x, x], 1)),
    "stack": (FLAT, lambda x: torch.stack([x, x], 1)),
    "clamp": (FLAT, lambda x: torch.clamp(x, min=-0.5)),
    "layer_norm": (FLAT, lambda x: F.layer_norm(x, (24,))),
    "instance_norm": (IMAGE, F.instance_norm),
    "max_pool1d": (LINE, lambda x: F.max_pool1d(x, 2)),
    "max_pool2d": (IMAGE, lambda x: F.max_pool2d(x, 2)),
    "max_pool3d": (CUBE, lambda x: F.max_pool3d(x, 2)),
    "avg_pool1d": (LINE, lambda x: F.avg_pool1d(x, 2)),
    "avg_pool2d": (IMAGE, lambda x: F.avg_pool2d(x, 2)),
    "avg_pool3d": (CUBE, lambda x: F.avg_pool3d(x, 2)),
    "adaptive_avg_pool1d": (LINE, lambda x: F.adaptive_avg_pool1d(x, 2)),
    "adaptive_avg_pool2d": (IMAGE, lambda x: F.adaptive_avg_pool2d(x, 2)),
    "adaptive_avg_pool3d": (CUBE, lambda x: F.adaptive_avg_pool3d(x, 2)),
    "interpolate": (IMAGE, lambda x: F.interpolate(x, scale_factor=2.0)),
    "pixel_shuffle": (IMAGE, lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": (IMAGE, lambda x: F.pixel_unshuffle(x, 2)),
    "repeat_interleave": (FLAT, lambda x: torch.repeat_interleave(x, 2, 1)),
    "mean": (IMAGE, lambda x: x.mean((2, 3))),
    "flatten": (IMAGE, lambda x: torch.flatten(x, 1)),
    "permute": (IMAGE, lambda x: x.permute(0, 2, 3, 1)),
    "pad": (IMAGE, lambda x: F.pad(x, (1, 2, 0, 1))),
}
DYNAMIC: dict[str, Maker] = {
    "Linear": lambda: nn.Linear(24, 16),
    "LSTM": lambda: nn.LSTM(12, 8, batch_first=True),
    "GRU": lambda: nn.GRU(12, 8, batch_first=True),
    "LSTMCell": lambda: nn.LSTMCell(24, 8),
    "GRUCell": lambda: nn.GRUCell(24, 8),
    "RNNCell": lambda: nn.RNNCell(24, 8),
    "Embedding": lambda: nn.Embedding(20, 16),
    "EmbeddingBag": lambda: nn.EmbeddingBag(20, 16, mode="sum"),
}
CASES = [
    *(
        (type(make()).__name__, shape, lambda make=make: Alone(make()))
        for shape, makers in MODULES.items()
        for make in makers
    ),
    *((name, shape, lambda f=function: Called(f)) for name, (shape, function) in FUNCTIONS.items()),
]


def normal(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 0.2


def test_every_type_that_may_be_static_is_tried() -> None:
    # These become modules or functions of another name while the graph is made canonical, or only move elements.
    renamed = {"relu", "relu6", "hardtanh", "sigmoid", "hardsigmoid", "tanh", "softmax", "elu", "leaky_relu"}
    renamed |= {"hardswish", "getitem", "Flatten"}
    moves = {"narrow", "transpose", "squeeze", "unsqueeze", "contiguous", "repeat", "reshape", "view", "chunk", "split"}
    tried = {name for name, _, _ in CASES}
    assert legality.STATIC_TYPES - renamed - moves <= tried


@pytest.mark.filterwarnings("ignore:Quantized Adaptive Average Pool 3D is not implemented for QNNPACK")
@pytest.mark.parametrize(("kind", "shape", "make"), CASES, ids=[f"{i}-{name}" for i, (name, _, _) in enumerate(CASES)])
def test_what_may_be_static_runs_in_int8_on_every_engine(
    kind: str, shape: tuple[int, ...], make: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(0)
    session = session_of(make(), normal(shape))
    assert session.model is not None
    # What only moves elements has no row of its own.
    layer = next((row for row in session.model.description.layers if row.type == kind), None)
    allowed = 0
    for backend in ENGINES:
        result = session.quantize(recipe_of(session, backend=backend), QUIET)
        assert output_sqnr(session) > 20.0, backend
        if layer is not None:
            (found,) = (row for row in result.layers if row.name == layer.name)
            forbidden = legality.mode_reasons(layer, backend)[Mode.STATIC]
            assert found.mode is (Mode.FLOAT if forbidden else Mode.STATIC), (backend, forbidden, found)
        allowed += layer is None or not forbidden
    assert allowed


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("kind", DYNAMIC)
def test_what_may_be_dynamic_runs_on_every_engine(kind: str, backend: str) -> None:
    torch.manual_seed(0)
    words = torch.randint(0, 20, (6, 5), generator=torch.Generator().manual_seed(0))
    inputs = words if kind in legality.EMBEDDINGS else normal((6, 5, 12) if kind in ("LSTM", "GRU") else FLAT)
    session = session_of(Alone(DYNAMIC[kind]()), inputs, calibrate=False)  # type: ignore[arg-type]
    assert session.model is not None
    layer = session.model.description.layer("layer")
    assert not legality.mode_reasons(layer, backend)[Mode.DYNAMIC]
    recipe = recipe_of(session, Mode.FLOAT, backend)
    result = session.quantize(recipe.with_rules({"layer": legality.default_rule(layer, Mode.DYNAMIC, backend)}), QUIET)
    (found,) = (row for row in result.layers if row.name == "layer")
    assert found.mode is Mode.DYNAMIC
    assert output_sqnr(session) > 20.0


@pytest.mark.parametrize("kind", ["Linear", "LSTM"])
def test_float16_weights_run_where_the_table_allows_them(kind: str) -> None:
    session = session_of(Alone(DYNAMIC[kind]()), normal((6, 5, 12) if kind == "LSTM" else FLAT), calibrate=False)  # type: ignore[arg-type]
    assert session.model is not None
    layer = session.model.description.layer("layer")
    for backend in ENGINES:
        if legality.weight_dtypes(layer, Mode.DYNAMIC, backend)["float16"]:
            continue
        half = Rule(Mode.DYNAMIC, WeightSetting("float16"))
        session.quantize(recipe_of(session, Mode.FLOAT, backend).with_rules({"layer": half}), QUIET)
        assert output_sqnr(session) > 50.0, backend


def test_a_shared_weighted_module_is_refused_with_a_reason() -> None:
    from sessions import open_session

    session = open_session("called_twice", "vectors")
    session.calibrate(QUIET)
    assert session.model is not None
    layer = session.model.description.layer("shared")
    assert layer.calls == 2
    for mode in (Mode.DYNAMIC, Mode.STATIC, Mode.QAT):
        assert "called 2 times" in legality.mode_reasons(layer, "x86")[mode]
    result = session.quantize(recipe_of(session).with_rules({"shared": Rule(Mode.STATIC)}), QUIET)
    assert "shared" in result.notes[0]
    assert output_sqnr(session) > 25.0
