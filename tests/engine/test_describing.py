"""From module to canonical graph, layers and tensors; and what is done where a model does not trace."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from networks import CLASSES
from sessions import QUIET, Calibrated, function_names, open_session, output_sqnr, recipe_of, session_of
from torch import Tensor, nn
from torch.nn import functional as F

from qgui.core.layers import Family, Layer
from qgui.core.recipe import Mode
from qgui.engine.fx import describe, plain
from qgui.engine.outputs import main_output
from qgui.engine.session import Session

NETWORKS = ("residual", "shuffle", "functional", "clamped", "gated", "upsampling")


def layers(session: Session) -> dict[str, Layer]:
    assert session.model is not None
    return {layer.name: layer for layer in session.model.description.layers}


def canonical(session: Session) -> torch.fx.GraphModule:
    assert session.model is not None
    assert session.model.graphs is not None
    return session.model.graphs.canonical


@pytest.mark.parametrize("network", NETWORKS)
def test_canonical_and_fused_graph_compute_what_the_model_computes(network: str, calibrated: Calibrated) -> None:
    session = calibrated(network)
    assert session.model is not None
    assert session.model.graphs is not None
    assert session.data is not None
    with torch.inference_mode():
        for batch in session.data.batches(session.data.evaluation):
            expected = batch.run(session.model.loaded.module)
            torch.testing.assert_close(batch.run(session.model.graphs.canonical), expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(batch.run(session.model.graphs.fused), expected, rtol=1e-3, atol=1e-4)


def test_functions_of_parameters_become_modules(calibrated: Calibrated) -> None:
    session = calibrated("functional")
    types = [layer.type for layer in layers(session).values()]
    assert types.count("Conv2d") == 2
    assert types.count("Linear") == 1
    assert types.count("ReLU") == 4
    assert not {"conv2d", "linear", "relu", "pad"} & set(function_names(canonical(session)))


def test_padding_moves_into_the_convolution_that_reads_it(calibrated: Calibrated) -> None:
    module = canonical(calibrated("functional"))
    assert module.get_submodule("padded").padding == (1, 1)


def test_a_shared_relu_is_one_module_per_call(calibrated: Calibrated) -> None:
    targets = [node.target for node in canonical(calibrated("residual")).graph.nodes if node.op == "call_module"]
    assert len(targets) == len(set(targets))
    relus = [t for t in targets if "relu" in str(t)]
    assert len(relus) == 5


def test_dropout_is_left_out(calibrated: Calibrated) -> None:
    assert "dropout" not in layers(calibrated("residual"))


def test_fused_groups_have_a_head_and_are_named(calibrated: Calibrated) -> None:
    rows = layers(calibrated("residual"))
    assert rows["stem.0"].fusion == "Conv2d + BatchNorm2d + ReLU"
    assert rows["stem.1"].group == rows["relu"].group == "stem.0"
    assert rows["stem.0"].head
    assert not rows["stem.1"].head
    adds = [row for row in rows.values() if row.type == "add"]
    assert [row.fusion for row in adds] == ["add + ReLU", "add + ReLU"]
    assert adds[0].name.startswith("blocks.0")


def test_rows_tell_shapes_parameters_and_macs(calibrated: Calibrated) -> None:
    rows = layers(calibrated("residual"))
    stem, fc = rows["stem.0"], rows["fc"]
    assert (stem.input_shape, stem.output_shape) == ((1, 3, 16, 16), (1, 8, 16, 16))
    assert (stem.parameters, stem.weight_shape) == (8 * 3 * 9, (8, 3, 3, 3))
    assert stem.macs == 16 * 16 * 8 * 3 * 9
    assert (fc.macs, fc.parameters) == (160, 170)
    depthwise = next(row for row in layers(calibrated("shuffle")).values() if row.depthwise)
    assert depthwise.macs == 16 * 16 * 6 * 9


def test_a_layer_before_a_depthwise_convolution_knows_it(calibrated: Calibrated) -> None:
    rows = layers(calibrated("shuffle"))
    assert rows["units.0.expand.0"].feeds_depthwise == 6
    assert rows["stem.0"].feeds_depthwise == 0


@pytest.mark.parametrize("network", NETWORKS)
def test_names_are_unique_and_stay_the_same(network: str, calibrated: Calibrated) -> None:
    session = calibrated(network)
    assert session.model is not None
    names = [layer.name for layer in session.model.description.layers]
    assert len(names) == len(set(names))
    assert list(layers(open_session(network))) == names


@pytest.mark.parametrize("network", NETWORKS)
def test_every_tensor_has_an_owner_with_sources(network: str, calibrated: Calibrated) -> None:
    session = calibrated(network)
    assert session.model is not None
    tensors = {tensor.name: tensor for tensor in session.model.description.tensors}
    for tensor in tensors.values():
        owner = tensors[tensor.owner]
        assert owner.owner == owner.name
        assert owner.sources
        assert tensor.layer in layers(session)


def test_a_tensor_that_only_clamps_read_knows_their_bounds(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    assert session.model is not None
    first = session.model.description.tensor("first")
    assert first.clamp == (0.0, 6.0)
    assert first.clamp_readers == ("six",)
    assert first.name not in session.model.description.tensor(first.owner).sources


def test_the_range_of_a_clamped_tensor_is_that_of_the_clamped_value(calibrated: Calibrated) -> None:
    session = calibrated("clamped")
    assert session.activations is not None
    seen = session.activations.statistics("first")
    assert (seen.minimum, seen.maximum) == (0.0, 6.0)


class ReadBy(nn.Module):
    """A convolution with large values that one operation reads."""

    def __init__(self, reader: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES)
        if isinstance(reader, nn.Module):
            self.read = reader
        else:
            object.__setattr__(self, "read", reader)
        with torch.no_grad():
            self.conv.weight.mul_(10.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.read(self.conv(x)).mean((2, 3)))


def read_by(reader: Callable[[Tensor], Tensor]) -> Session:
    return session_of(ReadBy(reader), torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


RELUS = {
    "module": nn.ReLU(),
    "function": F.relu,
    "torch function": torch.relu,
    "in place": lambda x: F.relu(x, inplace=True),
    "method": lambda x: x.relu(),
    "clamp with a lower bound": lambda x: torch.clamp(x, min=0),
    "clamp_min": lambda x: x.clamp_min(0),
}
CLAMPED = {
    "ReLU6": (nn.ReLU6(), 0.0, 6.0),
    "relu6": (F.relu6, 0.0, 6.0),
    "Hardtanh": (nn.Hardtanh(-2.0, 2.0), -2.0, 2.0),
    "hardtanh": (F.hardtanh, -1.0, 1.0),
    "hardtanh with bounds": (lambda x: F.hardtanh(x, min_val=-0.5, max_val=3.0), -0.5, 3.0),
    "clamp method": (lambda x: x.clamp(0, 6), 0.0, 6.0),
    "clamp in place": (lambda x: x.clamp_(-1, 4), -1.0, 4.0),
    "clamp function": (lambda x: torch.clamp(x, min=-1.0, max=2.0), -1.0, 2.0),
    "clip": (lambda x: torch.clip(x, 0, 6), 0.0, 6.0),
    "clamp with an upper bound": (lambda x: torch.clamp(x, max=1.5), None, 1.5),
    "clamp with another lower bound": (lambda x: torch.clamp(x, -1.5), -1.5, None),
    "clamp_max": (lambda x: x.clamp_max(2.0), None, 2.0),
    "clamp_min": (lambda x: torch.clamp_min(x, -2.0), -2.0, None),
}


@pytest.mark.parametrize("reader", RELUS.values(), ids=RELUS)
def test_a_relu_in_any_form_is_fused_and_leaves_no_negative_range(reader: Callable[[Tensor], Tensor]) -> None:
    session = read_by(reader)
    assert session.model is not None
    assert session.activations is not None
    types = {layer.type: layer for layer in session.model.description.layers}
    assert types["ReLU"].group == "conv"
    assert session.activations.statistics("conv").minimum == 0.0


@pytest.mark.parametrize(("reader", "low", "high"), CLAMPED.values(), ids=CLAMPED)
def test_a_clamp_in_any_form_gives_its_bounds_as_the_reason_for_the_range(
    reader: Callable[[Tensor], Tensor], low: float | None, high: float | None
) -> None:
    session = read_by(reader)
    assert session.model is not None
    assert session.activations is not None
    tensor = session.model.description.tensor("conv")
    assert tensor.clamp == (low, high)
    assert len(tensor.clamp_readers) == 1
    seen = session.activations.statistics("conv")
    assert low is None or seen.minimum == low
    assert high is None or seen.maximum == high
    session.quantize(recipe_of(session), QUIET)
    assert output_sqnr(session) > 25.0


def test_a_clamp_whose_bound_is_a_tensor_is_no_reason_for_a_range() -> None:
    session = read_by(lambda x: torch.clamp(x, max=x.mean()))
    assert session.model is not None
    assert session.model.description.tensor("conv").clamp is None


class Shares(nn.Module):
    """Two convolutions whose outputs are pooled, joined, dropped out, reshaped and flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.pool, self.drop, self.flat = nn.MaxPool2d(2), nn.Dropout(), nn.Flatten()
        self.fc = nn.Linear(8 * 9, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(torch.cat([self.pool(self.one(x)), F.max_pool2d(self.two(x), 2)], 1))
        y = y.reshape(y.shape[0], 8, 9)
        return self.fc(F.dropout(self.flat(y), 0.1, self.training))


def test_pooling_joining_and_moving_share_one_range_as_pytorch_requires() -> None:
    session = session_of(Shares().eval(), torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert session.model is not None
    owners = {tensor.name: tensor.owner for tensor in session.model.description.tensors}
    sharing = ("one", "two", "pool", "max_pool2d", "cat", "reshape", "flatten")
    assert {owners[name] for name in sharing} == {"cat"}
    assert owners["fc"] == "fc"
    result = session.quantize(recipe_of(session), QUIET)
    found = {layer.name: (layer.scale, layer.zero_point) for layer in result.layers}
    assert len({found[name] for name in ("one", "two", "pool", "max_pool2d", "cat")}) == 1
    assert found["fc"] != found["cat"]


@pytest.mark.parametrize(
    ("network", "data", "family"),
    [
        ("residual", "images", Family.CNN),
        ("perceptron", "vectors", Family.MLP),
        ("tiny_bert", "sentences", Family.TRANSFORMER),
        ("root_branches", "vectors", Family.RECURRENT),
    ],
)
def test_the_family_is_found(network: str, data: str, family: Family) -> None:
    session = open_session(network, data, calibrate=4)
    assert session.model is not None
    assert session.model.description.family is family


# --- Models that do not trace ----------------------------------------------------------------------------------------


def test_a_module_that_branches_is_a_leaf_with_reason_and_line(calibrated: Calibrated) -> None:
    rows = layers(calibrated("with_leaf", "vectors"))
    assert "Branching" in rows["branch"].leaf_reason
    assert "control flow" in rows["branch"].leaf_reason
    assert "networks.py, line " in rows["branch"].leaf_reason
    inner = rows["branch.inner"]
    assert (inner.kind, inner.inside) == ("inside", "branch")
    assert (inner.input_shape, inner.output_shape, inner.macs) == ((1, 32), (1, 32), 32 * 32)


def test_modules_inside_what_does_not_trace_have_shapes_and_macs(calibrated: Calibrated) -> None:
    inner = layers(calibrated("with_leaf", "vectors"))["branch.inner"]
    assert (inner.input_shape, inner.output_shape, inner.macs) == ((1, 32), (1, 32), 32 * 32)
    rows = layers(open_session("root_branches", "vectors"))
    assert (rows["lstm"].output_shape, rows["head"].output_shape) == ((1, 1, 16), (1, 10))
    assert rows["lstm"].macs == 4 * 16 * (12 + 16)


def test_what_lies_in_a_leaf_is_dynamic_and_the_rest_static(calibrated: Calibrated) -> None:
    session = calibrated("with_leaf", "vectors")
    result = session.quantize(recipe_of(session), QUIET)
    modes = {layer.name: layer.mode for layer in result.layers}
    assert modes["before"] is modes["after"] is Mode.STATIC
    assert modes["branch.inner"] is Mode.DYNAMIC
    assert output_sqnr(session) > 25.0


def test_a_leaf_may_stay_float(calibrated: Calibrated) -> None:
    session = calibrated("with_leaf", "vectors")
    result = session.quantize(recipe_of(session, Mode.FLOAT), QUIET)
    assert {layer.mode for layer in result.layers} == {Mode.FLOAT}
    assert output_sqnr(session) > 100.0


def test_a_root_that_does_not_trace_gets_dynamic_layers() -> None:
    session = open_session("root_branches", "vectors")
    assert session.model is not None
    described = session.model.description
    assert not described.traced
    assert "networks.py, line " in described.trace_note
    lstm, head = described.layers
    assert (lstm.name, lstm.kind, head.name, head.kind) == ("lstm", "inside", "head", "inside")
    assert (lstm.input_shape, lstm.output_shape, lstm.macs) == ((1, 1, 12), (1, 1, 16), 4 * 16 * (12 + 16))
    assert (head.input_shape, head.output_shape, head.macs) == ((1, 16), (1, CLASSES), 16 * CLASSES)
    result = session.quantize(session.advised_recipe(), QUIET)
    assert {layer.name: layer.mode for layer in result.layers} == {"lstm": Mode.DYNAMIC, "head": Mode.DYNAMIC}
    assert {layer.quantized_type for layer in result.layers} == {"dynamic LSTM", "dynamic Linear"}
    assert output_sqnr(session) > 25.0


def test_a_root_that_does_not_trace_cannot_be_calibrated_and_says_so() -> None:
    from qgui.core.errors import QguiError

    session = open_session("root_branches", "vectors")
    with pytest.raises(QguiError, match="does not trace"):
        session.calibrate(QUIET)


class GivesOtherValues(nn.Module):
    """Traces without complaint, with a constant that is another one in each call."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        GivesOtherValues.calls += 1
        return self.fc(x) * float(self.calls)


def test_a_trace_that_computes_something_else_is_not_used() -> None:
    session = session_of(GivesOtherValues(), torch.randn(4, 12), calibrate=False)
    assert session.model is not None
    assert not session.model.description.traced
    assert "other outputs" in session.model.description.trace_note


def test_recurrent_layers_of_torch_are_rows_of_their_own() -> None:
    session = open_session("example:digits-lstm", "example:digits")
    rows = layers(session)
    assert rows["lstm"].type == "LSTM"
    assert rows["lstm"].weight_shape == (416, 8)
    assert rows["lstm"].macs > 0
    result = session.quantize(session.advised_recipe(), QUIET)
    assert {layer.name: layer.mode for layer in result.layers}["lstm"] is Mode.DYNAMIC
    assert output_sqnr(session) > 20.0


# --- Keyword inputs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.DYNAMIC, Mode.STATIC])
def test_a_model_that_takes_keywords_and_returns_a_mapping_is_quantized(mode: Mode) -> None:
    session = open_session("tiny_bert", "sentences", calibrate=6)
    assert session.model is not None
    assert session.model.description.traced
    assert "position_ids" not in [layer.name for layer in session.model.description.layers]
    if mode is Mode.STATIC:
        session.calibrate(QUIET)
    result = session.quantize(recipe_of(session, mode), QUIET)
    linear = {layer.mode for layer in result.layers if layer.type == "Linear"}
    assert linear == {mode}
    assert output_sqnr(session) > 15.0


def test_bert_of_transformers_is_quantized() -> None:
    transformers = pytest.importorskip("transformers")
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **size)
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config).eval()
    session = open_session("tiny_bert", "sentences", calibrate=6)
    globals()["bert"] = lambda: model
    from qgui.core.recipe import ModelReference

    session.open_model(ModelReference(f"{__name__}:bert"))
    result = session.quantize(session.advised_recipe(), QUIET)
    linear = [layer for layer in result.layers if layer.type == "Linear"]
    assert len(linear) >= 8
    assert {layer.mode for layer in linear} == {Mode.DYNAMIC}
    assert output_sqnr(session) > 15.0


@pytest.mark.parametrize(
    "outputs",
    [
        torch.ones(2, 3),
        {"hidden": torch.zeros(1), "logits": torch.ones(2, 3)},
        {"first": torch.ones(2, 3), "second": torch.zeros(1)},
        (None, (torch.ones(2, 3), torch.zeros(1))),
    ],
    ids=["tensor", "logits", "mapping", "nested"],
)
def test_the_scored_tensor_is_found_wherever_the_model_puts_it(outputs: object) -> None:
    assert torch.equal(main_output(outputs), torch.ones(2, 3))


def test_an_untraceable_root_says_so() -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(plain.Untraceable):
        describe.graphs_of(Root(), None, None)
