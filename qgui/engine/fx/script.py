"""The plain-PyTorch script that reproduces a quantized model without QGUI."""

from __future__ import annotations

import importlib.resources
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from qgui.core.recipe import ModelReference
from qgui.core.resources import resources
from qgui.engine import python_source
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.sources import torchvision_options

NAME = "quantize_model.py"
DECISIONS = "decisions.json"
FLOAT_WEIGHTS = "float_weights.pt"
TRAINED_WEIGHTS = "trained_weights.pt"

_TAIL = '''

# --- This model --------------------------------------------------------------------------------------------------

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
GIVEN = {given!r}
TRACED = {traced!r}


def build_float_model() -> nn.Module:
    """Return the float model with the weights that lie beside this script."""
{build}
    model.load_state_dict(torch.load(HERE / {float_weights!r}, weights_only=True))
    return model.eval()


def from_file(path: Path, name: str) -> Any:
    """Return something that a Python file defines."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return getattr(module, name)


def built(source: Any) -> nn.Module:
    """Return the model that a callable builds, or the model itself."""
    return source if isinstance(source, nn.Module) else source()


def quantized_model() -> nn.Module:
    """Return the int8 model: select `torch.backends.quantized.engine` as in BACKEND before you run it."""
    decisions = json.loads((HERE / {decisions!r}).read_text())
    model = build_float_model()
    if not TRACED:
        return lower_untraced(model, decisions)
    graph = canonical(model, decisions["leaves"], GIVEN)
    trained = HERE / {trained_weights!r}
    if trained.exists():
        take_weights(graph, torch.load(trained, weights_only=True))
    return lower(graph, decisions)


BACKEND = json.loads((HERE / {decisions!r}).read_text())["backend"]


def check(model: nn.Module, path: Path, outputs: Path | None) -> None:
    """Print how far the outputs are from those stored in a file, and the median time of one sample, as JSON."""
    stored = torch.load(path, weights_only=True)
    worst, found = 0.0, {{}}
    with engine(BACKEND), torch.inference_mode():
        for inputs, expected in zip(stored["inputs"], stored["outputs"]):
            output = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
            while not isinstance(output, torch.Tensor):
                values = list(output.values()) if hasattr(output, "values") else list(output)
                output = output["logits"] if hasattr(output, "keys") and "logits" in output else values[0]
            output = output.dequantize() if output.is_quantized else output.float()
            worst = max(worst, float((output - expected).abs().max()))
            found[f"{{len(found)}}/output"] = output.numpy()
        times = []
        for _ in range(13):
            began = time.perf_counter()
            model(**inputs) if isinstance(inputs, dict) else model(*inputs)
            times.append((time.perf_counter() - began) * 1e3)
    if outputs is not None:
        np.savez(outputs, **found)
    print(json.dumps({{"max_abs_diff": worst, "latency_ms": statistics.median(times[3:])}}))


def main() -> None:
    """Build the quantized model; check it or save it as TorchScript."""
    parser = argparse.ArgumentParser(description="Reproduce the quantized model in plain PyTorch.")
    parser.add_argument("--check", type=Path, help="compare the outputs with those stored in a file")
    parser.add_argument("--outputs", type=Path, help="with --check: store the outputs as .npz")
    parser.add_argument("--save", type=Path, help="save the model as TorchScript, traced with the inputs of --check")
    arguments = parser.parse_args()
    silence()
    model = quantized_model()
    if arguments.check:
        check(model, arguments.check, arguments.outputs)
    else:
        print(model)
    if arguments.save:
        inputs = torch.load(arguments.check, weights_only=True)["inputs"][0]
        with engine(BACKEND), torch.no_grad():
            torch.jit.freeze(torch.jit.trace(model, inputs)).save(str(arguments.save))


if __name__ == "__main__":
    main()
'''


def write(
    folder: Path,
    reference: ModelReference,
    model: torch.nn.Module,
    quantized: QuantizedModel,
    given: list[str],
    traced: bool,
) -> Path:
    """Write the script with its decisions and weights into a folder, and return the script's path.

    Args:
        folder: Exists and is empty.
        reference: Where the float model comes from.
        model: The float model, for its weights.
        quantized: The quantized model.
        given: Names of the forward parameters that the data gives.
        traced: Whether torch.fx traced the model.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    source = importlib.resources.files("qgui.engine.fx").joinpath("plain.py").read_text(encoding="utf-8")
    tail = _TAIL.format(
        given=given,
        traced=traced,
        build=_build(folder, reference, model),
        float_weights=FLOAT_WEIGHTS,
        trained_weights=TRAINED_WEIGHTS,
        decisions=DECISIONS,
    )
    script = folder / NAME
    script.write_text(source.rstrip() + "\n" + tail, encoding="utf-8")
    decisions: dict[str, Any] = {**quantized.decisions, "tensors": dict(quantized.decisions["tensors"])}
    (folder / DECISIONS).write_text(json.dumps(decisions), encoding="utf-8")
    torch.save(model.state_dict(), folder / FLOAT_WEIGHTS)
    if quantized.float_weights is not None:
        torch.save(quantized.float_weights, folder / TRAINED_WEIGHTS)
    return script


def _build(folder: Path, reference: ModelReference, model: torch.nn.Module) -> str:
    kind, _, name = reference.source.partition(":")
    if kind == "example":
        shutil.copyfile(resources() / "examples" / "digits_networks.py", folder / "digits_networks.py")
        return f'    model = from_file(HERE / "digits_networks.py", {name.replace("-", "_")!r})()'
    if kind == "torchvision":
        options = torchvision_options(name)
        if getattr(model, "aux_logits", True) is False:
            options["aux_logits"] = False
        if getattr(model, "transform_input", False):
            options["transform_input"] = True
        if getattr(model, "aux_classifier", None) is not None:
            options["aux_loss"] = True
        given = "".join(f", {key}={value!r}" for key, value in options.items())
        return f"    import torchvision\n\n    model = torchvision.models.get_model({name!r}, weights=None{given})"
    parts = python_source.split_callable(reference.source)
    if parts is not None and parts[0].endswith(".py"):
        return f"    model = built(from_file(Path({str(Path(parts[0]).resolve())!r}), {parts[1]!r}))"
    if parts is not None and not reference.source.endswith((".pt", ".pth")):
        place = python_source.folder_of_package(parts[0])
        found = f"    sys.path.append({str(place)!r})\n" if place is not None else ""
        return f"{found}    model = built(getattr(importlib.import_module({parts[0]!r}), {parts[1]!r}))"
    path = str(Path(reference.source).resolve())
    return f"    model = torch.load({path!r}, weights_only=False)"
