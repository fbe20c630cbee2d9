"""What the int8 model really produced in each activation, beside the float model on the same samples."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe_file import write_atomically

Float64 = npt.NDArray[np.float64]

#: Measured and predicted ratio differ where they are further apart than this.
NOTICEABLE_DB = 1.0
_LEVELS = 256


class MeasuredRatios(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an activation of the int8 model is from the float one.

    Attributes:
        layer: Layer path.
        tensor: Tensor that holds its output.
        scale: Scale of the int8 values.
        zero_point: Zero point of the int8 values.
        levels: Number of integers that the values may take, at most 256.
        sqnr_db: Measured in the whole int8 model: it holds the error of all layers before this one.
        predicted_db: What the range alone costs by the statistics of calibration; None where nothing was calibrated.
        inherited_db: Measured for what the layer reads, after it became int8; None where it reads nothing int8.
        below: Float values below the least level.
        above: Float values above the greatest level.
    """

    layer: str
    tensor: str
    scale: float
    zero_point: int
    levels: int
    sqnr_db: float
    predicted_db: float | None = None
    inherited_db: float | None = None
    below: int = 0
    above: int = 0

    @property
    def surprising(self) -> bool:
        """Whether measured and predicted ratio differ by more than 1 dB."""
        return self.predicted_db is not None and abs(self.sqnr_db - self.predicted_db) > NOTICEABLE_DB

    @property
    def expected_db(self) -> float | None:
        """The prediction and what was inherited together, as if the layer passed the error on as it is."""
        if self.predicted_db is None or self.inherited_db is None:
            return self.predicted_db
        noise = 10 ** (-self.predicted_db / 10) + 10 ** (-self.inherited_db / 10)
        return float(-10 * np.log10(noise))

    @property
    def added_noise(self) -> float:
        """The noise beyond what the layer inherits, as a share of the signal's energy; below 0 where noise is lost."""
        inherited = 0.0 if self.inherited_db is None else 10 ** (-self.inherited_db / 10)
        return float(10 ** (-self.sqnr_db / 10) - inherited)

    @property
    def worse_than_explained(self) -> bool:
        """Whether it is more than 1 dB worse than range and inheritance explain: the weight or other samples are it."""
        expected = self.expected_db
        return expected is not None and self.sqnr_db < expected - NOTICEABLE_DB


@dataclass(frozen=True, eq=False)
class MeasuredActivation:
    """One activation in both models.

    Attributes:
        ratios: How far they are from each other.
        counts: Shape `(levels,)`. How often the int8 model produced each level.
        float_counts: Shape `(levels,)`. How many float values lie nearest to each level.
    """

    ratios: MeasuredRatios
    counts: Float64
    float_counts: Float64

    @property
    def edges(self) -> Float64:
        """Bounds between neighbouring levels as dequantized values, shape `(levels + 1,)`."""
        steps = np.arange(self.ratios.levels + 1) - self.ratios.zero_point - 0.5
        result: Float64 = np.asarray(steps * self.ratios.scale, dtype=np.float64)
        return result


class MeasuredIndex(msgspec.Struct, frozen=True):
    """What was measured, without the arrays.

    Attributes:
        recipe_hash: Hash of the recipe that made the int8 model.
        samples: Number of evaluation samples.
        rows: One for each activation that became int8.
    """

    recipe_hash: str
    samples: int
    rows: tuple[MeasuredRatios, ...]


@dataclass(frozen=True, eq=False)
class MeasuredActivations:
    """All activations of one int8 model.

    Attributes:
        recipe_hash: Hash of the recipe that made the int8 model.
        samples: Number of evaluation samples.
        layers: Layer path to what was measured.
    """

    recipe_hash: str
    samples: int
    layers: dict[str, MeasuredActivation]

    @property
    def added_noise(self) -> dict[str, float]:
        """Layer path to the noise in its output beyond what it inherits, as a share of the signal's energy."""
        return {name: entry.ratios.added_noise for name, entry in self.layers.items()}


def save(measured: MeasuredActivations, path: Path) -> None:
    """Write measured activations as one `.npz` file, atomically.

    Raises:
        QguiError: The file cannot be written.
    """
    every = list(measured.layers.values())
    index = MeasuredIndex(measured.recipe_hash, measured.samples, tuple(entry.ratios for entry in every))
    counts, float_counts = np.zeros((len(every), _LEVELS)), np.zeros((len(every), _LEVELS))
    for row, entry in enumerate(every):
        counts[row, : entry.ratios.levels] = entry.counts
        float_counts[row, : entry.ratios.levels] = entry.float_counts
    buffer = io.BytesIO()
    np.savez(
        buffer,
        index=np.frombuffer(msgspec.json.encode(index), dtype=np.uint8),
        counts=counts,
        float_counts=float_counts,
    )
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> MeasuredActivations:
    """Return the measured activations in a file.

    Raises:
        QguiError: The file cannot be read or holds something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            index = msgspec.json.decode(arrays["index"].tobytes(), type=MeasuredIndex)
            counts, float_counts = arrays["counts"], arrays["float_counts"]
        layers = {
            ratios.layer: MeasuredActivation(ratios, counts[i, : ratios.levels], float_counts[i, : ratios.levels])
            for i, ratios in enumerate(index.rows)
        }
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise QguiError(say("Could not read what was measured"), str(error), say("Quantize again.")) from error
    return MeasuredActivations(index.recipe_hash, index.samples, layers)
