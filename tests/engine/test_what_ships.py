"""Promise 1: scale and zero point on the screen are those in the quantized module and in every export, to the bit."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import onnx
import pytest
import torch
from onnx import numpy_helper
from sessions import QUIET, quantized_graph, recipe_of
from torch import fx

from qgui.core.recipe import (
    AUTOMATIC_OBSERVERS,
    ActivationSetting,
    DataReference,
    ModelReference,
    Observer,
    ObserverKind,
    Rule,
    WeightSetting,
)
from qgui.engine import export
from qgui.engine.fx import plain
from qgui.engine.fx.quantized import node_of_layer
from qgui.engine.session import Session

OBSERVERS = [*map(Observer, AUTOMATIC_OBSERVERS), Observer(ObserverKind.FIXED, low=-1.25, high=2.5)]
Numbers = dict[str, tuple[float, int]]


MODELS = ("example:digits-cnn", "example:digits-lstm", "example:digits-transformer", "torchvision:resnet18")


def opened(model: str) -> Session:
    session = Session()
    session.open_model(ModelReference(model))
    data = "example:digits" if model.startswith("example:") else "random:1x3x64x64"
    session.open_data(DataReference(data, calibrate=12, evaluate=8, batch_size=4))
    session.calibrate(QUIET)
    return session


@pytest.fixture(scope="module", params=MODELS)
def session(request: pytest.FixtureRequest) -> Session:
    """Static layers with every observer in turn, weights per tensor and per channel, some biases corrected."""
    found = opened(request.param)
    turn = itertools.count()

    def setting(rule: Rule) -> Rule:
        place = next(turn)
        activation = ActivationSetting(observer=OBSERVERS[place % len(OBSERVERS)])
        wide = WeightSetting(qscheme="per_tensor_symmetric", observer=Observer(ObserverKind.MSE))
        weight = wide if place % 3 == 0 and rule.weight.per_channel else rule.weight
        return msgspec.structs.replace(rule, activation=activation, weight=weight, correct_bias=place % 2 == 0)

    found.quantize(recipe_of(found, setting=setting), QUIET)
    return found


def shown(session: Session) -> Numbers:
    """Return scale and zero point of every quantized layer as the window computes them, from statistics and recipe."""
    plan = session.activations
    assert plan is not None
    found = {}
    for layer in session.opened_model.description.layers:
        if layer.tensor and plan.owner(layer.tensor).sources:
            chosen = plan.chosen(layer.tensor, session.quantized_model.recipe)
            found[layer.name] = (float(chosen.scale[0]), int(chosen.zero_point[0]))
    assert found
    return found


def numbers_of(module: fx.GraphModule) -> Numbers:
    """Return scale and zero point that the nodes of a quantized graph hold."""
    found = {node.name: plain.qparams_of(node, module) for node in module.graph.nodes}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def numbers_of_operations(module: fx.GraphModule) -> set[tuple[float, int]]:
    """Return the numbers that operations hold themselves, not those that they pass on or that freezing computed."""
    kept = numbers_of(module)
    own = {
        node.name
        for node in module.graph.nodes
        if node.target is torch.quantize_per_tensor
        or "quantized" in str(getattr(node.target, "__module__", node.target))
        or hasattr(plain.called(node, module), "zero_point")
    }
    constants = {n.name for n in module.graph.nodes if n.args and getattr(n.args[0], "op", "") == "get_attr"}
    return {kept[name] for name in (own - constants) & kept.keys()}


def loaded_script(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_script", folder / "quantize_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_module_holds_what_is_shown(session: Session) -> None:
    result = session.quantize(session.quantized_model.recipe, QUIET)
    seen, compared = shown(session), 0
    for layer in result.layers:
        if layer.scale is not None and layer.name in seen:
            assert (layer.scale, layer.zero_point) == seen[layer.name], layer.name
            compared += 1
    assert compared


def test_torchscript_holds_what_the_module_holds(session: Session, tmp_path: Path) -> None:
    (exported,) = export.export(session, tmp_path, ["torchscript"], QUIET)
    assert exported.verified
    nodes = torch.jit.load(exported.path).inlined_graph.nodes()
    found = set()
    for node in nodes:
        values = [value.toIValue() for value in node.inputs()]
        if node.kind() == "aten::quantize_per_tensor":
            found.add((float(values[1]), int(values[2])))
        elif node.kind().startswith("quantized::") and isinstance(values[-2], float):
            found.add((values[-2], values[-1]))
    assert found
    assert found == numbers_of_operations(quantized_graph(session))


def test_onnx_holds_what_is_shown(session: Session, tmp_path: Path) -> None:
    (exported,) = export.export(session, tmp_path, ["onnx"], QUIET)
    assert exported.verified, exported.message
    graph = onnx.load(exported.path).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rounded = {
        node.output[0]: (float(stored[node.input[1]]), int(stored[node.input[2]]))
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }
    dequantized = {node.output[0]: rounded[node.input[0]] for node in graph.node if node.input[0] in rounded}
    held, compared = numbers_of(quantized_graph(session)), 0
    description, graphs = session.opened_model.description, session.opened_model.graphs
    assert graphs is not None
    nodes = node_of_layer(description, graphs, quantized_graph(session))
    seen = shown(session)
    # The last layer's values are the output of the file.
    dequantized[list(seen)[-1]] = dequantized.get("output", seen[list(seen)[-1]])
    for layer, numbers in seen.items():
        if layer in dequantized and nodes[layer] in held:
            assert dequantized[layer] == numbers, layer
            compared += 1
    assert compared
    weights = 0
    for name, module in quantized_graph(session).named_modules():
        weight = module.weight() if callable(getattr(module, "weight", None)) else None
        if isinstance(weight, torch.Tensor) and weight.is_quantized and f"{name}.weight" in stored:
            written, ours = stored[f"{name}.weight"], weight.int_repr().numpy()
            assert written.tobytes() in (ours.tobytes(), ours.T.tobytes()), name
            weights += 1
    assert weights


def test_the_script_makes_the_same_model(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (exported,) = export.export(session, tmp_path, ["script"], QUIET)
    assert exported.verified
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = loaded_script(Path(exported.path).parent)
    with plain.quiet():
        made = script.quantized_model()
    ours = quantized_graph(session)
    assert {node.name: script.qparams_of(node, made) for node in made.graph.nodes} == {
        node.name: plain.qparams_of(node, ours) for node in ours.graph.nodes
    }
    theirs = dict(made.named_modules())
    weights = 0
    for name, module in ours.named_modules():
        weight = module.weight() if callable(getattr(module, "weight", None)) else None
        if isinstance(weight, torch.Tensor) and weight.is_quantized:
            assert torch.equal(weight.int_repr(), theirs[name].weight().int_repr()), name
            bias = module.bias()
            assert (bias is None) == (theirs[name].bias() is None)
            assert bias is None or torch.equal(bias, theirs[name].bias())
            weights += 1
    assert weights
