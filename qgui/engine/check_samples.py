"""Samples with the outputs that every exported file has to reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import fx

from qgui.core.language import say
from qgui.engine import onnx_programs
from qgui.engine.batch import Batch, join
from qgui.engine.fx import plain, profile, quantized
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session

Array = npt.NDArray[Any]
#: Evaluation samples that are compared.
COUNT = 64
#: Samples that are run together once, to see that an export takes batches.
_TOGETHER = 2


@dataclass
class CheckSamples:
    """Evaluation samples as two files, and what the models in this process compute from them.

    Attributes:
        for_torch: Inputs, outputs and backend as `torch.save` writes them, one sample each.
        for_runtimes: Inputs by name as `.npz`; where the samples can be joined, a batch of the first stands last.
        count: Samples, without that batch.
        quantized: Outputs of the int8 model for all that `for_runtimes` holds.
        floating: Outputs of the float model.
        batches: The samples.
    """

    for_torch: Path
    for_runtimes: Path
    count: int
    quantized: list[Array]
    floating: list[Array]
    batches: list[Batch]


def write(session: Session, folder: Path, progress: Progress) -> CheckSamples:
    """Run both models on the samples and write the files.

    Raises:
        QguiError: A model raises.
        OSError: The files cannot be written.
        Cancelled: The person asked to stop.
    """
    batches = list(session.check_batches(COUNT))
    count = len(batches)
    together = _joined(batches[:_TOGETHER])
    batches += [together] if together is not None else []
    model = session.opened_model
    ours, floating, stored = [], [], []
    with torch.inference_mode():
        for place, batch in enumerate(batches):
            progress.step(say("Running both models"), place, len(batches))
            ours.append(main_output(session.run_quantized(batch)).float().clone())
            floating.append(main_output(batch.run(model.loaded.module)).float().numpy())
            stored.append(batch.copied())
    for_torch, for_runtimes = folder / "samples.pt", folder / "samples.npz"
    backend = session.quantized_model.recipe.backend
    torch.save({"inputs": stored[:count], "outputs": ours[:count], "backend": backend}, for_torch)
    names = model.given
    onnx_programs.save_samples(for_runtimes, [by_name(names, batch) for batch in batches])
    return CheckSamples(for_torch, for_runtimes, count, [output.numpy() for output in ours], floating, batches)


def by_name(names: list[str], batch: Batch) -> dict[str, Array]:
    """Return the inputs of a batch by the names of the parameters of `forward`."""
    given = names if not isinstance(batch.inputs, dict) else [name for name in names if name in batch.inputs]
    return {name: value.numpy() for name, value in zip(given, batch.positional(names), strict=True)}


def _joined(batches: list[Batch]) -> Batch | None:
    same = len({tuple(tensor.shape[1:] for tensor in batch.tensors) for batch in batches}) == 1
    return join(batches) if same and len(batches) == _TOGETHER else None


def layer_values(session: Session, batch: Batch) -> dict[str, Array]:
    """Return what the layers of the int8 model compute from a sample, in order; nothing where it is no graph."""
    result, opened = session.quantized_model, session.opened_model
    if opened.graphs is None or not isinstance(result.module, fx.GraphModule):
        return {}
    nodes = quantized.node_of_layer(opened.description, opened.graphs, result.module)
    layers = {node: layer for layer, node in nodes.items()}
    found: dict[str, Array] = {}

    def take(node: str, value: torch.Tensor) -> None:
        found[layers[node]] = (value.dequantize() if value.is_quantized else value).float().numpy()

    with torch.inference_mode(), plain.engine(result.recipe.backend):
        profile.Watching(result.module, take, set(layers)).run(*batch.positional(opened.given))
    return found
