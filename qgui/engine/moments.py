"""What bias correction needs to know of the data: the mean input of every weighted layer, where its output counts.

Rounding a weight by `dW` moves output channel `c` by `dW[c] @ x` at each position. Its mean over the positions that a
following clamp lets through is `dW[c] @ E[x | c passes]`, and that conditional mean needs no rounded weight to be
known: one calibration pass serves every later choice. (The unconditional mean of Nagel et al. 2019, section 4.2, also
counts positions that ReLU discards; with ReLU6 networks that does more harm than good.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.engine.columns import Bounds, passes

#: Positions of each sample that count: more make the pass slower and the means no better.
POSITIONS = 16


@dataclass
class InputMoments:
    """Sums over the positions that count.

    Attributes:
        sums: Shape `(groups, outputs, inputs)` or, without a clamp, `(groups, 1, inputs)`: sum of the inputs.
        counts: Shape `(groups, outputs)` or `(groups, 1)`: number of positions.
    """

    sums: torch.Tensor
    counts: torch.Tensor

    def mean_outputs(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the mean that each row of a weight makes of the inputs, 0 where no position counted.

        Args:
            rows: Shape `(channels, elements)`, output channels first.
        """
        groups, _, inputs = self.sums.shape
        weight = torch.from_numpy(rows).reshape(groups, -1, inputs)
        means = (weight * self.sums).sum(2) / self.counts.clamp_min(1.0)
        result: npt.NDArray[np.float32] = means.reshape(-1).numpy()
        return result


class MomentCollector:
    """Gathers the moments of all weighted layers during one pass.

    Args:
        bounds: Node name to the bounds to which its output is limited.
    """

    def __init__(self, bounds: Mapping[str, Bounds]) -> None:
        self._bounds = bounds
        self.moments: dict[str, InputMoments] = {}

    def take(self, name: str, columns: torch.Tensor, outputs: torch.Tensor) -> None:
        """Take in what a layer read and gave at some positions; those that hold NaN or infinite values do not count."""
        sums, counts = self._sums(name, columns, outputs)
        if not bool(torch.isfinite(sums).all()):
            finite = torch.isfinite(columns).all(1).all(0)
            sums, counts = self._sums(name, columns[:, :, finite], outputs[:, :, finite])
        known = self.moments.get(name)
        if known is None:
            self.moments[name] = InputMoments(sums, counts)
        else:
            known.sums += sums
            known.counts += counts

    def _sums(self, name: str, columns: torch.Tensor, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = passes(outputs, self._bounds.get(name, (None, None)))
        if mask is None:
            return columns.sum(2)[:, None], torch.full((columns.shape[0], 1), float(columns.shape[2]))
        return mask @ columns.transpose(1, 2), mask.sum(2)


def path_beside(statistics: Path) -> Path:
    """Return where the moments lie that belong to a file of statistics."""
    return statistics.with_name(f"{statistics.stem}.moments.safetensors")


def save(moments: Mapping[str, InputMoments], path: Path) -> None:
    """Write moments to a file, atomically.

    Raises:
        QguiError: The file cannot be written.
    """
    tensors = {}
    for name, found in moments.items():
        tensors[f"{name}/sums"], tensors[f"{name}/counts"] = found.sums.contiguous(), found.counts.contiguous()
    temporary = path.with_name(f".{path.name}")
    try:
        save_file(tensors, temporary)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise QguiError(
            say("Could not write {path}", path=path), str(error), say("Free some space or choose another folder.")
        ) from error


def load(path: Path) -> dict[str, InputMoments]:
    """Return the moments in a file.

    Raises:
        QguiError: The file cannot be read or holds none.
    """
    try:
        tensors = load_file(path)
        names = [key.removesuffix("/sums") for key in tensors if key.endswith("/sums")]
        return {name: InputMoments(tensors[f"{name}/sums"], tensors[f"{name}/counts"]) for name in names}
    except (OSError, SafetensorError, KeyError) as error:
        raise QguiError(
            say("Could not read the input means in {path}", path=path), str(error), say("Calibrate again.")
        ) from error
