"""What quantization-aware training wins: `python tests/benchmarks/training.py [--json] [--case CASE ...]`.

    example   the bundled MobileNet-like example, weights per-tensor, reduce range on: float, static int8, trained int8
    repeat    the example trained twice with one seed: the same weights; resident memory after each epoch
    winback   the same settings on a model of one's own, on which static int8 loses: what training wins back
    distill   all layers in mode qat, distilled without labels: accuracy, output SQNR, agreement after conversion

`winback` and `distill` need --model and --data (sources as on the command line of qgui).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from typing import Any

import msgspec
import torch

from qgui.core.recipe import DataReference, Mode, ModelReference, Observer, ObserverKind, Recipe, Rule
from qgui.core.training import Training
from qgui.core.training_run import TrainingOutcome
from qgui.engine import score, training_check
from qgui.engine.fx import plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session

QUIET = Progress()
EXAMPLE = ModelReference("example:digits-cnn")
DIGITS = DataReference("example:digits")


def opened(model: ModelReference, data: DataReference) -> Session:
    """Return a session with model and data, calibrated."""
    session = Session()
    session.open_model(model)
    session.open_data(data)
    session.calibrate(QUIET)
    return session


def coarse(session: Session, mode: Mode, settings: Training) -> Recipe:
    """Return the advised recipe with weights per tensor and activations of seven bits."""

    def changed(rule: Rule) -> Rule:
        weight = rule.weight
        if weight.qscheme == "per_channel_symmetric":
            per_tensor = Observer(ObserverKind.MINMAX)
            weight = msgspec.structs.replace(weight, qscheme="per_tensor_symmetric", observer=per_tensor)
        activation = msgspec.structs.replace(rule.activation, reduce_range=True)
        return msgspec.structs.replace(rule, weight=weight, activation=activation)

    recipe = session.advised_recipe("", mode)
    rules = {name: changed(rule) for name, rule in recipe.rules.items()}
    return msgspec.structs.replace(recipe, rules=rules, training=settings)


def scored(session: Session) -> dict[str, Any]:
    """Return float and int8 accuracy on the evaluation samples, and the SQNR of the outputs."""
    data = session.opened_data
    batches, count = data.batches(data.evaluation), len(data.evaluation)
    model = session.opened_model.loaded.module
    found = score.score(model, session.run_quantized, batches, count, data.reference.metric, QUIET)
    before, after = found.float_accuracy, found.quantized_accuracy
    return {
        "float_top1": before.top1 if before else None,
        "int8_top1": after.top1 if after else None,
        "sqnr_db": found.sqnr_db,
        "samples": count,
    }


def static_and_trained(session: Session, static: Recipe, qat: Recipe) -> dict[str, Any]:
    """Return what static int8 and trained int8 reach, and what the training took."""
    session.quantize(static, QUIET)
    before = scored(session)
    began = time.perf_counter()
    outcome, _ = session.train(qat, QUIET)
    seconds = time.perf_counter() - began
    after = scored(session)
    lost = (before["float_top1"] or 0.0) - (before["int8_top1"] or 0.0)
    won = (after["int8_top1"] or 0.0) - (before["int8_top1"] or 0.0)
    return {
        "backend": static.backend,
        "float_top1": before["float_top1"],
        "static_top1": before["int8_top1"],
        "trained_top1": after["int8_top1"],
        "static_lost_points": 100 * lost,
        "won_back_share": won / lost if lost > 0 else None,
        "static_sqnr_db": before["sqnr_db"],
        "trained_sqnr_db": after["sqnr_db"],
        "sqnr_gain_db": after["sqnr_db"] - before["sqnr_db"],
        "evaluated": after["samples"],
        "seconds": seconds,
        **trained_figures(session, outcome),
    }


def trained_figures(session: Session, outcome: TrainingOutcome) -> dict[str, Any]:
    """Return epochs, memory, and how the int8 model agrees with the fake-quantized one, also on other samples."""
    assert session.trained is not None
    assert session.result is not None
    assert outcome.check is not None
    other = dataclasses.replace(session.trained, validation=session.opened_data.evaluation)
    evaluated = training_check.check(session.opened_model, session.opened_data, other, session.result, QUIET)
    return {
        "epochs": outcome.records[-1].epoch,
        "best_epoch": outcome.best,
        "steps": outcome.step,
        "training_samples": outcome.samples,
        "validation_loss": [record.validation_loss for record in outcome.records],
        "validation_sqnr_db": [record.sqnr_db for record in outcome.records],
        "agreement_validation": outcome.check.agreement,
        "agreement_evaluation": evaluated.agreement,
        "validation_samples": outcome.check.samples,
        "causes": list(outcome.check.causes),
        "memory_mb": [round(record.memory_bytes / 1e6) for record in outcome.records],
    }


def repeat() -> dict[str, Any]:
    """Train the example twice with one seed; return whether the weights are the same, and the memory per epoch."""
    session = opened(EXAMPLE, DIGITS)
    recipe = coarse(session, Mode.QAT, Training(epochs=6, samples=480, loss="distill"))
    states, memory = [], []
    for _ in range(2):
        result = session.trainer(recipe, QUIET).run()
        states.append(result.trained.tensors())
        memory.append([record.memory_bytes / 1e6 for record in result.outcome.records])
    same = all(torch.equal(states[0][name], value) for name, value in states[1].items())
    return {
        "same_weights": same and states[0].keys() == states[1].keys(),
        "memory_mb": [[round(value) for value in run] for run in memory],
        "growth_after_first_epoch_mb": memory[1][-1] - memory[1][1],
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = ("example", "repeat", "winback", "distill")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", action="append", choices=cases, help="default: those that need no model of one's own")
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--mean", default="0.485,0.456,0.406")
    parser.add_argument("--std", default="0.229,0.224,0.225")
    parser.add_argument("--interpolation", default="bilinear")
    parser.add_argument("--calibrate", type=int, default=300)
    parser.add_argument("--evaluate", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--lr", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    plain.silence()
    torch.set_num_threads(arguments.threads)
    settings = Training(epochs=arguments.epochs, batch_size=arguments.batch, learning_rate=arguments.lr, loss="distill")
    found = {case: measured(case, arguments, settings, parser) for case in arguments.case or ("example", "repeat")}
    text = json.dumps(found) if arguments.json else json.dumps(found, indent=2)
    sys.stdout.write(text + "\n")
    return 0


def measured(
    case: str, arguments: argparse.Namespace, settings: Training, parser: argparse.ArgumentParser
) -> dict[str, Any]:
    """Return the figures of a case."""
    if case == "repeat":
        return repeat()
    if case == "example":
        session = opened(EXAMPLE, DIGITS)
    else:
        if not (arguments.model and arguments.data):
            parser.error(f"{case} needs --model and --data")
        red, green, blue = (float(part) for part in arguments.mean.split(","))
        spread = tuple(float(part) for part in arguments.std.split(","))
        data = DataReference(
            source=arguments.data,
            resize=arguments.resize,
            crop=arguments.crop,
            mean=(red, green, blue),
            std=(spread[0], spread[1], spread[2]),
            interpolation=arguments.interpolation,
            calibrate=arguments.calibrate,
            evaluate=arguments.evaluate,
        )
        session = opened(ModelReference(arguments.model), data)
    if case == "distill":
        static = session.advised_recipe("", Mode.STATIC)
        qat = msgspec.structs.replace(session.advised_recipe("", Mode.QAT), training=settings)
        return static_and_trained(session, static, qat)
    return static_and_trained(session, coarse(session, Mode.STATIC, settings), coarse(session, Mode.QAT, settings))


if __name__ == "__main__":
    raise SystemExit(main())
