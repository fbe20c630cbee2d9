"""How much faster int8 is, and whether QGUI's backend is the fastest: `python tests/benchmarks/latency.py [--json]`.

One thread, batch 1, as in the figures PyTorch published. For each model every engine of the machine is measured in
alternation; the backend that QGUI chooses is then compared with the float model in one run. `speedup` is against
float eager; `speedup_same_runtime` says what remains where both are eager or both TorchScript.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from qgui.core.advice import fastest_backend
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.engine import backends, comparison
from qgui.engine.fx import plain
from qgui.engine.progress import Progress
from qgui.engine.session import Session

#: Model, data, mode, calibration samples, and the speed-ups that are aimed at and that PyTorch published.
CASES = {
    "resnet50": ("torchvision:resnet50", "random:1x3x224x224", Mode.STATIC, 8, 8.0, 2.0),
    "mobilenet_v2": ("torchvision:mobilenet_v2", "random:1x3x224x224", Mode.STATIC, 8, 3.5, 5.7),
    "bert_base": (f"{__file__}:bert_base", f"{__file__}:bert_batches", Mode.DYNAMIC, 4, 4.0, 1.8),
}


def bert_base() -> Any:
    """Return BERT-base with random weights; needs the package transformers."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(num_labels=2)).eval()


def bert_batches() -> list[Any]:
    """Return sixteen sequences of 128 tokens."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(1000, 30000, (16, 1, 128), generator=generator)
    return [
        ({"input_ids": row, "attention_mask": torch.ones_like(row)}, torch.zeros(1, dtype=torch.long)) for row in rows
    ]


def measure(name: str, runs: int) -> dict[str, Any]:
    """Return the figures of one model."""
    model, data, mode, samples, aim, published = CASES[name]
    session = Session()
    session.open_model(ModelReference(model))
    session.open_data(DataReference(source=data, calibrate=samples, evaluate=8))
    progress = Progress()
    recipe = session.advised_recipe(mode=mode)
    if mode is Mode.STATIC:
        session.calibrate(progress)
    timings = backends.measure(session, recipe, progress, threads=1, batch_size=1)
    chosen = fastest_backend(timings)
    session.quantize(backends.for_backend(recipe, chosen, session.opened_model.description), progress)
    found = comparison.compare(session, progress, threads=1, batch_size=1, runs=runs)
    eager, best = found.latency("float", "eager"), found.best_latency("quantized")
    measured = [t for t in timings if t.median_ms is not None]
    return {
        "float_ms": eager.median_ms if eager else None,
        "int8_ms": best.median_ms,
        "int8_runtime": best.runtime,
        "speedup": found.speedup_over_eager,
        "speedup_same_runtime": found.speedup_same_runtime,
        "aim": aim,
        "published": published,
        "backend": chosen,
        "backend_is_fastest": chosen == min(measured, key=lambda t: t.median_ms or 0.0).backend,
        "backends_ms": {t.backend: t.median_ms for t in timings},
        "backends_sqnr_db": {t.backend: t.sqnr_db for t in timings},
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("models", nargs="*", default=list(CASES))
    arguments = parser.parse_args()
    plain.silence()
    sys.path.insert(0, str(Path(__file__).parent))
    found = {name: measure(name, arguments.runs) for name in arguments.models}
    if arguments.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    for name, figures in found.items():
        sys.stdout.write(f"{name}\n" + "".join(f"  {key}: {value}\n" for key, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
