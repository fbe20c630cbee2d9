"""How near the observers come to the best range: `python tests/benchmarks/observers.py [--json] MODEL --data DATA`.

For every activation of a model, on all its values (keep `--calibrate` small for large models):

- MinMax and MovingAverageMinMax against torch.ao's observers that saw the same batches: are scale and zero point equal?
- Histogram (MSE): squared error of the chosen range over that of the best of all pairs of bounds tried, in dB.
- Percentile: signal to noise of the chosen range under that of the exact percentile of the values, in dB.
- Entropy: KL divergence of the chosen range over that of the best pair of bounds tried on the same histogram, in dB.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.ao.quantization import MinMaxObserver, MovingAverageMinMaxObserver

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core"))

from brute_force import best_bounds

from qgui.core import ranges
from qgui.core.plan import ActivationRanges
from qgui.core.qparams import QParams, activation_grid, qparams_of_range, quantize_dequantize
from qgui.core.recipe import ActivationSetting, DataReference, ModelReference, Observer, ObserverKind
from qgui.engine.fx import plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session

SETTING = ActivationSetting()
GRID = activation_grid(SETTING)
#: The brute force tries this many shares of either end.
STEPS = 48
TORCH_S = {ObserverKind.MINMAX: MinMaxObserver, ObserverKind.MOVING_AVERAGE: MovingAverageMinMaxObserver}


class Watching(fx.Interpreter):
    """Keeps values of the wanted tensors, and shows whole tensors to torch's observers."""

    def __init__(self, module: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self.values: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        self.observers = {name: {k: kind(dtype=torch.quint8) for k, kind in TORCH_S.items()} for name in wanted}

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and watch its value."""
        value = super().run_node(n)
        if n.name in self.values:
            tensor = value[0] if isinstance(value, tuple) else value
            for observer in self.observers[n.name].values():
                observer(tensor)
            self.values[n.name].append(tensor.reshape(-1).numpy().copy())
        return value


def noise(values: np.ndarray, qparams: QParams) -> float:
    """Return the energy of rounding and clipping."""
    return float(np.square(values - quantize_dequantize(values, qparams)).sum())


def measure(session: Session) -> dict[str, Any]:
    """Return for every observer how many tensors were compared, and the losses."""
    session.calibrate(Progress())
    plan, model, data = session.activations, session.opened_model, session.opened_data
    assert plan is not None
    assert model.graphs is not None
    alone = {t.name for t in model.description.tensors if plan.owner(t.name).sources == (t.name,) and t.fixed is None}
    watching = Watching(model.graphs.fused, alone)
    with torch.inference_mode(), plain.quiet():
        for batch in data.batches(data.calibration):
            watching.run(*batch.tensors)
        equal = {kind: _equal(plan, watching, kind) for kind in TORCH_S}
    losses: dict[ObserverKind, list[float]] = {
        kind: [] for kind in (ObserverKind.MSE, ObserverKind.PERCENTILE, ObserverKind.ENTROPY)
    }
    for name, parts in watching.values.items():
        values = np.concatenate(parts).astype(np.float64)
        for kind, loss in _losses(plan, name, values).items():
            losses[kind].append(loss)
    return {
        "tensors": len(alone),
        **{f"{kind.value}_equal_to_torch": sum(equal[kind]) for kind in TORCH_S},
        **{f"{kind.value}_worst_loss_db": max(found) for kind, found in losses.items()},
        **{f"{kind.value}_median_loss_db": float(np.median(found)) for kind, found in losses.items()},
    }


def _equal(plan: ActivationRanges, watching: Watching, kind: ObserverKind) -> list[bool]:
    found = []
    for name, observers in watching.observers.items():
        chosen = plan.qparams(name, ActivationSetting(observer=Observer(kind)))
        scale, zero_point = observers[kind].calculate_qparams()
        same = np.array_equal(chosen.scale, scale.numpy()) and np.array_equal(chosen.zero_point, zero_point.numpy())
        found.append(same)
    return found


def _losses(plan: ActivationRanges, name: str, values: np.ndarray) -> dict[ObserverKind, float]:
    def chosen(kind: ObserverKind) -> QParams:
        return plan.qparams(name, ActivationSetting(observer=Observer(kind)))

    def decibel(ours: float, best: float) -> float:
        return 10 * float(np.log10(max(ours, 1e-30) / max(best, 1e-30)))

    seen, distribution = plan.statistics(name), plan.distribution(name)
    few = values[:: max(1, len(values) // 40_000)]
    best = best_bounds(seen.minimum, seen.maximum, GRID, lambda qparams: noise(few, qparams), STEPS)
    losses = {
        ObserverKind.MSE: decibel(noise(values, chosen(ObserverKind.MSE)), noise(values, qparams_of_range(*best, GRID)))
    }
    tail = (100.0 - Observer().percentile) / 2
    exact = qparams_of_range(*np.percentile(values, [tail, 100.0 - tail]), GRID)
    losses[ObserverKind.PERCENTILE] = decibel(noise(values, chosen(ObserverKind.PERCENTILE)), noise(values, exact))

    def divergence(qparams: QParams) -> float:
        return ranges.divergence(distribution, qparams)

    best = best_bounds(seen.minimum, seen.maximum, GRID, divergence, STEPS)
    losses[ObserverKind.ENTROPY] = decibel(
        divergence(chosen(ObserverKind.ENTROPY)), divergence(qparams_of_range(*best, GRID))
    )
    return losses


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="example:digits-cnn")
    parser.add_argument("--data", default="example:digits")
    parser.add_argument("--weights", default="")
    parser.add_argument("--calibrate", type=int, default=32)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--mean", type=float, default=0.5)
    parser.add_argument("--std", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    plain.silence()
    session = Session()
    session.open_model(ModelReference(given.model, given.weights))
    images = {"mean": (given.mean,) * 3, "std": (given.std,) * 3, "resize": given.resize, "crop": given.crop}
    session.open_data(DataReference(given.data, calibrate=given.calibrate, **images))
    figures = measure(session)
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return 0
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
