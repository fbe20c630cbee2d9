"""Best int8 runtime against best float: `python tests/benchmarks/runtimes.py [--json] [MODEL ...]`.

For each model and each number of threads, float and int8 run in every runtime that is installed (PyTorch with each of
its engines, ONNX Runtime, OpenVINO) in alternation in one run, batch 1. The quantized model is the one that QGUI's
advised static recipe makes for `--backend`, calibrated on `--data`; torchvision's models run with random weights on
random numbers, which take the same time. With `--ways` the slow layers are told too, and each way out is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import msgspec

from qgui.core import runtimes as tables
from qgui.core import slowness
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.engine import comparison, machine, runtimes, ways_out
from qgui.engine.fx import plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session

MODELS = ("torchvision:resnet50", "torchvision:mobilenet_v2")
RANDOM = "random:1x3x224x224"


def opened(model: str, given: argparse.Namespace) -> Session:
    """Return a session with the quantized model."""
    session = Session()
    session.open_model(ModelReference(model))
    source = RANDOM if model.startswith("torchvision:") else given.data or RANDOM
    session.open_data(
        DataReference(
            source,
            calibrate=given.calibrate,
            evaluate=given.evaluate,
            resize=given.resize,
            crop=given.crop,
            interpolation=given.interpolation,
            mean=given.mean,
            std=given.std,
        )
    )
    session.calibrate(Progress())
    session.quantize(session.advised_recipe(given.backend, Mode.STATIC), Progress())
    return session


def measured(session: Session, threads: int, given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one number of threads."""
    table = runtimes.measure(session, Progress(), threads, runs=given.runs, with_memory=given.memory)
    best_float, best_int8 = table.best("float"), table.best("quantized")
    return {
        "best_float": best_float.name if best_float is not None else None,
        "best_int8": best_int8.name if best_int8 is not None else None,
        "speedup": table.speedup,
        "rows": [
            {
                "name": row.name,
                "subject": row.subject,
                "median_ms": row.median_ms,
                "p95_ms": row.latency.p95_ms if row.latency is not None else None,
                "spread_ms": tables.spread_of(row.latency) if row.latency is not None else None,
                "peak_bytes": row.peak_bytes,
                "file_bytes": row.file_bytes,
                "sqnr_db": row.sqnr_db,
                "problem": row.problem,
            }
            for row in table.rows
        ],
    }


def explained(session: Session, given: argparse.Namespace) -> dict[str, Any]:
    """Return the slow layers, and what each way out comes to with one thread."""
    recipe = session.quantized_model.recipe
    found = comparison.compare(session, Progress(), runs=given.runs)
    explanation = slowness.explain(found, session.opened_model.description, machine.describe())
    effects = [ways_out.measure(session, recipe, way, Progress(), runs=given.runs) for way in explanation.ways]
    return {
        "summary": explanation.summary,
        "slow_layers": {entry.name: [entry.float_ms, entry.quantized_ms, entry.cause] for entry in explanation.layers},
        "ways_out": {effect.way.text: msgspec.to_builtins(effect) | {"gain": effect.gain} for effect in effects},
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--memory", action="store_true", help="measure peak memory too")
    parser.add_argument("--ways", action="store_true", help="explain slow layers and measure the ways out")
    parser.add_argument("--backend", default="", help="quantized engine of the recipe (default: the advised one)")
    parser.add_argument("--data", default="")
    parser.add_argument("--calibrate", type=int, default=16)
    parser.add_argument("--evaluate", type=int, default=16)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--interpolation", default="bilinear")
    for name, start in (("--mean", DataReference().mean), ("--std", DataReference().std)):
        parser.add_argument(name, type=lambda text: tuple(map(float, text.split(","))), default=start)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(MODELS))
    given = parser.parse_args()
    plain.silence()
    answer: dict[str, Any] = {}
    for model in given.models:
        session = opened(model, given)
        figures: dict[str, Any] = {str(threads): measured(session, threads, given) for threads in given.threads}
        answer[model] = {"threads": figures, **(explained(session, given) if given.ways else {})}
    if given.json:
        sys.stdout.write(json.dumps(answer) + "\n")
        return 0
    for model, found in answer.items():
        sys.stdout.write(f"{model}\n")
        for threads, figures in found["threads"].items():
            head = f"best int8 {figures['best_int8']}, best float {figures['best_float']}"
            sys.stdout.write(f"  threads {threads}: {figures['speedup']:.2f} times ({head})\n")
            for row in figures["rows"]:
                told = row["problem"] or f"{row['median_ms']:.2f} ms, p95 {row['p95_ms']:.2f} ms"
                sys.stdout.write(f"    {row['name']}, {row['subject']}: {told}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
