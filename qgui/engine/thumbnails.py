"""What a sample looks like: its label, its file, and a small picture where it is an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from qgui.core.errors import Cancelled, QguiError
from qgui.core.language import say
from qgui.core.results import SampleDescription
from qgui.engine.batch import Batch
from qgui.engine.data import Data
from qgui.engine.images import ImageFolder
from qgui.engine.progress import Progress

#: Longest side of a picture in pixels.
_LONGEST = 320
#: Shorter sides than this are taken for features, not for pixels.
_SHORTEST = 4


def describe(data: Data, indices: Sequence[int], folder: Path, progress: Progress) -> tuple[SampleDescription, ...]:
    """Return what is known of samples, and write a PNG file of each that is an image.

    Args:
        data: The open data.
        indices: Which samples, by their index in the data set.
        folder: Where the pictures are written; it is made where it does not exist.
        progress: Told after every sample.

    Raises:
        QguiError: An index lies outside the data set, or a picture cannot be written.
        Cancelled: The person asked to stop.
    """
    count = len(data.samples)
    strangers = [index for index in indices if not 0 <= index < count]
    if strangers:
        why = say(
            "there is no sample {stranger} among the {count} of {source}",
            stranger=strangers[0],
            count=count,
            source=data.reference.source,
        )
        raise QguiError(say("Could not show the samples"), why, say("Calibrate again with the data that is open."))
    found = []
    for done, index in enumerate(indices, 1):
        found.append(_described(data, index, folder))
        progress.step(say("Reading samples"), done, len(indices))
    return tuple(found)


def _described(data: Data, index: int, folder: Path) -> SampleDescription:
    images = data.samples if isinstance(data.samples, ImageFolder) else None
    file = str(images.path(index)) if images is not None else ""
    try:
        sample = data.samples[index]
    except Cancelled:
        raise
    except Exception as error:
        # One sample that cannot be read any more keeps nobody from seeing the others.
        return SampleDescription(index=index, file=file, problem=str(error).strip() or type(error).__name__)
    label, name = _label(sample, data.samples.classes)
    pixels = _denormalized(sample, data) if images is not None else _stretched(sample)
    picture = _write(pixels, folder / f"sample-{index}.png") if pixels is not None else ""
    return SampleDescription(index=index, label=label, class_name=name, file=file, picture=picture)


def _label(sample: Batch, classes: Sequence[str]) -> tuple[int | None, str]:
    """Return the class index of a sample and the name of the class, where they are known."""
    target = sample.target
    if target is None or target.numel() != 1 or target.is_floating_point() or target.is_complex():
        return None, ""
    label = int(target.reshape(-1)[0])
    return label, classes[label] if 0 <= label < len(classes) else ""


def _denormalized(sample: Batch, data: Data) -> npt.NDArray[np.uint8]:
    """Return the pixels of a normalized image, shape `(height, width, 3)`."""
    mean = torch.tensor(data.reference.mean).reshape(3, 1, 1)
    std = torch.tensor(data.reference.std).reshape(3, 1, 1)
    return _bytes(sample.tensors[0][0] * std + mean)


def _stretched(sample: Batch) -> npt.NDArray[np.uint8] | None:
    """Return the pixels of what looks like an image, from its least value to its greatest; None where nothing does."""
    tensors = sample.tensors
    if len(tensors) != 1 or tensors[0].dim() != 4 or tensors[0].is_complex():
        return None
    image = tensors[0][0].float()
    channels, height, width = image.shape
    if channels not in (1, 3) or min(height, width) < _SHORTEST:
        return None
    finite = image[torch.isfinite(image)]
    if finite.numel() == 0:
        return None
    low, high = float(finite.min()), float(finite.max())
    return _bytes(torch.nan_to_num((image - low) / max(high - low, 1e-12), nan=0.0, posinf=1.0, neginf=0.0))


def _bytes(image: torch.Tensor) -> npt.NDArray[np.uint8]:
    rows: npt.NDArray[np.uint8] = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return rows


def _write(pixels: npt.NDArray[np.uint8], path: Path) -> str:
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_LONGEST, _LONGEST))
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(temporary, format="PNG")
        temporary.replace(path)
    except OSError as error:
        raise QguiError(
            say("Could not write a thumbnail"), str(error), say("Make room on the disk and try again.")
        ) from error
    return str(path)
