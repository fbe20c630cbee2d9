"""QGUI's exports against the peers' own int8 models: `python tests/benchmarks/exports.py [--json] [MODEL ...]`.

For each model the ONNX file of QGUI, in ONNX Runtime, stands against ONNX Runtime's `quantize_static` (QDQ, per
channel), and in OpenVINO against NNCF's post-training quantization, all from the same float model and the same
calibration images. Latency is measured in alternation in one run, batch 1, with each number of threads. Accuracy and
SQNR are given where `--data` is a folder of labelled images. `nncf` and `openvino` are used where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from qgui.core import formats, ranges
from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe
from qgui.engine import export, onnx_model, onnx_programs
from qgui.engine.check_samples import by_name
from qgui.engine.fx import plain
from qgui.engine.onnx_programs import Program
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session

MODELS = ("torchvision:resnet50", "torchvision:mobilenet_v2")
RANDOM = "random:1x3x224x224"
_WARM_UP = 5


def opened(model: str, given: argparse.Namespace) -> Session:
    """Return a calibrated session; torchvision's random weights need no images."""
    session = Session()
    session.open_model(ModelReference(model))
    source = given.data or RANDOM
    few = source.startswith("random:") or model.startswith("torchvision:")
    session.open_data(
        DataReference(
            RANDOM if few else source,
            calibrate=16 if few else given.calibrate,
            evaluate=16 if few else given.evaluate,
            resize=given.resize,
            crop=given.crop,
            interpolation=given.interpolation,
            mean=given.mean,
            std=given.std,
        )
    )
    session.calibrate(Progress())
    return session


def recipe_of(session: Session, given: argparse.Namespace) -> Recipe:
    """Return the static recipe, with the bias corrected as NNCF does too, and with AdaRound where that is asked for."""
    recipe = session.advised_recipe(given.backend, Mode.STATIC)
    rules = {
        name: msgspec.structs.replace(rule, correct_bias=True, adaround=given.adaround)
        for name, rule in recipe.rules.items()
    }
    return session.fitted(recipe.with_rules(rules)).recipe


def written(session: Session, folder: Path) -> dict[str, Any]:
    """Export in all formats, and return the seconds and what the check of each said."""
    recipe = session.quantized_model.recipe
    possible = [key for key in formats.KEYS if not formats.why_not(key, session.opened_model.description, recipe)[0]]
    began = time.monotonic()
    results = export.export(session, folder, possible, Progress())
    return {
        "seconds": time.monotonic() - began,
        "formats": {
            result.format: {
                "verified": result.verified,
                "size_bytes": result.size_bytes,
                "sqnr_db": result.sqnr_db,
                "agreement": result.agreement,
                "latency_ms": result.latency_ms,
            }
            for result in results
        },
    }


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the peers print away from the JSON."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def samples_of(session: Session) -> list[dict[str, Any]]:
    """Return the calibration samples by name, one each."""
    data, names = session.opened_data, session.opened_model.given
    return [by_name(names, batch) for batch in data.batches(data.calibration, 1)]


def onnxruntime_static(source: Path, target: Path, samples: list[dict[str, Any]]) -> None:
    """Quantize the float model with ONNX Runtime's own tool."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._samples = iter(samples)

        def get_next(self) -> Any:
            return next(self._samples, None)

    prepared = target.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    quantize_static(
        str(prepared),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def nncf_static(source: Path, target: Path, samples: list[dict[str, Any]]) -> None:
    """Quantize the float model with NNCF."""
    import nncf
    import openvino

    model = openvino.Core().read_model(str(source))
    quantized = nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples))
    openvino.save_model(quantized, str(target), compress_to_fp16=False)


def programs(folder: Path, session: Session) -> dict[str, Callable[[int], Program]]:
    """Return what opens each contender, by runtime and origin; peers are made where they are installed."""
    peers = folder / "peers"
    peers.mkdir(exist_ok=True)
    floating, ours = folder / "model_float.onnx", folder / "model.onnx"
    samples = samples_of(session)
    found: dict[str, Callable[[int], Program]] = {
        "onnxruntime float": lambda threads: onnx_programs.open_onnx(floating, threads),
        "onnxruntime qgui": lambda threads: onnx_programs.open_onnx(ours, threads),
    }
    with _quietly():
        onnxruntime_static(floating, peers / "static.onnx", samples)
        found["onnxruntime quantize_static"] = lambda threads: onnx_programs.open_onnx(peers / "static.onnx", threads)
        if importlib.util.find_spec("openvino"):
            found["openvino float"] = lambda threads: onnx_programs.open_openvino(floating, threads)
            ir = folder / "openvino" / "model.xml"
            found["openvino qgui"] = lambda threads: onnx_programs.open_openvino(ir, threads)
        if importlib.util.find_spec("nncf") and importlib.util.find_spec("openvino"):
            nncf_static(floating, peers / "nncf.xml", samples)
            found["openvino nncf"] = lambda threads: onnx_programs.open_openvino(peers / "nncf.xml", threads)
    return found


def latency(
    contenders: dict[str, Callable[[int], Program]], sample: dict[str, Any], threads: int, runs: int
) -> dict[str, Any]:
    """Return median and fastest time of each in ms, one run of each in turn, then the next."""
    open_ones = {name: make(threads) for name, make in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in open_ones}
    for turn in range(-_WARM_UP, runs):
        for name, program in open_ones.items():
            began = time.perf_counter()
            program(sample)
            if turn >= 0:
                times[name].append((time.perf_counter() - began) * 1e3)
    figures: dict[str, Any] = {
        name: {"median_ms": float(np.median(taken)), "fastest_ms": min(taken)} for name, taken in times.items()
    }
    for key, ours, peer in (
        ("onnxruntime_ratio", "onnxruntime qgui", "onnxruntime quantize_static"),
        ("openvino_ratio", "openvino qgui", "openvino nncf"),
    ):
        if peer in times:
            # Each run is compared with the one next to it: a busy moment slows both.
            figures[key] = float(np.median(np.array(times[ours]) / np.array(times[peer])))
    return figures


def accuracy(session: Session, contenders: dict[str, Callable[[int], Program]]) -> dict[str, Any]:
    """Return top-1, the share of the float model's classes kept, and output SQNR of each, on the evaluation samples."""
    data, names = session.opened_data, session.opened_model.given
    open_ones = {name: make(2) for name, make in contenders.items()}
    right: dict[str, int] = dict.fromkeys(("torch float", "torch int8", *open_ones), 0)
    kept: dict[str, int] = dict.fromkeys(right, 0)
    noise: dict[str, float] = dict.fromkeys(right, 0.0)
    signal, count = 0.0, 0
    with torch.inference_mode():
        for batch in data.batches(data.evaluation, 1):
            reference = main_output(batch.run(session.opened_model.loaded.module)).numpy()
            outputs = {"torch float": reference, "torch int8": main_output(session.run_quantized(batch)).numpy()}
            outputs |= {name: run(by_name(names, batch))["output"] for name, run in open_ones.items()}
            signal += float(np.square(reference, dtype=np.float64).sum())
            count += len(reference)
            for name, output in outputs.items():
                noise[name] += float(np.square(output - reference, dtype=np.float64).sum())
                kept[name] += int((output.argmax(1) == reference.argmax(1)).sum())
                if batch.target is not None:
                    right[name] += int((output.argmax(1) == batch.target.numpy()).sum())
    labelled = session.opened_data.reference.source.startswith("folder:")
    return {
        name: {
            "top1": right[name] / count if labelled else None,
            "same_as_float": kept[name] / count,
            "sqnr_db": ranges.decibel(signal, noise[name]),
        }
        for name in right
    }


def measured(model: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of one model."""
    session = opened(model, given)
    session.quantize(recipe_of(session, given), Progress())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        figures: dict[str, Any] = {"export": written(session, folder)}
        if not (folder / "model_float.onnx").exists():
            onnx_model.write_float(session, folder / "model_float.onnx")
        contenders = programs(folder, session)
        sample = by_name(session.opened_model.given, session.latency_batch(1))
        for threads in given.threads:
            figures[f"threads_{threads}"] = latency(contenders, sample, threads, given.runs)
        figures["fidelity"] = accuracy(session, contenders)
    return figures


def _triple(text: str) -> tuple[float, float, float]:
    first, second, third = (float(part) for part in text.split(","))
    return first, second, third


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    start = DataReference()
    parser.add_argument("model", nargs="*", default=MODELS, help="as `qgui quantize` takes them")
    parser.add_argument("--data", default="", help="for models that are not torchvision's; random numbers without it")
    parser.add_argument("--calibrate", type=int, default=100)
    parser.add_argument("--evaluate", type=int, default=400)
    parser.add_argument("--resize", type=int, default=start.resize)
    parser.add_argument("--crop", type=int, default=start.crop)
    parser.add_argument("--mean", type=_triple, default=start.mean)
    parser.add_argument("--std", type=_triple, default=start.std)
    parser.add_argument("--interpolation", default=start.interpolation)
    parser.add_argument("--backend", default="onednn", help="of the recipe (default: onednn)")
    parser.add_argument("--adaround", action="store_true", help="learn how weights are rounded (about two minutes)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    plain.silence()
    figures = {model: measured(model, given) for model in given.model}
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return 0
    for model, found in figures.items():
        sys.stdout.write(f"{model}\n{json.dumps(found, indent=2)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
