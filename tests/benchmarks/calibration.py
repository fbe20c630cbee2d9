"""What the one calibration pass costs: `python tests/benchmarks/calibration.py [--json]`.

ResNet-50, batch 8, one thread, in alternation: the plain float forward, QGUI's pass (every observer's range from one
run), and `torch.ao` calibration with HistogramObserver. Then the growth of memory from few to many samples.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torchvision
from torch.ao.quantization import HistogramObserver, QConfig, QConfigMapping, default_per_channel_weight_observer
from torch.ao.quantization.quantize_fx import prepare_fx

from qgui.engine import collect, columns
from qgui.engine.batch import Batch
from qgui.engine.fx import describe, plain
from qgui.engine.moments import MomentCollector
from qgui.engine.progress import Progress

BATCH = 8


def batches(count: int) -> list[Batch]:
    """Return batches of random images, each reaching a little further, as real ones do."""
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(
            (torch.randn(BATCH, 3, 224, 224, generator=generator) * (1 + i / 10),),
            None,
            list(range(i * BATCH, (i + 1) * BATCH)),
        )
        for i in range(count)
    ]


def measure(rounds: int) -> dict[str, float]:
    """Return medians of the ratios to the plain float forward, and the growth of memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torchvision.models.resnet50().eval()
    data = batches(rounds + 1)
    graphs = describe.graphs_of(model, ["x"], data[0].inputs)  # type: ignore[arg-type]
    rows = describe.Rows(model, graphs)
    sources = {source for tensor in rows.tensors() for source in tensor.sources}
    wanted = {tensor.name: tensor.layer for tensor in rows.tensors() if tensor.name in sources}
    reads = {tensor.name: tensor.clamp for tensor in rows.tensors()}
    bounds = columns.bounds_of(reads, graphs.fused)
    mapping = QConfigMapping().set_global(
        QConfig(activation=HistogramObserver.with_args(dtype=torch.quint8), weight=default_per_channel_weight_observer)
    )
    prepared = prepare_fx(model, mapping, data[0].inputs)

    def plain_forward(batch: Batch) -> None:
        with torch.inference_mode():
            model(*batch.inputs)

    def histogram_observers(batch: Batch) -> None:
        with torch.inference_mode():
            prepared(*batch.inputs)

    def one_pass(batch: Batch) -> None:
        collect.collect(graphs.fused, wanted, [batch], BATCH, Progress(), MomentCollector(bounds))

    actions: list[Callable[[Batch], None]] = [plain_forward, one_pass, histogram_observers]
    times: list[list[float]] = [[] for _ in actions]
    for turn in range(rounds + 1):
        for action, taken in zip(actions, times, strict=True):
            began = time.perf_counter()
            action(data[turn])
            if turn:
                taken.append(time.perf_counter() - began)
    base = times[0]
    ratios = [statistics.median(t / b for t, b in zip(taken, base, strict=True)) for taken in times[1:]]
    return {
        "one_pass_ratio": ratios[0],
        "histogram_observer_ratio": ratios[1],
        "float_forward_s": statistics.median(base),
        "peak_growth_mb": growth(graphs, wanted, bounds),
    }


def growth(graphs: describe.Graphs, wanted: dict[str, str], bounds: dict[str, columns.Bounds]) -> float:
    """Return by how many MB eight times as many samples raise the peak memory that the first ones reached."""
    few, many = batches(2), 16
    collect.collect(graphs.fused, wanted, few, 2 * BATCH, Progress(), MomentCollector(bounds))
    before = peak_kb()
    again = (few[i % 2] for i in range(many))
    collect.collect(graphs.fused, wanted, again, many * BATCH, Progress(), MomentCollector(bounds))
    return (peak_kb() - before) / 1e3


def peak_kb() -> int:
    """Return the greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    plain.silence()
    found = measure(arguments.rounds)
    text = json.dumps(found) if arguments.json else "\n".join(f"{key}: {value:.3f}" for key, value in found.items())
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
