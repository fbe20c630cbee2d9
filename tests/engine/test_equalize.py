"""Cross-layer equalization: the float function stays, ranges of channels become alike, and what is shown is shipped."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sessions import QUIET, open_session, output_sqnr, recipe_of, session_of
from torch import nn

from qgui.core.calibration import equalized_pairs
from qgui.core.errors import QguiError
from qgui.core.recipe import Mode, Recipe, Rule, WeightScheme, WeightSetting
from qgui.engine import comparison, export, weights
from qgui.engine.fx import decide
from qgui.engine.session import Session


class Chain(nn.Module):
    """Conv+BN, a depthwise and a grouped convolution, pooling and a linear layer, all with ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(16, 12, 3, groups=4, padding_mode="reflect", padding=1)
        self.last = nn.Conv2d(12, 6, 1)
        self.hidden = nn.Linear(6 * 4, 10)
        self.head = nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.first(x)))
        x = F.max_pool2d(torch.relu(self.depthwise(x)), 2)
        x = self.last(F.leaky_relu(self.grouped(x), 0.1))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 2).relu(), 1)
        return self.head(F.dropout(F.relu(self.hidden(x)), training=self.training))


class Mean(nn.Module):
    """Means over the positions, with and without keeping their dimensions, and a view."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1)
        self.c, self.d = nn.Conv2d(4, 4, 1), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(self.a(x).mean((2, 3), keepdim=True))
        x = self.c(x.relu())
        return self.d(x.view(x.size(0), -1))


def scaled(module: nn.Module, seed: int = 0) -> nn.Module:
    """Return a module whose output channels differ widely, as training leaves them in depthwise networks."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.5, 0.5)
                layer.running_var.uniform_(0.5, 2.0)
                layer.weight.copy_(torch.logspace(-2, 0, len(layer.weight)))
                layer.bias.uniform_(-0.01, 0.01)
            elif isinstance(layer, nn.Conv2d | nn.Linear):
                factor = torch.logspace(-1.5, 0.5, layer.weight.shape[0])
                factor = factor[torch.randperm(len(factor))]
                layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.dim() - 1)))
                if layer.bias is not None:
                    layer.bias.mul_(factor)
    return module.eval()


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return scaled(kind())


def opened(kind: type[nn.Module] = Chain) -> Session:
    return session_of(made(kind), torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(3)), calibrate=False)


def equalizing(
    session: Session, wanted: bool = True, scheme: WeightScheme = "per_tensor_symmetric", mode: Mode = Mode.STATIC
) -> Recipe:
    """Return the recipe in which every layer that may is ticked."""

    def setting(rule: Rule) -> Rule:
        return msgspec.structs.replace(rule, weight=WeightSetting(qscheme=scheme))

    recipe = recipe_of(session, mode, setting=setting)
    layers = session.opened_model.description.layers
    ticks = {
        layer.name: msgspec.structs.replace(recipe.rules[layer.name], equalize=True)
        for layer in layers
        if layer.equalizable and wanted
    }
    return recipe.with_rules(ticks)


def pairs_of(session: Session) -> set[tuple[str, str]]:
    return {pair for layer in session.opened_model.description.layers for pair in layer.equalizable}


def reason(session: Session, layer: str) -> str:
    return session.opened_model.description.layer(layer).alone


CHAIN = {
    ("first", "depthwise"), ("depthwise", "grouped"), ("grouped", "last"), ("last", "hidden"), ("hidden", "head"),
}  # fmt: skip


def test_neighbours_are_found_through_relu_pooling_and_flattening() -> None:
    assert pairs_of(opened()) == CHAIN
    assert pairs_of(opened(Mean)) == {("a", "b"), ("b", "c"), ("c", "d")}


@pytest.mark.parametrize("kind", [Chain, Mean])
def test_the_float_function_stays_what_it_is(kind: type[nn.Module]) -> None:
    session = opened(kind)
    graphs = session.graphs_for(equalizing(session))
    assert graphs is not None
    assert graphs is not session.opened_model.graphs
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(9)) * 4
    with torch.inference_mode():
        expected = session.opened_model.loaded.module(x)
        for module in (graphs.canonical, graphs.fused):
            assert float((module(x) - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_the_weights_of_the_model_itself_are_left_alone() -> None:
    session = opened()
    before = {key: value.clone() for key, value in session.opened_model.loaded.module.state_dict().items()}
    canonical = session.opened_model.graphs.canonical  # type: ignore[union-attr]
    traced = {key: value.clone() for key, value in canonical.state_dict().items()}
    session.graphs_for(equalizing(session))
    after = session.opened_model.loaded.module.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in after.items())
    assert all(torch.equal(value, traced[key]) for key, value in canonical.state_dict().items())


def test_ranges_of_both_sides_of_a_channel_become_alike() -> None:
    session = session_of(
        scaled(nn.Sequential(nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 4))), torch.randn(4, 6),
        calibrate=False,
    )  # fmt: skip
    graphs = session.graphs_for(equalizing(session))
    assert graphs is not None
    first, second = (p for key, p in graphs.canonical.state_dict().items() if key.endswith("weight"))
    assert torch.allclose(first.abs().amax(1), second.abs().amax(0), rtol=1e-3)


class Separable(nn.Module):
    """A convolution, a depthwise one and another, whose channels are scaled against each other badly."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 6, 1)
        with torch.no_grad():
            for first, second, shape in ((self.a, self.b, (8, 1, 1, 1)), (self.b, self.c, (1, 8, 1, 1))):
                factor = torch.logspace(-1.2, 1.2, 8)[torch.randperm(8)]
                first.weight.mul_(factor.reshape(8, 1, 1, 1))
                first.bias.mul_(factor)
                second.weight.div_(factor.reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


def test_one_scale_per_tensor_fits_badly_scaled_channels_better() -> None:
    torch.manual_seed(0)
    session = session_of(Separable().eval(), torch.randn(8, 3, 8, 8), calibrate=False)
    ratios = {}
    for wanted in (False, True):
        recipe = equalizing(session, wanted)
        session.calibrate(QUIET, recipe=recipe)
        result = session.quantize(recipe, QUIET)
        ratios[wanted] = output_sqnr(session)
    assert ratios[True] > ratios[False] + 6.0, ratios
    effects = {layer.name: effect for layer in result.layers for effect in layer.effects}
    assert set(effects) == {name for pair in pairs_of(session) for name in pair}
    assert all(effect.step == "equalize" for effect in effects.values())
    gains = [effect.after_db - effect.before_db for effect in effects.values()]
    assert min(gains) > 3.0, gains


def test_the_effect_is_that_of_the_setting_of_the_weight() -> None:
    session = opened()
    found = {}
    for scheme in ("per_tensor_symmetric", "per_channel_symmetric"):
        recipe = equalizing(session, scheme=scheme)  # type: ignore[arg-type]
        session.calibrate(QUIET, recipe=recipe)
        result = session.quantize(recipe, QUIET)
        found[scheme] = {layer.name: layer.effects[0] for layer in result.layers if layer.effects}
    per_tensor, per_channel = found.values()
    assert per_tensor["first"].before_db < per_channel["first"].before_db


def test_a_channel_is_enlarged_no_further_than_the_largest_of_its_tensor_reaches() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).eval()
    with torch.no_grad():
        module[0].weight[2] = 1e-9
        module[0].bias[2] = 0.4
        module[0].weight[3] = 0.0
    session = session_of(module, torch.randn(4, 6), calibrate=False)
    graphs = session.graphs_for(equalizing(session))
    assert graphs is not None
    bias = next(p for key, p in graphs.canonical.state_dict().items() if key.endswith("bias"))
    assert torch.isfinite(bias).all()
    assert float(bias.abs().max()) <= float(module[0].bias.detach().abs().max()) * 1.001


class Cut(nn.Module):
    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.a, self.between, self.b = nn.Conv2d(3, 4, 1), between, nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.between(self.a(x)))


@pytest.mark.parametrize(
    ("between", "words"),
    [
        (nn.ReLU6(), "ReLU6 behind it cuts at a fixed value"),
        (nn.Hardtanh(), "Hardtanh behind it cuts at a fixed value"),
        (nn.Sigmoid(), "Sigmoid behind it does not let factors"),
        (nn.Hardswish(), "Hardswish behind it does not let factors"),
        (nn.PixelShuffle(1), "PixelShuffle behind it does not let factors"),
        (nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.ReLU()), "no weight that could be scaled"),
    ],
)
def test_what_would_change_the_function_is_refused_in_words(between: nn.Module, words: str) -> None:
    session = session_of(Cut(between).eval(), torch.randn(4, 3, 4, 4), calibrate=False)
    assert pairs_of(session) == set()
    assert words in reason(session, "a")


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))
        self.d.weight = self.c.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        return self.d(torch.relu(self.c(torch.relu(self.b(y)) + y)))


def test_several_readers_and_shared_weights_are_refused_in_words() -> None:
    session = session_of(Shared().eval(), torch.randn(4, 4), calibrate=False)
    assert pairs_of(session) == set()
    assert "2 layers read its output" in reason(session, "a")
    assert "add behind it" in reason(session, "b")
    assert "used more than once" in reason(session, "c")
    assert "used more than once" in reason(session, "d")


def test_residual_blocks_are_equalized_inside_only() -> None:
    session = open_session("residual")
    assert all(first.split(".")[:2] == second.split(".")[:2] for first, second in pairs_of(session))


def test_statistics_and_weights_shown_are_those_of_the_equalized_model(tmp_path: Path) -> None:
    session = opened()
    recipe = equalizing(session)
    plain = session.calibrate(QUIET, recipe=equalizing(session, wanted=False))
    record = session.calibrate(QUIET, recipe=recipe)
    assert set(record.settings.equalized) == CHAIN
    assert record.tensors["grouped"].maximum != pytest.approx(plain.tensors["grouped"].maximum, rel=1e-3)
    assert record.tensors["head"].maximum == pytest.approx(plain.tensors["head"].maximum, rel=1e-4)
    session.quantize(recipe, QUIET)
    written = tmp_path / "w.npz"
    weights.write_ranges(session.model_for(recipe), "grouped", written)
    with np.load(written) as arrays:
        shown = arrays["per-tensor/minmax/scale"]
    layer = session.opened_model.description.layer("grouped")
    shipped = session.quantized_model.decisions["layers"][layer.node]["weight"]["scale"]
    assert shown.tolist() == shipped
    rows = decide.float_weight(session.graphs_for(recipe), layer)  # type: ignore[arg-type]
    assert rows is not None
    assert not np.allclose(rows, weights.rows_of(session.opened_model, "grouped"))


def test_statistics_of_the_plain_model_do_not_quantize_the_equalized_one() -> None:
    session = opened()
    session.calibrate(QUIET, recipe=equalizing(session, wanted=False))
    with pytest.raises(QguiError, match=r"equalization changes the weights of.*Calibrate again"):
        session.quantize(equalizing(session), QUIET)


def test_layers_are_compared_with_the_equalized_float_model() -> None:
    session = opened()
    recipe = equalizing(session)
    session.calibrate(QUIET, recipe=recipe)
    session.quantize(recipe, QUIET)
    found = comparison.compare(session, QUIET, runs=2)
    measured = {layer.name: layer.sqnr_db for layer in found.layers if layer.sqnr_db is not None}
    assert measured["grouped"] > 10.0, measured
    assert found.output_sqnr_db == pytest.approx(output_sqnr(session), abs=3.0)


def test_untraced_and_unticked_models_keep_their_graphs() -> None:
    session = opened()
    assert session.graphs_for(None) is session.opened_model.graphs
    assert session.graphs_for(equalizing(session, wanted=False)) is session.opened_model.graphs
    one = equalizing(session, wanted=False)
    one = one.with_rules({"first": msgspec.structs.replace(one.rules["first"], equalize=True)})
    assert session.graphs_for(one) is session.opened_model.graphs
    assert equalized_pairs(one, session.opened_model.description.layers) == ()
    untraced = open_session("root_branches", "vectors")
    assert untraced.graphs_for(equalizing(untraced, mode=Mode.DYNAMIC)) is None


@pytest.mark.parametrize("steps", [{}, {"correct_bias": True}])
def test_the_script_reproduces_the_equalized_model(steps: dict[str, bool], tmp_path: Path) -> None:
    session = open_session("residual")
    recipe = equalizing(session)
    recipe = recipe.with_rules({name: msgspec.structs.replace(r, **steps) for name, r in recipe.rules.items()})
    assert equalized_pairs(recipe, session.opened_model.description.layers)
    session.calibrate(QUIET, recipe=recipe)
    session.quantize(recipe, QUIET)
    (exported,) = export.export(session, tmp_path, ["script"], QUIET)
    assert exported.verified, exported.message
    assert exported.max_abs_diff == 0.0


def test_training_begins_with_the_equalized_weights_and_with_statistics_of_them() -> None:
    session = opened()
    recipe = equalizing(session)
    head = msgspec.structs.replace(recipe.rules["head"], mode=Mode.QAT, equalize=False)
    recipe = recipe.with_rules({"head": head})
    session.calibrate(QUIET, recipe=equalizing(session, wanted=False))
    with pytest.raises(QguiError, match=r"equalization changes the weights of.*Calibrate again"):
        session.train(recipe, QUIET)
    session.calibrate(QUIET, recipe=recipe)
    trainer = session.trainer(recipe, QUIET)
    expected = session.graphs_for(recipe).canonical.state_dict()  # type: ignore[union-attr]
    found = [value for value in trainer.simulated.module.state_dict().values() if value.shape == (10, 24)]
    assert any(torch.equal(value, expected["hidden.weight"]) for value in found)
