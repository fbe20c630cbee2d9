"""The int8 model as ONNX: what it computes, what it is made of, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from sessions import QUIET, Calibrated, observing, open_session, quantized_graph, recipe_of, session_of
from torch import nn

from qgui.core import formats, legality
from qgui.core.errors import QguiError
from qgui.core.recipe import ActivationSetting, Mode, Observer, ObserverKind, Rule
from qgui.engine import check_samples, fidelity, onnx_model, onnx_programs
from qgui.engine.fidelity import Fidelity
from qgui.engine.outputs import main_output
from qgui.engine.session import Session

IMAGES = ("residual", "shuffle", "functional", "clamped", "gated", "upsampling")


def reduced(rule: Rule) -> Rule:
    return observing(Observer(ObserverKind.MINMAX), reduce_range=True)(rule)


def per_tensor(rule: Rule) -> Rule:
    if not rule.weight.per_channel:
        return rule
    return msgspec.structs.replace(rule, weight=msgspec.structs.replace(rule.weight, qscheme="per_tensor_symmetric"))


def wide(rule: Rule) -> Rule:
    """Give every activation a range that begins below zero, so that no ReLU is superfluous."""
    activation = ActivationSetting(observer=Observer(ObserverKind.FIXED, low=-2.0, high=9.0))
    return msgspec.structs.replace(rule, activation=activation)


def every_third(session: Session) -> Any:
    """Return a recipe in which float, dynamic and static layers alternate."""
    modes = (Mode.STATIC, Mode.FLOAT, Mode.STATIC, Mode.DYNAMIC)
    recipe = recipe_of(session)
    rules = {
        name: msgspec.structs.replace(rule, mode=modes[place % len(modes)])
        for place, (name, rule) in enumerate(recipe.rules.items())
    }
    return recipe.with_rules(rules)


def held_against_torch(session: Session, path: Path) -> tuple[onnx.ModelProto, Fidelity, float]:
    """Return the written model, how it agrees with the int8 model, and what int8 costs at all, in dB."""
    onnx_model.write_quantized(session, path)
    program = onnx_programs.open_onnx(path)
    batches = [*session.check_batches(3), session.latency_batch(3)]
    with torch.inference_mode():
        expected = [main_output(session.run_quantized(batch)).float().numpy() for batch in batches]
        floating = [main_output(batch.run(session.opened_model.loaded.module)).float().numpy() for batch in batches]
    names = session.opened_model.given
    found = [program(check_samples.by_name(names, batch))["output"] for batch in batches]
    return onnx.load(path), fidelity.of_outputs(expected, found), fidelity.of_outputs(floating, expected).sqnr_db


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def initializers(model: onnx.ModelProto) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("network", IMAGES)
@pytest.mark.parametrize("setting", [lambda rule: rule, reduced, per_tensor, wide])
def test_a_static_network_computes_what_torch_computes(
    calibrated: Calibrated, network: str, setting: Any, tmp_path: Path
) -> None:
    session = calibrated(network)
    session.quantize(recipe_of(session, setting=setting), QUIET)
    _, found, cost = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db >= min(40.0, cost)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("perceptron", "vectors"),
        ("with_leaf", "vectors"),
        ("root_branches", "vectors"),
        ("tiny_bert", "sentences"),
        ("example:digits-lstm", "example:digits"),
        ("example:digits-transformer", "example:digits"),
    ],
)
def test_a_dynamic_network_computes_what_torch_computes(model: str, data: str, tmp_path: Path) -> None:
    session = open_session(model, data, calibrate=6)
    session.quantize(recipe_of(session, Mode.DYNAMIC, "x86"), QUIET)
    written, found, cost = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db >= min(40.0, cost)
    assert {"MatMulInteger", "DynamicQuantizeLSTM"} & kinds(written).keys()


@pytest.mark.parametrize("network", ["residual", "gated"])
def test_modes_may_be_mixed(calibrated: Calibrated, network: str, tmp_path: Path) -> None:
    session = calibrated(network)
    session.quantize(every_third(session), QUIET)
    _, found, cost = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db >= min(40.0, cost)


def test_steps_better_than_rounding_are_in_the_file(tmp_path: Path) -> None:
    session = open_session("residual")
    recipe = recipe_of(session, setting=lambda rule: msgspec.structs.replace(rule, equalize=True, correct_bias=True))
    session.calibrate(QUIET, recipe=recipe)
    session.quantize(recipe, QUIET)
    _, found, cost = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db >= min(40.0, cost)


def test_weights_scales_and_zero_points_are_those_of_the_int8_module(calibrated: Calibrated, tmp_path: Path) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    written, _, _ = held_against_torch(session, tmp_path / "model.onnx")
    stored = initializers(written)
    compared = 0
    for name, module in quantized_graph(session).named_modules():
        if not callable(getattr(module, "weight", None)):
            continue
        weight = module.weight()
        assert np.array_equal(stored[f"{name}.weight"], weight.int_repr().numpy())
        assert stored[f"{name}.weight"].dtype == np.int8
        assert np.array_equal(stored[f"{name}.weight/scale"], weight.q_per_channel_scales().float().numpy())
        assert stored[f"{name}.bias"].dtype == np.int32
        compared += 1
        if f"{name}/scale" in stored:
            assert stored[f"{name}/scale"] == np.float32(module.scale)
            assert stored[f"{name}/zero_point"] == module.zero_point
    assert compared == 7


def test_the_graph_is_clean_named_and_dynamic(calibrated: Calibrated, tmp_path: Path) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    written, _, _ = held_against_torch(session, tmp_path / "model.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert not {"BatchNormalization", "Relu", "Clip", "Identity", "Constant", "Mark"} & kinds(written).keys()
    assert {opset.domain for opset in written.opset_import} == {""}
    names = {node.name for node in written.graph.node}
    assert {"stem.0", "blocks.0.first.0", "fc"} <= names
    assert len(names) == len(written.graph.node)
    assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    facts = {fact.key: fact.value for fact in written.metadata_props}
    assert facts["qgui.recipe_hash"] == session.quantized_model.recipe.digest()


def test_a_relu6_whose_range_ends_at_six_disappears(calibrated: Calibrated, tmp_path: Path) -> None:
    session = calibrated("clamped")
    session.quantize(recipe_of(session), QUIET)
    written, _, _ = held_against_torch(session, tmp_path / "model.onnx")
    assert "Clip" not in kinds(written)


def test_asymmetric_padding_goes_into_the_convolution(tmp_path: Path) -> None:
    model = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 5))
    session = session_of(model.eval(), torch.randn(6, 3, 10, 10))
    session.quantize(recipe_of(session), QUIET)
    written, found, cost = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db >= min(40.0, cost)
    assert "Pad" not in kinds(written)


class Recurrent(nn.Module):
    """Both directions, two layers, an initial state, and cells."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 6, num_layers=2, bidirectional=True)
        self.long, self.gated, self.plain = nn.LSTMCell(12, 5), nn.GRUCell(5, 5), nn.RNNCell(5, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, (hidden, _) = self.lstm(self.words(x.long()).transpose(0, 1))
        state, _ = self.long(states[-1])
        return self.head(self.plain(self.gated(state, state), hidden[0, :, :5]))


def test_recurrent_layers_and_embeddings_run_in_int8(tmp_path: Path) -> None:
    session = session_of(Recurrent().eval(), torch.randint(0, 20, (6, 7)).float(), calibrate=False)
    words = legality.default_rule(session.opened_model.description.layer("words"), Mode.DYNAMIC, "x86")
    recipe = recipe_of(session, Mode.DYNAMIC, "x86")
    session.quantize(recipe.with_rules({**recipe.rules, "words": words}), QUIET)
    written, found, _ = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db > 30.0
    found_kinds = kinds(written)
    assert found_kinds["DynamicQuantizeLSTM"] == 2
    assert found_kinds["MatMulInteger"] == 7
    assert initializers(written)["words.weight"].dtype == np.uint8


def test_float16_weights_are_stored_as_such(tmp_path: Path) -> None:
    session = open_session("perceptron", "vectors")
    half = lambda rule: msgspec.structs.replace(rule, weight=msgspec.structs.replace(rule.weight, dtype="float16"))  # noqa: E731
    session.quantize(recipe_of(session, Mode.DYNAMIC, "x86", half), QUIET)
    written, found, _ = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db > 60.0
    assert initializers(written)["a.weight"].dtype == np.float16


@pytest.mark.parametrize("model", ["residual", "example:digits-lstm"])
def test_the_float_model_is_written_without_rounding(model: str, tmp_path: Path) -> None:
    session = open_session(model, "example:digits" if ":" in model else "images")
    onnx_model.write_float(session, tmp_path / "float.onnx")
    program = onnx_programs.open_onnx(tmp_path / "float.onnx")
    batch = session.latency_batch(3)
    with torch.inference_mode():
        expected = main_output(batch.run(session.opened_model.loaded.module)).numpy()
    found = program(check_samples.by_name(session.opened_model.given, batch))["output"]
    assert np.allclose(found, expected, atol=1e-4)
    assert not {"BatchNormalization", "QuantizeLinear", "Identity"} & kinds(onnx.load(tmp_path / "float.onnx")).keys()


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.special.i1(x))


def test_an_operator_that_onnx_lacks_is_named_with_its_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = session_of(Spectral().eval(), torch.randn(4, 12))
    session.quantize(recipe_of(session, Mode.DYNAMIC), QUIET)
    with pytest.raises(QguiError, match=r"special_i1.*TorchScript"):
        onnx_model.write_quantized(session, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def test_a_branch_on_values_that_other_samples_take_otherwise_is_refused(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(12, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x) if x.sum() > 0 else -self.head(x)

    session = session_of(Branching().eval(), torch.randn(4, 12), calibrate=False)
    session.quantize(recipe_of(session, Mode.DYNAMIC), QUIET)
    with pytest.raises(QguiError, match="control flow"):
        onnx_model.write_quantized(session, tmp_path / "model.onnx")


def test_a_dynamic_gru_is_refused_by_name_with_what_can_be_done() -> None:
    session = session_of(nn.Sequential(nn.GRU(12, 4), nn.Identity()).eval(), torch.randn(4, 3, 12), calibrate=False)
    session.quantize(recipe_of(session, Mode.DYNAMIC), QUIET)
    description, recipe = session.opened_model.description, session.quantized_model.recipe
    why, hint = formats.why_not("onnx", description, recipe)
    assert why == "ONNX Runtime has no int8 GRU: 0"
    assert "float" in hint
    assert formats.defaults(description, recipe) == ("torchscript", "script")
    floating = recipe.with_rules({name: Rule(mode=Mode.FLOAT) for name in recipe.rules})
    assert formats.why_not("onnx", description, floating) == ("", "")


def test_weights_too_large_for_one_file_lie_beside_it(
    calibrated: Calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "ONE_FILE", 1000)
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    _, found, cost = held_against_torch(session, tmp_path / "model.onnx")
    assert found.sqnr_db >= min(40.0, cost)
    assert (tmp_path / "model.onnx.data").stat().st_size > 1000
