"""How much faster int8 is, and whether QGUI's backend is the fastest: `python tests/benchmarks/latency.py [--json]`.

The latency rows of `qgui bench`, held against the speed-ups that are aimed at. `speedup` is against float eager;
`speedup_over_best` is against the best float.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from qgui.core.benchmarks import BenchmarkSettings
from qgui.core.published import row_of
from qgui.engine import benchmark_latency
from qgui.engine.fx import plain
from qgui.engine.progress import Progress

#: The speed-ups that are aimed at.
AIMS = {"resnet50": 8.0, "mobilenet_v2": 3.5, "bert": 4.0}


def measure(name: str, settings: BenchmarkSettings) -> dict[str, Any]:
    """Return the figures of one model."""
    row = row_of(f"latency/{name}")
    measured = benchmark_latency.measure(row, settings, Progress())
    figures, timings = measured.figures, measured.backends
    ran = [timing for timing in timings if timing.median_ms is not None]
    return {
        "variants_ms": {variant.name: variant.median_ms for variant in figures.variants},
        "speedup": figures.speedup,
        "speedup_over_best": figures.speedup_over_best,
        "best_float": figures.best_float.name,
        "aim": AIMS[name],
        "published": row.speedup,
        "threads": figures.threads,
        "backend": figures.backend,
        "backend_is_fastest": figures.backend == min(ran, key=lambda timing: timing.median_ms or 0.0).backend,
        "backends_ms": {timing.backend: timing.median_ms for timing in timings},
        "backends_sqnr_db": {timing.backend: timing.sqnr_db for timing in timings},
        "notes": measured.notes,
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("models", nargs="*", default=list(AIMS))
    arguments = parser.parse_args()
    plain.silence()
    settings = BenchmarkSettings(runs=arguments.runs, threads=arguments.threads)
    found = {name: measure(name, settings) for name in arguments.models}
    if arguments.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    for name, figures in found.items():
        sys.stdout.write(f"{name}\n" + "".join(f"  {key}: {value}\n" for key, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
