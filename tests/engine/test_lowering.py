"""From the recipe to int8: what runs is what was decided, to the bit, and stays in int8."""

import gc

import numpy as np
import pytest
import torch
from sessions import (
    ENGINES,
    QUIET,
    Calibrated,
    count_conversions,
    function_names,
    observing,
    open_session,
    output_sqnr,
    quantized_graph,
    recipe_of,
    session_of,
)
from torch import nn

from qgui.core import legality
from qgui.core.errors import QguiError
from qgui.core.recipe import Mode, Observer, ObserverKind, Rule, WeightSetting
from qgui.engine.fx import decide, plain
from qgui.engine.fx.quantized import is_dynamic
from qgui.engine.session import Session

NETWORKS = ("residual", "shuffle", "functional", "clamped", "gated", "upsampling")
EXAMPLES = ("example:digits-cnn", "example:digits-lstm", "example:digits-transformer")
MINMAX, MSE = Observer(ObserverKind.MINMAX), Observer(ObserverKind.MSE)


def data_of(network: str) -> str:
    return "example:digits" if network in EXAMPLES else "images"


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("network", [*NETWORKS, *EXAMPLES])
def test_every_network_runs_in_int8_on_every_engine(network: str, backend: str, calibrated: Calibrated) -> None:
    session = calibrated(network, data_of(network))
    result = session.quantize(recipe_of(session, backend=backend), QUIET)
    assert result.backend == backend
    assert any(layer.mode is Mode.STATIC for layer in result.layers)
    assert output_sqnr(session) > 18.0


def test_quantizing_again_leaves_nothing_of_the_time_before() -> None:
    session = open_session("residual")
    session.calibrate(QUIET)

    def graphs_after_quantizing() -> int:
        session.quantize(recipe_of(session), QUIET)
        gc.collect()
        # By their types: asking an object may wake what is lazy.
        return sum(issubclass(type(each), torch.fx.GraphModule) for each in gc.get_objects())

    assert graphs_after_quantizing() == graphs_after_quantizing()


def expected_numbers(session: Session, tensor: str) -> tuple[float, int]:
    assert session.activations is not None
    assert session.result is not None
    chosen = session.activations.chosen(tensor, session.result.recipe)
    return float(chosen.scale[0]), int(chosen.zero_point[0])


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("network", [*NETWORKS, *EXAMPLES])
def test_scale_and_zero_point_in_the_model_are_those_shown(network: str, backend: str, calibrated: Calibrated) -> None:
    session = calibrated(network, data_of(network))
    result = session.quantize(recipe_of(session, backend=backend), QUIET)
    assert session.model is not None
    described = session.model.description
    compared = 0
    for found in result.layers:
        if found.scale is None:
            continue
        tensor = described.layer(found.name).tensor
        assert (found.scale, found.zero_point) == expected_numbers(session, tensor), found.name
        compared += 1
    assert compared
    for found in result.tensors:
        assert (found.scale, found.zero_point) == expected_numbers(session, found.tensor)


@pytest.mark.parametrize("network", [*NETWORKS, *EXAMPLES])
def test_numbers_of_quantized_modules_and_of_their_weights_are_those_chosen(
    network: str, calibrated: Calibrated
) -> None:
    session = calibrated(network, data_of(network))
    session.quantize(recipe_of(session), QUIET)
    assert session.model is not None
    assert session.model.graphs is not None
    assert session.result is not None
    modules = dict(quantized_graph(session).named_modules())
    weights = 0
    for layer in session.model.description.layers:
        module = modules.get(layer.name)
        int8 = ".quantized" in type(module).__module__ and not is_dynamic(module)
        if not (layer.head and legality.has_weight(layer) and int8):
            continue
        assert (float(module.scale), int(module.zero_point)) == expected_numbers(session, layer.tensor)
        rows = decide.float_weight(session.model.graphs, layer)
        setting = session.result.recipe.rule(layer.name).weight
        chosen = decide.weight_qparams(rows, setting)
        weight = module.weight()
        if setting.per_channel:
            assert np.array_equal(weight.q_per_channel_scales().float().numpy(), chosen.scale)
            assert np.array_equal(weight.q_per_channel_zero_points().long().numpy(), chosen.zero_point)
        else:
            assert weight.q_scale() == float(chosen.scale[0])
        steps = np.clip(np.rint(rows / chosen.scale[:, None]), -128, 127)
        assert np.abs(decide.channel_rows(weight.int_repr(), layer.type) - steps).max() <= 1
        weights += 1
    assert weights


def test_residual_additions_are_fused_with_their_relu(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    result = session.quantize(recipe_of(session), QUIET)
    adds = [layer for layer in result.layers if layer.type == "add"]
    assert len(adds) == 2
    assert all("add_relu" in layer.quantized_type for layer in adds)


def test_a_network_of_convolutions_converts_once_in_and_once_out(calibrated: Calibrated) -> None:
    for network in ("residual", "shuffle"):
        session = calibrated(network)
        result = session.quantize(recipe_of(session), QUIET)
        assert count_conversions(quantized_graph(session)) == (1, 1), network
        assert result.conversions == 2


def test_shuffling_channels_happens_in_int8(calibrated: Calibrated) -> None:
    session = calibrated("shuffle")
    session.quantize(recipe_of(session), QUIET)
    module = quantized_graph(session)
    names = function_names(module)
    assert {"chunk", "split", "cat", "reshape", "transpose"} <= set(names)
    order = list(module.graph.nodes)
    (entry,) = (i for i, n in enumerate(order) if n.target is torch.quantize_per_tensor)
    (leaving,) = (i for i, n in enumerate(order) if n.target == "dequantize")
    moving = [i for i, n in enumerate(order) if plain.name_of(n) in plain.MOVES | {"cat"}]
    assert all(entry < i < leaving for i in moving)


@pytest.mark.parametrize(("reduce_range", "folded"), [(False, True), (True, False)])
def test_relu6_is_folded_only_where_the_range_ends_below_six(
    reduce_range: bool, folded: bool, calibrated: Calibrated
) -> None:
    session = calibrated("clamped")
    result = session.quantize(recipe_of(session, setting=observing(MINMAX, reduce_range)), QUIET)
    kinds = {layer.name: layer.quantized_type for layer in result.layers if layer.type == "ReLU6"}
    assert len(kinds) == 2
    assert all(("folded" in kind) is folded for kind in kinds.values()), kinds
    assert output_sqnr(session) > 18.0


def test_relu6_stays_where_a_fixed_range_reaches_further(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    wide = Observer(ObserverKind.FIXED, low=-8.0, high=8.0)
    session.quantize(recipe_of(session, setting=observing(wide)), QUIET)
    assert session.result is not None
    assert not session.result.decisions["folded"]
    assert output_sqnr(session) > 12.0


@pytest.mark.skipif("qnnpack" not in ENGINES, reason="QNNPACK is not built into this torch")
def test_relu6_that_stays_is_right_on_qnnpack_too(calibrated: Calibrated) -> None:
    # QNNPACK's int8 clamp takes channels-last tensors, which its convolutions make, for contiguous ones.
    session = calibrated("clamped")
    session.quantize(recipe_of(session, backend="qnnpack", setting=observing(MINMAX, reduce_range=True)), QUIET)
    assert session.result is not None
    assert not session.result.decisions["folded"]
    assert output_sqnr(session) > 18.0


def test_prescribed_numbers_are_kept(calibrated: Calibrated) -> None:
    session = calibrated("gated")
    result = session.quantize(recipe_of(session), QUIET)
    numbers = {layer.type: (layer.scale, layer.zero_point) for layer in result.layers}
    assert numbers["Sigmoid"] == (1 / 256, 0)
    assert numbers["Tanh"] == (2 / 256, 128)
    assert numbers["Softmax"] == (1 / 256, 0)


@pytest.mark.parametrize("backend", ENGINES)
def test_one_model_may_hold_static_dynamic_and_float_layers(backend: str, calibrated: Calibrated) -> None:
    session = calibrated("perceptron", "vectors")
    modes = {"a": Mode.STATIC, "b": Mode.DYNAMIC, "c": Mode.FLOAT, "d": Mode.STATIC}
    recipe = recipe_of(session, Mode.FLOAT, backend).with_rules({name: Rule(mode) for name, mode in modes.items()})
    result = session.quantize(recipe, QUIET)
    assert {layer.name: layer.mode for layer in result.layers if layer.name in modes} == modes
    assert output_sqnr(session) > 25.0


def test_modes_may_be_mixed_with_training(calibrated: Calibrated) -> None:
    session = calibrated("perceptron", "vectors")
    modes = {"a": Mode.STATIC, "b": Mode.QAT, "c": Mode.DYNAMIC, "d": Mode.FLOAT}
    recipe = recipe_of(session, Mode.FLOAT).with_rules({name: Rule(mode) for name, mode in modes.items()})
    result = session.quantize(recipe, QUIET)
    assert {layer.name: layer.mode for layer in result.layers if layer.name in modes} == modes
    assert output_sqnr(session) > 15.0


def test_an_all_float_recipe_changes_nothing(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    result = session.quantize(recipe_of(session, Mode.FLOAT), QUIET)
    assert {layer.mode for layer in result.layers} == {Mode.FLOAT}
    assert result.conversions == 0
    assert output_sqnr(session) > 100.0


def test_quantizing_leaves_the_person_s_model_as_it_was(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    assert session.model is not None
    before = {name: value.clone() for name, value in session.model.loaded.module.state_dict().items()}
    session.quantize(recipe_of(session, Mode.QAT), QUIET)
    after = session.model.loaded.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not session.model.loaded.module.training


def test_per_channel_transposed_convolutions_are_corrected_with_a_note(calibrated: Calibrated) -> None:
    session = calibrated("upsampling")
    recipe = recipe_of(session).with_rules({"up": Rule(Mode.STATIC, WeightSetting())})
    result = session.quantize(recipe, QUIET)
    assert "up" in result.notes[0]
    (up,) = (layer for layer in result.layers if layer.name == "up")
    assert (up.mode, up.weight_granularity) == (Mode.STATIC, "per-tensor")


@pytest.mark.parametrize("granularity", ["per_tensor_symmetric", "per_channel_symmetric"])
def test_weights_have_the_granularity_that_was_decided(granularity: str, calibrated: Calibrated) -> None:
    session = calibrated("residual")
    weight = WeightSetting(qscheme=granularity)  # type: ignore[arg-type]
    recipe = recipe_of(session, setting=lambda rule: Rule(rule.mode, weight, rule.activation))
    result = session.quantize(recipe, QUIET)
    found = {layer.weight_granularity for layer in result.layers if layer.type in ("Conv2d", "Linear")}
    assert found == {weight.granularity}


def test_float16_weights_are_kept_in_dynamic_layers(calibrated: Calibrated) -> None:
    backend = next((name for name in ENGINES if name in ("x86", "fbgemm")), None)
    if backend is None:
        pytest.skip("no engine here has float16 weights")
    session = calibrated("perceptron", "vectors")
    half = Rule(Mode.DYNAMIC, WeightSetting(dtype="float16"))
    recipe = recipe_of(session, Mode.FLOAT, backend).with_rules({"b": half})
    result = session.quantize(recipe, QUIET)
    (b,) = (layer for layer in result.layers if layer.name == "b")
    assert b.mode is Mode.DYNAMIC
    assert "16" in b.weight_granularity
    assert output_sqnr(session) > 50.0


def test_a_static_recipe_without_statistics_is_refused() -> None:
    session = open_session("perceptron", "vectors")
    with pytest.raises(QguiError, match="Calibrate first"):
        session.quantize(recipe_of(session), QUIET)
    assert session.result is None
    assert session.quantize(recipe_of(session, Mode.DYNAMIC), QUIET).layers


def test_weights_that_are_not_finite_are_refused(calibrated: Calibrated) -> None:
    rows = np.array([[1.0, np.nan]], np.float32)
    with pytest.raises(QguiError, match="NaN or infinite"):
        decide.weight_qparams(rows, WeightSetting())


def test_a_recipe_for_layers_that_are_not_there_says_so(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    result = session.quantize(recipe_of(session).with_rules({"nowhere": Rule(Mode.STATIC)}), QUIET)
    assert "nowhere" in result.notes[0]


def test_quantized_layers_are_smaller_on_disk(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    result = session.quantize(recipe_of(session), QUIET)
    assert result.quantized_bytes < result.float_bytes
    assert isinstance(quantized_graph(session), nn.Module)


class MeanOfOnePixel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 4), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).mean([2, 3]))


@pytest.mark.parametrize("backend", ENGINES)
def test_the_mean_of_feature_maps_of_one_pixel_runs_in_int8(backend: str) -> None:
    # torch.mean itself raises for such tensors where they are channels-last, as convolutions make them.
    torch.manual_seed(0)
    session = session_of(MeanOfOnePixel(), torch.randn(4, 3, 4, 4))
    session.quantize(recipe_of(session, backend=backend), QUIET)
    assert count_conversions(quantized_graph(session)) == (1, 1)
    assert output_sqnr(session) > 25.0


class Viewing(nn.Module):
    """Flattens feature maps with a view, as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).view(x.shape[0], -1))


@pytest.mark.parametrize("backend", ENGINES)
def test_feature_maps_that_are_viewed_flat_run_in_int8(backend: str) -> None:
    session = session_of(Viewing().eval(), torch.randn(24, 1, 8, 8))
    session.quantize(recipe_of(session, backend=backend), QUIET)
    assert output_sqnr(session) > 18.0
