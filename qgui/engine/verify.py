"""Open an exported file in a fresh process and compare: `python -m qgui.engine.verify FORMAT FILE SAMPLES`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.engine.fx import plain


def torchscript(path: Path, samples: Path) -> dict[str, object]:
    """Return the greatest difference between a TorchScript program's outputs and the stored ones."""
    stored = torch.load(samples, weights_only=True)
    worst = 0.0
    with plain.engine(stored["backend"]), torch.inference_mode():
        program = torch.jit.load(str(path))
        for inputs, expected in zip(stored["inputs"], stored["outputs"], strict=True):
            tensors = list(inputs.values()) if isinstance(inputs, dict) else inputs
            worst = max(worst, float((program(*tensors).float() - expected).abs().max()))
    return {"max_abs_diff": worst}


def recipe(path: Path, samples: Path) -> dict[str, object]:
    """Return the hash of a recipe file."""
    return {"recipe_hash": recipe_file.load(path).digest()}


def main(arguments: list[str]) -> int:
    """Print what the check found as one JSON object."""
    plain.silence()
    kind, path, samples = arguments
    checks = {"torchscript": torchscript, "recipe": recipe}
    try:
        found = checks[kind](Path(path), Path(samples))
    except (RuntimeError, OSError, QguiError) as error:
        found = {"problem": str(error).strip().splitlines()[0]}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
