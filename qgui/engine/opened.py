"""A model as it is worked on: loaded, traced where it traces, and described."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch import nn

from qgui.core import advice
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.recipe import ModelReference
from qgui.engine import sources
from qgui.engine.batch import Batch
from qgui.engine.fx import describe, inside, plain
from qgui.engine.fx.describe import Graphs
from qgui.engine.outputs import main_output


@dataclass
class OpenedModel:
    """A loaded and traced model.

    Attributes:
        reference: Where it came from.
        loaded: The model itself.
        graphs: Its graphs, None where its root does not trace.
        description: What is shown of it.
        given: Names of the forward parameters that the data gives.
    """

    reference: ModelReference
    loaded: sources.LoadedModel
    graphs: Graphs | None
    description: ModelDescription
    given: list[str]


def traced(reference: ModelReference, loaded: sources.LoadedModel, sample: Batch | None) -> OpenedModel:
    """Trace a model, check the trace on a sample, and describe it."""
    model = loaded.module
    given = _given(model, sample)
    graphs, note = None, ""
    try:
        graphs = describe.graphs_of(model, given, sample.positional(given) if sample is not None else None)
        note = _unfaithful(graphs, model, sample, given) if sample is not None else ""
    except QguiError:
        raise
    except plain.Untraceable as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        note = describe.reason_of(type(model).__name__, cause)
    except Exception as error:
        note = describe.reason_of(type(model).__name__, error)
    if note:
        graphs = None
    return OpenedModel(reference, loaded, graphs, _described(reference, loaded, sample, graphs, note), given)


def _given(model: nn.Module, sample: Batch | None) -> list[str]:
    parameters = inspect.signature(model.forward).parameters
    if sample is None:
        return [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    if isinstance(sample.inputs, dict):
        return [name for name in parameters if name in sample.inputs]
    return list(parameters)[: len(sample.inputs)]


def _unfaithful(graphs: Graphs, model: nn.Module, sample: Batch, given: list[str]) -> str:
    """Return why the trace does not compute what the model computes; empty where it does."""
    with torch.inference_mode():
        expected = main_output(sample.run(model)).float()
        found = main_output(graphs.canonical(*sample.positional(given))).float()
    same = expected.shape == found.shape and torch.allclose(expected, found, rtol=1e-3, atol=1e-4, equal_nan=True)
    return "" if same else say("{kind}: its trace gives other outputs than the model itself", kind=type(model).__name__)


def _described(
    reference: ModelReference, loaded: sources.LoadedModel, sample: Batch | None, graphs: Graphs | None, note: str
) -> ModelDescription:
    model = loaded.module
    if graphs is not None:
        rows = describe.Rows(model, graphs)
        layers, tensors = rows.layers(), rows.tensors()
        leaves = [path for path in graphs.leaves if path]
        what = say("{count} modules do not trace and stay whole", count=len(leaves))
        what = what if len(leaves) > 1 else say("One module does not trace and stays whole")
        more = ", …" if len(leaves) > 5 else ""
        note = f"{what}: {', '.join(leaves[:5])}{more}." if leaves else ""
    else:
        layers, tensors = tuple(inside.inside_rows(model, "")), ()
        what = say("Its Linear, recurrent and embedding layers can be dynamic.")
        if not layers:
            what = say("It has no Linear, recurrent or embedding layers, which alone can be quantized without a trace.")
        note = say("The model does not trace ({note}). {what}", note=note, what=what)
    if sample is not None:
        layers = inside.with_shapes(layers, model, lambda: sample.run(model))
    values = [*model.parameters(), *model.buffers()]
    return ModelDescription(
        source=reference.source,
        title=loaded.title,
        family=advice.family_of(layers),
        traced=graphs is not None,
        trace_note=note,
        layers=layers,
        tensors=tensors,
        parameters=sum(p.numel() for p in model.parameters()),
        size_bytes=sum(v.numel() * v.element_size() for v in values),
        pretrained=loaded.pretrained,
        notes=tuple(loaded.notes),
    )
