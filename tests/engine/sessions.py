"""Opening the networks of these tests as a person would, and deciding for all of their layers at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from qgui.core import ranges
from qgui.core.recipe import ActivationSetting, DataReference, Mode, ModelReference, Observer, Recipe, Rule
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session

NETWORKS = Path(__file__).with_name("networks.py")
QUIET = Progress()
#: Opens and calibrates a network of these tests once (the fixture `calibrated`).
Calibrated = Callable[..., Session]
#: `none` is what torch calls the absence of an engine.
ENGINES = tuple(name for name in torch.backends.quantized.supported_engines if name != "none")


def open_session(model: str, data: str = "images", calibrate: int = 12) -> Session:
    """Return a session with a network and data of these tests, or with any model and data source."""
    session = Session()
    session.open_model(ModelReference(source_of(model)))
    session.open_data(DataReference(source_of(data), calibrate=calibrate, batch_size=4))
    return session


def source_of(name: str) -> str:
    """Return a source: of a function in `networks.py` where the name is bare."""
    return name if ":" in name else f"{NETWORKS}:{name}"


def recipe_of(
    session: Session,
    mode: Mode = Mode.STATIC,
    backend: str = "",
    setting: Callable[[Rule], Rule] = lambda rule: rule,
) -> Recipe:
    """Return the advised recipe with every layer in a mode, each rule changed by `setting`."""
    recipe = session.advised_recipe(backend, mode)
    return msgspec.structs.replace(recipe, rules={name: setting(rule) for name, rule in recipe.rules.items()})


def observing(observer: Observer, reduce_range: bool = False) -> Callable[[Rule], Rule]:
    """Return the change that gives each rule an observer for its activation."""
    activation = ActivationSetting(observer=observer, reduce_range=reduce_range)
    return lambda rule: msgspec.structs.replace(rule, activation=activation)


def evaluation_batch(session: Session, size: int = 8) -> Batch:
    """Return the first evaluation samples."""
    opened = session.data
    assert opened is not None
    return next(opened.batches(opened.evaluation[:size], size))


def output_sqnr(session: Session) -> float:
    """Return the ratio of the quantized model's output on evaluation samples in dB."""
    assert session.model is not None
    batch = evaluation_batch(session)
    with torch.inference_mode():
        reference = main_output(batch.run(session.model.loaded.module)).double()
        difference = reference - main_output(session.run_quantized(batch)).double()
    return ranges.decibel(float(reference.square().sum()), float(difference.square().sum()))


def quantized_graph(session: Session) -> torch.fx.GraphModule:
    """Return the quantized model, which must be a graph."""
    assert session.result is not None
    assert isinstance(session.result.module, torch.fx.GraphModule)
    return session.result.module


def count_conversions(module: torch.fx.GraphModule) -> tuple[int, int]:
    """Return how many quantize and how many dequantize operations a forward pass has."""
    nodes = list(module.graph.nodes)
    quantize = sum(node.target is torch.quantize_per_tensor for node in nodes)
    return quantize, sum(node.target == "dequantize" for node in nodes)


def function_names(module: torch.fx.GraphModule) -> list[str]:
    """Return the bare names of the functions and methods that a graph calls."""
    return [plain.name_of(node) for node in module.graph.nodes if plain.name_of(node)]


def session_of(module: torch.nn.Module, *inputs: torch.Tensor, calibrate: bool = True) -> Session:
    """Return a session with a module that exists already and inputs of which all samples calibrate."""
    batch = (inputs[0] if len(inputs) == 1 else inputs, torch.zeros(len(inputs[0]), dtype=torch.long))
    globals()["given_model"], globals()["given_data"] = (lambda: module), (lambda: [batch])
    session = Session()
    session.open_model(ModelReference(f"{__name__}:given_model"))
    count = len(inputs[0])
    session.open_data(DataReference(f"{__name__}:given_data", calibrate=count, overlap=True, batch_size=count))
    if calibrate:
        session.calibrate(QUIET)
    return session
