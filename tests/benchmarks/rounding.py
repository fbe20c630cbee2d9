"""What each step better than rounding gives: `python tests/benchmarks/rounding.py [--json] MODEL --data DATA`.

The same calibration and evaluation samples for all: rounding to nearest, then each step alone, then all together, with
int8 weights and activations in every layer that has weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import msgspec

from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe
from qgui.engine import score
from qgui.engine.fx import plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session

STEPS = ("equalize", "correct_bias", "adaround")


def variants() -> dict[str, tuple[str, ...]]:
    """Return which steps are taken, by name."""
    return {
        "nearest": (),
        **{step: (step,) for step in STEPS},
        "adaround_and_correct_bias": ("correct_bias", "adaround"),
        "equalize_and_correct_bias": ("equalize", "correct_bias"),
        "all": STEPS,
    }


def stepped(session: Session, recipe: Recipe, steps: tuple[str, ...]) -> Recipe:
    """Return a recipe with steps ticked wherever they may be."""
    rules = {name: msgspec.structs.replace(rule, **dict.fromkeys(steps, True)) for name, rule in recipe.rules.items()}
    return session.fitted(recipe.with_rules(rules)).recipe


def measure(session: Session, backend: str) -> dict[str, Any]:
    """Return accuracy, SQNR of the output and seconds of every variant."""
    recipe = session.advised_recipe(backend, Mode.STATIC)
    data, found = session.opened_data, {}
    for name, steps in variants().items():
        wished = stepped(session, recipe, steps)
        began = time.monotonic()
        session.calibrate(Progress(), recipe=wished)
        calibrated = time.monotonic()
        result = session.quantize(wished, Progress())
        quantized = time.monotonic()
        scores = score.score(
            session.opened_model.loaded.module,
            session.run_quantized,
            data.batches(data.evaluation),
            len(data.evaluation),
            data.reference.metric,
            Progress(),
        )
        weighted = [layer for layer in result.layers if layer.weight_granularity]
        before, after = scores.float_accuracy, scores.quantized_accuracy
        found[name] = {
            "output_sqnr_db": scores.sqnr_db,
            "float_top1": before.top1 if before else None,
            "top1": after.top1 if after else None,
            "accuracy_delta": msgspec.to_builtins(scores.delta) if scores.delta else None,
            "int8_layers_with_weights": len(weighted),
            "calibration_s": calibrated - began,
            "quantize_s": quantized - calibrated,
        }
    return {"backend": recipe.backend, "calibration": len(data.calibration), **found}


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="example:digits-cnn")
    parser.add_argument("--data", default="example:digits")
    parser.add_argument("--calibrate", type=int, default=100)
    parser.add_argument("--evaluate", type=int, default=400)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--mean", type=float, default=0.5)
    parser.add_argument("--std", type=float, default=0.5)
    parser.add_argument("--interpolation", default="bilinear")
    parser.add_argument("--backend", default="")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    plain.silence()
    session = Session()
    session.open_model(ModelReference(given.model))
    session.open_data(
        DataReference(
            given.data,
            resize=given.resize,
            crop=given.crop,
            mean=(given.mean,) * 3,
            std=(given.std,) * 3,
            interpolation=given.interpolation,
            calibrate=given.calibrate,
            evaluate=given.evaluate,
        )
    )
    figures = measure(session, given.backend)
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return 0
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
