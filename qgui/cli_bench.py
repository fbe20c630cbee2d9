"""`qgui bench`: the tables that PyTorch published, run on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from qgui.core import benchmark_text, benchmarks, published
from qgui.core.benchmarks import BenchmarkResult, BenchmarkSettings, RowState
from qgui.core.errors import QguiError
from qgui.core.published import PublishedRow

#: What gives what a row lacks.
OPTIONS = {"images": "--images", "weights": "--download or --weights", "mrpc": "--mrpc", "bert": "--bert"}
#: Makes the progress of a job, and a table of a header and rows.
MakeProgress = Callable[[], Any]
MakeTable = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def add(
    commands: Any, count: Callable[[str], int], progress: MakeProgress, table: MakeTable
) -> argparse.ArgumentParser:
    """Add the command to the command line and return its parser.

    Args:
        commands: Where commands are added.
        count: Reads a number of at least one.
        progress: Makes what tells how far a row is.
        table: Makes a table of text.
    """
    start = BenchmarkSettings()
    command: argparse.ArgumentParser = commands.add_parser(
        "bench", help="the latency and accuracy tables that PyTorch published, on this machine"
    )
    command.add_argument("table", nargs="?", choices=published.TABLES, help="which table (default: both)")
    command.add_argument("rows", nargs="*", metavar="ROW", help="resnet50, bert, … (default: all that can be run)")
    command.add_argument("--images", default="", metavar="DIR", help="ImageNet validation images")
    command.add_argument("--mrpc", default="", metavar="DEV.TSV", help="dev.tsv of GLUE's MRPC")
    command.add_argument("--bert", default="", metavar="DIR", help="a BERT fine-tuned on MRPC, with its tokenizer")
    command.add_argument("--weights", default="", metavar="DIR", help="folder with files of torchvision's weights")
    command.add_argument("--download", action="store_true", help="download weights that are missing")
    command.add_argument("--limit", type=count, default=0, metavar="N", help="evaluate N samples (default: all)")
    command.add_argument("--calibrate", type=count, default=start.calibrate, metavar="N", help="calibration images")
    command.add_argument(
        "--training-images", type=count, default=start.training_images, metavar="N", help="images of the QAT row"
    )
    command.add_argument("--static", action="store_true", help="quantize the QAT row statically, without training")
    command.add_argument("--seed", type=int, default=0, help="seed of the choice of images")
    command.add_argument("--threads", type=count, default=1, help="threads while measuring (default: 1, as published)")
    command.add_argument("--runs", type=count, default=start.runs, help="timed runs of each variant")
    command.add_argument("--show", action="store_true", help="run nothing, show what was found before")
    command.set_defaults(run=lambda arguments: _bench(arguments, progress, table))
    return command


def settings_of(arguments: argparse.Namespace) -> BenchmarkSettings:
    """Return the settings that the arguments name."""
    return BenchmarkSettings(
        images=arguments.images,
        mrpc=arguments.mrpc,
        bert=arguments.bert,
        weights=arguments.weights,
        download=arguments.download,
        limit=arguments.limit,
        calibrate=arguments.calibrate,
        training_images=0 if arguments.static else arguments.training_images,
        seed=arguments.seed,
        threads=arguments.threads,
        runs=arguments.runs,
    )


def _bench(arguments: argparse.Namespace, progress: MakeProgress, table: MakeTable) -> tuple[Any, str]:
    from qgui.engine import benchmarks as engine
    from qgui.engine import machine

    tables = (arguments.table,) if arguments.table else published.TABLES
    rows = published.rows_of(tables, arguments.rows)
    settings = settings_of(arguments)
    states = {row.key: engine.state(row, settings) for row in rows}
    path = benchmarks.results_file()
    kept = benchmarks.load(path)
    if not arguments.show:
        for row in _runnable(rows, states, named=bool(arguments.rows)):
            sys.stderr.write(f"{row.title} ({row.table}): {states[row.key].plan}\n")
            result = engine.run(row.key, settings, progress(), _say)
            kept = benchmarks.keep(path, [result])
    cpu, versions = machine.describe().cpu, engine.versions()
    answer = benchmark_text.answer(rows, kept, states, cpu, versions)
    return answer | {"kept_in": str(path)}, _text(rows, kept, states, (cpu, versions), table)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _runnable(rows: Sequence[PublishedRow], states: dict[str, RowState], *, named: bool) -> list[PublishedRow]:
    """Return the rows that can be run.

    Raises:
        QguiError: A row that was named lacks something, or all rows do.
    """
    ready = [row for row in rows if not states[row.key].missing]
    lacking = [row for row in rows if states[row.key].missing]
    if lacking and (named or not ready):
        row = lacking[0]
        why = "something is missing"
        raise QguiError(f"Could not run {row.title} ({row.table})", why, _needs(states[row.key]))
    return ready


def _needs(state: RowState) -> str:
    """Return what a row lacks, each with the option that gives it."""
    told = [
        f"{x.sentence.rstrip('.')} ({OPTIONS[x.kind]})." if x.kind in OPTIONS else x.sentence for x in state.missing
    ]
    return " ".join(told)


def _text(
    rows: Sequence[PublishedRow],
    kept: dict[str, BenchmarkResult],
    states: dict[str, RowState],
    here: tuple[str, dict[str, str]],
    table: MakeTable,
) -> str:
    parts = []
    for name in published.TABLES:
        chosen = [row for row in rows if row.table == name]
        if not chosen:
            continue
        lines = [benchmark_text.cells(row, kept.get(row.key)) for row in chosen]
        unit = "milliseconds, float → int8" if name == "latency" else "top-1 in % (BERT: F1), float → int8"
        parts += [f"{name.capitalize()}, {unit}", table(benchmark_text.HEADERS[name], lines)]
        for row in chosen:
            result = kept.get(row.key)
            told = benchmark_text.remarks(row, result, benchmarks.why_stale(result, *here) if result else "")
            told = told or [f"Not run. {_needs(states[row.key])}".strip()]
            parts.append(f"{row.title}: {' '.join(told)}")
        parts.append("")
    devices = [f"{row.title} on {row.device} ({row.note})" for row in rows if row.device]
    if devices:
        parts.append(f"Published latency: {'; '.join(devices)}.")
    parts.append(f"Published in: {published.SOURCE}, {published.SOURCE_URL}")
    return "\n".join(parts)
