"""What `qgui quantize` tells of speed: layers slower in int8, float islands, and with `--runtimes` every runtime."""

from __future__ import annotations

from typing import Any

import msgspec

from qgui.core import runtimes, slowness
from qgui.core.results import Comparison
from qgui.core.runtimes import RuntimeTable
from qgui.core.slowness import Explanation, SlowIsland, SlowLayer

#: Slow layers told on a terminal; the JSON holds all.
_TOLD = 5


def explained(session: Any, comparison: Comparison) -> Explanation:
    """Return why int8 is not faster."""
    from qgui.engine import machine

    return slowness.explain(comparison, session.opened_model.description, machine.describe())


def in_json(explanation: Explanation, table: RuntimeTable | None) -> dict[str, Any]:
    """Return the keys `slow_layers`, `islands` and `runtimes`; the last is None where it was not measured."""
    return {
        "slow_layers": [_layer(entry) for entry in explanation.layers],
        "islands": [_island(entry) for entry in explanation.islands],
        "runtimes": _table(table) if table is not None else None,
    }


def _layer(entry: SlowLayer) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(entry)
    return found | {"lost_ms": entry.lost_ms, "ways": [way.text for way in entry.ways]}


def _island(entry: SlowIsland) -> dict[str, Any]:
    island: dict[str, Any] = msgspec.to_builtins(entry.island)
    return island | {
        "total_ms": entry.island.total_ms,
        "float_ms": entry.float_ms,
        "reason": entry.reason,
        "ways": [way.text for way in entry.ways],
    }


def _table(table: RuntimeTable) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(row, latency=None))
        latency = msgspec.to_builtins(row.latency) if row.latency is not None else None
        found["latency_ms"] = (
            {
                "median": latency["median_ms"],
                "p95": latency["p95_ms"],
                "fastest": latency["min_ms"],
                "spread": runtimes.spread_of(row.latency),
                "runs": latency["runs"],
            }
            if latency is not None and row.latency is not None
            else None
        )
        gain = table.speedup_of(row)
        rows.append({"name": row.name, **found, "speedup_over_best_float": gain})
    best_float, best_int8 = table.best("float"), table.best("quantized")
    return {
        "threads": table.threads,
        "batch_size": table.batch_size,
        "best_float": best_float.name if best_float is not None else None,
        "best_int8": best_int8.name if best_int8 is not None else None,
        "speedup": table.speedup,
        "rows": rows,
        "notes": list(table.notes),
    }


def lines(explanation: Explanation, table: RuntimeTable | None) -> list[str]:
    """Return the same, a sentence a line."""
    told = [explanation.summary]
    for entry in explanation.layers[:_TOLD]:
        times = f"float {entry.float_ms:.2f} ms, int8 {entry.quantized_ms:.2f} ms"
        told.append(f"  {entry.name}: {times}. {entry.reason}")
    if len(explanation.layers) > _TOLD:
        told.append(f"  and {len(explanation.layers) - _TOLD} more")
    told += [
        f"  float island {', '.join(entry.island.layers) or '(conversion only)'}: {entry.island.total_ms:.2f} ms"
        for entry in explanation.islands[:_TOLD]
    ]
    if explanation.ways:
        told.append(f"  Ways out: {'; '.join(way.text for way in explanation.ways)}")
    return [*told, *(runtimes.lines(table) if table is not None else [])]
