"""The same jobs from a terminal. With `--json`, standard output holds one JSON object and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

import qgui
from qgui import cli_bench, cli_recipe, cli_speed
from qgui.cli_recipe import count
from qgui.core import formats, legality, recipe_file, training_run
from qgui.core.advice import fastest_backend
from qgui.core.errors import QguiError
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import (
    ActivationSetting,
    DataReference,
    Mode,
    ModelReference,
    ObserverKind,
    PatternRule,
    Recipe,
    WeightSetting,
)
from qgui.core.recipe_file import write_atomically
from qgui.core.report import page, sentences
from qgui.core.report.content import ReportContent, dated
from qgui.core.results import BackendTiming, Comparison, ExportResult, QuantizeResult

FASTEST = "fastest"
#: Folder in a run's folder in which a training leaves its checkpoint.
TRAINING = "training"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(prog="qgui", description="Quantize PyTorch models by hand and by eye.")
    top.add_argument("--version", action="version", version=f"qgui {qgui.__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    commands.add_parser("open", help="open a recipe in the window").add_argument("recipe", metavar="FILE.qgui")

    layers = commands.add_parser("layers", help="the layer table with the modes each layer may have")
    _add_model(layers)
    _add_data(layers, required=False)
    layers.add_argument("--backend", default="", help="quantized engine (default: the advised one)")
    layers.set_defaults(run=_layers)

    ranges = commands.add_parser("ranges", help="every tensor, every observer: range, scale, zero point, SQNR")
    _add_model(ranges)
    _add_data(ranges, required=True)
    ranges.add_argument("--equalize", action="store_true", help="of the weights after cross-layer equalization")
    ranges.set_defaults(run=_ranges)

    quantize = commands.add_parser("quantize", help="quantize, compare and export")
    _add_model(quantize)
    _add_data(quantize, required=True)
    what = quantize.add_mutually_exclusive_group()
    what.add_argument("--mode", choices=[m.value for m in Mode if m is not Mode.FLOAT], help="mode of all layers")
    what.add_argument("--recipe", type=Path, metavar="FILE", help="decisions per layer")
    quantize.add_argument(
        "--backend", default="", help=f"quantized engine, or '{FASTEST}' to measure all (default: the advised one)"
    )
    observers = [kind.value for kind in ObserverKind if kind is not ObserverKind.FIXED]
    quantize.add_argument("--observer", choices=observers, help="observer of all activations (default: mse)")
    steps = (
        ("--equalize", "scale channels against those of the next layer (cross-layer equalization)"),
        ("--correct-bias", "let biases take up the mean error of the rounded weights"),
        ("--adaround", "learn for each weight whether it is rounded up or down"),
    )
    for flag, sentence in steps:
        quantize.add_argument(flag, action="store_true", help=f"{sentence}, in all layers that may")
    quantize.add_argument("--threads", type=count, default=1, help="threads while measuring (default: 1)")
    quantize.add_argument("--batch-size", type=count, default=1, help="batch size while measuring (default: 1)")
    quantize.add_argument("--runs", type=count, default=30, help="timed runs of each variant (default: 30)")
    quantize.add_argument("--out", type=Path, required=True, metavar="DIR", help="where recipe, report and model go")
    quantize.add_argument(
        "--format",
        action="append",
        metavar="FORMAT",
        help=f"{', '.join(formats.KEYS)} (default: {', '.join(f.key for f in formats.FORMATS if f.default)})",
    )
    quantize.add_argument("--runtimes", action="store_true", help="measure float and int8 in every runtime")
    cli_recipe.add_rules(quantize)
    cli_recipe.add_training(quantize)
    quantize.set_defaults(run=_quantize)

    export = commands.add_parser("export", help="a quantized run once more, in another format")
    export.add_argument("folder", type=Path, metavar="DIR", help="what quantize wrote")
    export.add_argument("--format", action="append", required=True, metavar="FORMAT", help=", ".join(formats.KEYS))
    export.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: the same folder)")
    export.add_argument("--trust", action="store_true", help="open files that run code of theirs")
    export.set_defaults(run=_export)
    bench = cli_bench.add(commands, count, _progress, _table)
    for command in (layers, ranges, quantize, export, bench):
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def _numbers(text: str) -> tuple[float, float, float]:
    parts = tuple(float(part) for part in text.split(","))
    if len(parts) != 3:
        raise argparse.ArgumentTypeError("three numbers, as in 0.485,0.456,0.406")
    return parts


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError("indices of samples, as in 3,17") from None


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="example:NAME, torchvision:NAME, PATH.py:CALLABLE, PATH.pt")
    command.add_argument("--weights", default="", help="state dict file (.pt, .pth, .safetensors)")
    command.add_argument("--trust", action="store_true", help="open files that run code of theirs")


def _add_data(command: argparse.ArgumentParser, *, required: bool) -> None:
    start = DataReference()
    command.add_argument(
        "--data",
        required=required,
        default="",
        help="example:digits, folder:PATH, imagenet:PATH, PATH.npz, PATH.py:CALLABLE, random:SHAPE",
    )
    command.add_argument("--calibrate", type=count, default=start.calibrate, metavar="N", help="calibration samples")
    command.add_argument("--evaluate", type=int, default=0, metavar="N", help="evaluation samples (0: all others)")
    command.add_argument("--data-batch", type=count, default=start.batch_size, metavar="N", help="samples per batch")
    command.add_argument("--seed", type=int, default=0, help="seed of the split")
    command.add_argument("--overlap", action="store_true", help="let calibration samples be evaluated too")
    command.add_argument(
        "--exclude", type=_indices, default=(), metavar="I,J", help="samples to leave out of calibration, by index"
    )
    command.add_argument("--finite-only", action="store_true", help="leave NaN and infinite activations out of ranges")
    command.add_argument("--metric", default="", metavar="PATH.py:CALLABLE", help="(outputs, target) -> float")
    command.add_argument("--resize", type=count, default=start.resize, help="short side of images in pixels")
    command.add_argument("--crop", type=count, default=start.crop, help="side of the central crop in pixels")
    command.add_argument("--mean", type=_numbers, default=start.mean, metavar="R,G,B")
    command.add_argument("--std", type=_numbers, default=start.std, metavar="R,G,B")
    command.add_argument("--interpolation", choices=["bilinear", "bicubic", "nearest"], default=start.interpolation)


def _data_of(arguments: argparse.Namespace) -> DataReference:
    return DataReference(
        source=arguments.data,
        resize=arguments.resize,
        crop=arguments.crop,
        mean=arguments.mean,
        std=arguments.std,
        interpolation=arguments.interpolation,
        calibrate=arguments.calibrate,
        evaluate=arguments.evaluate,
        seed=arguments.seed,
        overlap=arguments.overlap,
        batch_size=arguments.data_batch,
        metric=arguments.metric,
        excluded=tuple(sorted(set(arguments.exclude))),
        finite_only=arguments.finite_only,
    )


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 1 for a failure told in one line, 2 for wrong usage."""
    chosen = parser().parse_args(arguments)
    debug = getattr(chosen, "debug", False)
    try:
        with _standard_output_for_results() as write:
            result, text = chosen.run(chosen)
            write(json.dumps(result) if chosen.json else text)
    except QguiError as error:
        _tell_failure(str(error), debug)
        return 1
    except KeyboardInterrupt:
        _tell_failure("Stopped.", False)
        return 1
    except Exception as error:
        _tell_failure(f"Unexpected failure: {type(error).__name__}: {error}", debug)
        return 1
    return 0


def _tell_failure(line: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"qgui: {' '.join(line.split())}\n")


@contextlib.contextmanager
def _standard_output_for_results() -> Iterator[Callable[[str], None]]:
    """Send whatever libraries and a person's code print to standard error, and yield a writer for the result."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)

    def write(text: str) -> None:
        data = memoryview((text + "\n").encode())
        while data:
            data = data[os.write(private, data) :]

    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield write
    finally:
        sys.stdout.flush()
        os.dup2(private, 1)
        os.close(private)


def _progress() -> Any:
    from qgui.engine.progress import Progress

    alive = sys.stderr.isatty()
    last = [""]

    def tell(phase: str, done: int, total: int, left: float | None) -> None:
        if alive:
            rest = f", {left:.0f} s left" if left is not None and left >= 1 else ""
            sys.stderr.write(f"\r\033[K{phase} {done} of {total}{rest}" + ("\n" if total and done >= total else ""))
        elif phase != last[0]:
            last[0] = phase
            sys.stderr.write(f"{phase}…\n")
        sys.stderr.flush()

    return Progress(tell)


def _session(arguments: argparse.Namespace) -> Any:
    from qgui.engine.fx import plain
    from qgui.engine.session import Session

    plain.silence()
    session = Session()
    session.open_model(ModelReference(arguments.model, arguments.weights), arguments.trust)
    if arguments.data:
        session.open_data(_data_of(arguments))
    return session


def _layers(arguments: argparse.Namespace) -> tuple[Any, str]:
    session = _session(arguments)
    backend = arguments.backend or session.advised_recipe().backend
    model = session.opened_model.description
    rows = []
    for layer in model.layers:
        reasons = legality.mode_reasons(layer, backend)
        rows.append(
            {
                "name": layer.name,
                "type": layer.type,
                "parameters": layer.parameters,
                "modes": [mode.value for mode, reason in reasons.items() if not reason],
                "reasons": {mode.value: reason for mode, reason in reasons.items() if reason},
                "input_shape": layer.input_shape,
                "output_shape": layer.output_shape,
                "macs": layer.macs,
                "group": layer.group,
                "fusion": layer.fusion,
                "leaf_reason": layer.leaf_reason,
            }
        )
    result = {"model": model.title, "family": model.family.value, "traced": model.traced, "backend": backend}
    table = [
        (
            row["name"],
            row["type"],
            f"{row['parameters']:,}",
            _shape(row["output_shape"]),
            ", ".join(row["modes"]) or "-",
        )
        for row in rows
    ]
    text = _table(("layer", "type", "parameters", "output", "modes"), table)
    notes = "\n".join(note for note in (model.trace_note, *model.notes) if note)
    return {**result, "notes": [model.trace_note, *model.notes], "layers": rows}, f"{text}\n{notes}".strip()


def _ranges(arguments: argparse.Namespace) -> tuple[Any, str]:
    from qgui.engine import weights

    session = _session(arguments)
    layers = session.opened_model.description.layers
    recipe = session.advised_recipe()
    if arguments.equalize:
        recipe = cli_recipe.for_all(recipe, PatternRule("*", equalize=True), layers)
    session.calibrate(_progress(), recipe=recipe)
    model = session.model_for(recipe)
    activations: ActivationRanges = session.activations
    tensors: list[dict[str, Any]] = []
    for tensor in session.opened_model.description.tensors:
        if not activations.owner(tensor.name).sources:
            continue
        setting = activations.setting(tensor.name, recipe)
        tensors.append(
            {
                "name": tensor.name,
                "kind": "activation",
                "layer": tensor.layer,
                "shape": list(tensor.shape),
                "dtype": setting.dtype,
                "qscheme": setting.qscheme,
                "shared_with": tensor.owner if tensor.owner != tensor.name else None,
                "clamped_to": tensor.clamp,
                "observers": _activation_observers(activations, tensor.name, setting),
            }
        )
    for layer in session.opened_model.description.layers:
        rows = weights.rows_of(model, layer.name)
        if rows is None:
            continue
        weight = legality.default_rule(layer, Mode.STATIC, recipe.backend).weight
        tensors.append(
            {
                "name": f"{layer.name}.weight",
                "kind": "weight",
                "layer": layer.name,
                "shape": list(layer.weight_shape or rows.shape),
                "dtype": weight.dtype,
                "qscheme": weight.qscheme,
                "observers": _weight_observers(model, layer.name, weight),
            }
        )
    table = [
        (entry["name"], kind, _number(o["min"]), _number(o["max"]), _number(o["scale"]), f"{o['sqnr_db']:.1f}")
        for entry in tensors
        for kind, o in entry["observers"].items()
    ]
    text = _table(("tensor", "observer", "min", "max", "scale", "SQNR dB"), table)
    calibration = _calibration_of(session)
    return {"tensors": tensors, "samples": list(session.record.samples), "calibration": calibration}, text


def _activation_observers(
    activations: ActivationRanges, tensor: str, setting: ActivationSetting
) -> dict[str, dict[str, Any]]:
    return {
        choice.observer.kind.value: {
            "min": float(choice.qparams.low[0]),
            "max": float(choice.qparams.high[0]),
            "scale": float(choice.qparams.scale[0]),
            "zero_point": int(choice.qparams.zero_point[0]),
            "sqnr_db": choice.sqnr_db,
            "clipped": choice.clipped,
        }
        for choice in activations.choices(tensor, setting)
    }


def _weight_observers(model: Any, layer: str, setting: WeightSetting) -> dict[str, dict[str, Any]]:
    from qgui.engine import weights

    observers = {}
    for choice in weights.choices(model, layer, setting):
        qparams = choice.qparams
        numbers = {
            "min": qparams.low.tolist(),
            "max": qparams.high.tolist(),
            "scale": qparams.scale.tolist(),
            "zero_point": qparams.zero_point.tolist(),
        }
        if not setting.per_channel:
            numbers = {key: values[0] for key, values in numbers.items()}
        observers[choice.observer.kind.value] = {**numbers, "sqnr_db": choice.sqnr_db, "clipped": choice.clipped}
    return observers


def _quantize(arguments: argparse.Namespace) -> tuple[Any, str]:
    from qgui.engine import backends, comparison, export, machine, runs, runtimes

    given = recipe_file.load(arguments.recipe) if arguments.recipe else None
    resumed = _checkpoint_folder(arguments.resume) if arguments.resume else None
    if resumed is not None and given is None and arguments.mode is None:
        given = training_run.existing_checkpoint(resumed).recipe
    if given is not None and arguments.backend == "":
        arguments.backend = given.backend
    known = machine.backends()
    if arguments.backend not in ("", FASTEST, *known):
        why = f"this machine has no engine '{arguments.backend}'"
        raise QguiError("Could not quantize", why, f"Choose {FASTEST} or one of {', '.join(known)}.")
    export.refuse_unknown(arguments.format or ())
    session = _session(arguments)
    progress = _progress()
    backend = "" if arguments.backend == FASTEST else arguments.backend
    recipe, told = cli_recipe.decided(session, arguments, given, backend)
    export.refuse_impossible(session.opened_model.description, recipe, arguments.format or ())
    if any(recipe.rule(layer.name).needs_statistics for layer in session.opened_model.description.layers):
        session.calibrate(progress, recipe=recipe)
    timings: tuple[BackendTiming, ...] = ()
    if arguments.backend == FASTEST:
        timings = backends.measure(session, recipe, progress, arguments.threads, arguments.batch_size)
        recipe = backends.for_backend(recipe, fastest_backend(timings), session.opened_model.description)
    outcome = None
    if any(rule.mode is Mode.QAT for rule in recipe.rules.values()):
        outcome, result = _train(session, recipe, progress, resumed or arguments.out / TRAINING, resumed is not None)
    elif resumed is not None:
        raise QguiError("Could not resume the training", "no layer is in mode qat", "Use --mode qat or its recipe.")
    else:
        result = session.quantize(recipe, progress)
    found = comparison.compare(session, progress, arguments.threads, arguments.batch_size, arguments.runs)
    table = None
    if arguments.runtimes:
        table = runtimes.measure(session, progress, arguments.threads, arguments.batch_size, arguments.runs)
    slow = cli_speed.explained(session, found)
    chosen = arguments.format or formats.defaults(session.opened_model.description, recipe)
    exports = export.export(session, arguments.out, chosen, progress, arguments.threads)
    runs.save(session, arguments.out)
    answer = _answer(session, result, found, exports, timings)
    answer |= cli_speed.in_json(slow, table)
    answer |= {"training": msgspec.to_builtins(outcome), "recipe": cli_recipe.told_in_json(recipe, told)}
    told_all = ReportContent(
        model=session.opened_model.description,
        recipe=session.quantized_model.recipe,
        made=dated(),
        version=qgui.__version__,
        data=session.opened_data.describe(),
        machine=machine.describe(),
        ranges=session.activations,
        comparison=found,
        explanation=slow,
        runtimes=table,
        training=outcome,
        exports=tuple(exports),
    )
    write_atomically(arguments.out / "report.html", page.html(told_all).encode())
    write_atomically(arguments.out / "result.json", json.dumps(answer, indent=2).encode())
    summary = "\n".join([*cli_speed.lines(slow, table), _summary(found, exports, timings, arguments.out)])
    return answer, "\n".join([*result.notes, summary]) if outcome is not None else summary


def _checkpoint_folder(given: Path) -> Path:
    """Return where the checkpoint lies in a folder that a training or a whole run wrote."""
    return given if (given / training_run.CHECKPOINT).exists() else given / TRAINING


def _train(
    session: Any, recipe: Recipe, progress: Any, folder: Path, resume: bool
) -> tuple[training_run.TrainingOutcome, QuantizeResult]:
    def tell(update: training_run.TrainingUpdate) -> None:
        for line in sentences.training_lines(update):
            sys.stderr.write(f"{line}\n")

    try:
        outcome, result = session.train(recipe, progress, folder, resume=resume, listener=tell)
    except KeyboardInterrupt:
        if (folder / training_run.CHECKPOINT).exists():
            sys.stderr.write(f"\nThe last epoch is kept: go on with --resume {folder}\n")
        raise
    return outcome, result


def _answer(
    session: Any,
    result: QuantizeResult,
    comparison: Comparison,
    exports: Sequence[ExportResult],
    timings: Sequence[BackendTiming],
) -> dict[str, Any]:
    sides = {}
    for subject, accuracy, size in (
        ("float", comparison.float_accuracy, comparison.float_bytes),
        ("quantized", comparison.quantized_accuracy, comparison.quantized_bytes),
    ):
        taken = comparison.best_latency(subject)
        latency = {"median": taken.median_ms, "p95": taken.p95_ms, "runs": taken.runs, "runtime": taken.runtime}
        found = msgspec.to_builtins(accuracy) if accuracy else None
        sides[subject] = {"accuracy": found, "latency_ms": latency, "size_bytes": size}
    return {
        **sides,
        "speedup": comparison.speedup,
        "speedup_over_eager": comparison.speedup_over_eager,
        "speedup_same_runtime": comparison.speedup_same_runtime,
        "accuracy_delta": msgspec.to_builtins(comparison.accuracy_delta) if comparison.accuracy_delta else None,
        "agreement": comparison.agreement,
        "output_sqnr_db": comparison.output_sqnr_db,
        "backend": comparison.backend,
        "backends": [msgspec.to_builtins(timing) for timing in timings],
        "threads": comparison.threads,
        "batch_size": comparison.batch_size,
        "latencies": [msgspec.to_builtins(x) | {"samples_ms": None} for x in comparison.latencies],
        "layers": [msgspec.to_builtins(layer) for layer in comparison.layers],
        "exports": [msgspec.to_builtins(export) | {"format": export.format} for export in exports],
        "recipe_hash": result.recipe_hash,
        "calibration": _calibration_of(session),
        "split": {
            "calibration": list(session.opened_data.calibration),
            "evaluation": list(session.opened_data.evaluation),
            "seed": session.opened_data.reference.seed,
        },
        "notes": [*result.notes, *comparison.notes],
    }


def _calibration_of(session: Any) -> dict[str, Any] | None:
    record = session.record
    if record is None:
        return None
    counts = {name: {"nan": record.tensors[name].nan, "infinite": record.tensors[name].infinite}
              for name in record.unfinite}  # fmt: skip
    return {
        "samples": list(record.samples),
        "excluded": list(record.settings.excluded),
        "finite_only": record.settings.finite_only,
        "equalized": [list(pair) for pair in record.settings.equalized],
        "unfinite": counts,
    }


def _summary(
    comparison: Comparison, exports: Sequence[ExportResult], timings: Sequence[BackendTiming], out: Path
) -> str:
    lines = sentences.comparison_lines(comparison)
    if timings:
        told = [f"{t.backend} {t.median_ms:.2f} ms" if t.median_ms is not None else f"{t.backend} -" for t in timings]
        lines.append(f"Backends measured: {', '.join(told)}")
    for export in exports:
        lines.append(f"{export.format}: {export.path} ({export.size_bytes / 1e6:.2f} MB, {export.checked})")
    lines.append(f"Report: {out / 'report.html'}")
    return "\n".join(lines)


def _export(arguments: argparse.Namespace) -> tuple[Any, str]:
    from qgui.engine import export, runs
    from qgui.engine.fx import plain

    plain.silence()
    progress = _progress()
    session, recipe = runs.restore(arguments.folder, progress, arguments.trust)
    exports = export.export(session, arguments.out or arguments.folder, arguments.format, progress)
    lines = [f"{e.format}: {e.path} ({e.checked})" for e in exports]
    return {"exports": [msgspec.to_builtins(e) for e in exports], "recipe_hash": recipe.digest()}, "\n".join(lines)


def _shape(shape: Sequence[int] | None) -> str:
    return "x".join(map(str, shape)) if shape else "-"


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, (int, float)) else f"{min(value):.5g} … {max(value):.5g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]
    )
