"""How data is opened: every form of data source, its samples, its split and its batches."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import DataReference
from qgui.core.results import DataDescription
from qgui.engine import imagenet, images, python_source
from qgui.engine.batch import Batch, join
from qgui.engine.python_data import ArraySamples, samples_of, tensor_of
from qgui.engine.sources import example_module

WHAT = say("Could not open the data")
_RANDOM_SAMPLES = 64


class Samples(Protocol):
    """Samples by index; each is a batch of one."""

    labelled: bool
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


class Data:
    """Opened data with its split into calibration and evaluation samples.

    Args:
        reference: Where it comes from and how it is divided.
        samples: The samples.

    Raises:
        QguiError: There are too few samples, or those left out leave none or do not exist.
    """

    def __init__(self, reference: DataReference, samples: Samples) -> None:
        if len(samples) == 0:
            raise QguiError(
                WHAT,
                say("{source} holds no samples", source=reference.source),
                say("Choose data with at least two samples."),
            )
        self.reference = reference
        self.samples = samples
        self.notes = samples.notes
        held_out = samples.held_out if isinstance(samples, ExampleDigits) else 0
        count = len(samples)
        if reference.calibrate >= count > 1 and not (reference.overlap or held_out):
            reference = msgspec.structs.replace(reference, calibrate=count // 2)
            note = say(
                "There are {count} samples: {half} of them calibrate, so that others are left to evaluate.",
                count=count,
                half=count // 2,
            )
            self.notes = (*self.notes, note)
        chosen, self.evaluation = split(count, reference, held_out)
        self.calibration = without(chosen, reference.excluded, count)
        idle = sorted(set(reference.excluded).difference(chosen))
        if idle:
            note = say("Left out, but not among the calibration samples anyway: {str}.", str=", ".join(map(str, idle)))
            self.notes = (*self.notes, note)

    def under(self, reference: DataReference) -> Data:
        """Return the same samples, with those left out of calibration that another reference leaves out.

        Raises:
            QguiError: None is left, or one does not exist.
        """
        choices = {"excluded": reference.excluded, "finite_only": reference.finite_only}
        return Data(msgspec.structs.replace(self.reference, **choices), self.samples)

    @cached_property
    def first(self) -> Batch:
        """The first calibration sample, for shapes."""
        return self.samples[self.calibration[0]]

    def batches(self, indices: Sequence[int], batch_size: int | None = None) -> Iterator[Batch]:
        """Yield samples in batches of equal shapes.

        Args:
            indices: Which samples.
            batch_size: Samples per batch, the reference's if None.

        Raises:
            QguiError: A sample cannot be read.
        """
        size = batch_size or self.reference.batch_size
        waiting: list[Batch] = []
        for index in indices:
            sample = self.samples[index]
            alike = not waiting or _shapes(waiting[0]) == _shapes(sample)
            if waiting and (len(waiting) == size or not alike):
                yield join(waiting)
                waiting = []
            waiting.append(sample)
        if waiting:
            yield join(waiting)

    def describe(self) -> DataDescription:
        """Return what the window and the command line show."""
        return DataDescription(
            source=self.reference.source,
            samples=len(self.samples),
            calibration=len(self.calibration),
            evaluation=len(self.evaluation),
            input_shapes=tuple(tuple(t.shape) for t in self.first.tensors),
            labelled=self.samples.labelled,
            classes=self.samples.classes,
            notes=self.notes,
        )


def _shapes(batch: Batch) -> list[torch.Size]:
    return [tensor.shape for tensor in (*batch.tensors, batch.target) if tensor is not None]


def split(count: int, reference: DataReference, held_out: int = 0) -> tuple[list[int], list[int]]:
    """Return the indices of calibration and evaluation samples: a seeded shuffle, disjoint unless overlap is wished.

    Args:
        count: Number of samples.
        reference: How many of each are wanted, and the seed.
        held_out: Where the first samples were kept from training, their number: only they are evaluated.

    Raises:
        QguiError: Nothing is left to evaluate.
    """
    if reference.calibrate < 1:
        raise QguiError(
            WHAT, say("calibration needs at least one sample"), say("Ask for one or more calibration samples.")
        )
    order: list[int] = np.random.default_rng(reference.seed).permutation(count).tolist()
    if held_out:
        rest = [index for index in order if index < held_out]
        calibration = [index for index in order if index >= held_out][: reference.calibrate]
    else:
        calibration = order[: reference.calibrate]
        rest = order if reference.overlap else order[len(calibration) :]
    if not rest:
        why = say("all {count} samples are used for calibration and none is left to evaluate", count=count)
        raise QguiError(WHAT, why, say("Calibrate with fewer samples, or allow the same samples for both (--overlap)."))
    evaluation = rest[: reference.evaluate] if reference.evaluate else rest
    return sorted(calibration), sorted(evaluation)


def without(calibration: Sequence[int], excluded: Sequence[int], count: int) -> list[int]:
    """Return the calibration samples that are not left out.

    Args:
        calibration: Indices of the calibration samples.
        excluded: Indices of samples to leave out.
        count: Number of samples in the data.

    Raises:
        QguiError: An index is not that of a sample, or no sample is left.
    """
    what = say("Could not leave samples out of calibration")
    unknown = [index for index in excluded if not 0 <= index < count]
    if unknown:
        why = say("there is no sample {unknown}; the data holds {count}", unknown=unknown[0], count=count)
        raise QguiError(what, why, say("Name samples from 0 to {count}.", count=count - 1))
    gone = set(excluded)
    left = [index for index in calibration if index not in gone]
    if not left:
        why = say("all {count} calibration samples are left out", count=len(calibration))
        raise QguiError(what, why, say("Take at least one back, or calibrate with more samples."))
    return left


def open_data(reference: DataReference) -> Data:
    """Return the data that a reference names.

    Raises:
        QguiError: It cannot be opened.
    """
    kind, _, rest = reference.source.partition(":")
    if kind == "example":
        samples: Samples = _example(rest)
    elif kind == "folder":
        samples = images.ImageFolder(Path(rest).expanduser(), reference)
    elif kind == "imagenet":
        samples = imagenet.open_validation(Path(rest).expanduser(), reference)
    elif kind == "random":
        samples = RandomSamples(_shape(rest))
    elif reference.source.endswith(".npz"):
        samples = _arrays(Path(reference.source))
    else:
        samples = _python(reference.source)
    return Data(reference, samples)


class RandomSamples:
    """Normal random numbers of a shape, for latency only.

    Args:
        shape: Shape of a batch; its first entry is the batch size and is taken as one sample each.
    """

    labelled = False
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = (say("Random numbers: ranges and accuracy mean nothing, latency does."),)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape[1:]

    def __len__(self) -> int:
        """Return the number of samples."""
        return _RANDOM_SAMPLES

    def __getitem__(self, index: int) -> Batch:
        """Return one sample as a batch of one."""
        generator = torch.Generator().manual_seed(index)
        return Batch((torch.randn((1, *self._shape), generator=generator),), None, [index])


def _example(name: str) -> Samples:
    if name != "digits":
        raise QguiError(WHAT, say("there is no example data '{name}'", name=name), say("Choose example:digits."))
    x_train, y_train, x_test, y_test = example_module("digits_data").split()
    x, y = torch.from_numpy(np.concatenate([x_test, x_train])), torch.from_numpy(np.concatenate([y_test, y_train]))
    return ExampleDigits(x, y, len(x_test))


class ExampleDigits(ArraySamples):
    """The handwritten digits: the held-out part first, which alone is evaluated; calibration takes training samples."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, held_out: int) -> None:
        super().__init__(x, y, [str(digit) for digit in range(10)])
        self.held_out = held_out


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        shape = ()
    if len(shape) < 2 or min(shape) < 1:
        raise QguiError(
            WHAT, say("'{text}' is no shape", text=text), say("Write it as in random:1x3x224x224, the batch first.")
        )
    return shape


def _arrays(path: Path) -> Samples:
    if not path.is_file():
        raise QguiError(WHAT, say("there is no file {path}", path=path), say("Check the path."))
    if not zipfile.is_zipfile(path):
        raise QguiError(
            WHAT, say("{path} is damaged or no .npz file", path=path), say("Save it again with numpy.savez.")
        )
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names = list(arrays.files)
            x = arrays["x"] if "x" in names else None
            y = arrays["y"] if "y" in names else None
    except Exception as error:  # A damaged archive raises whatever its first wrong byte leads to.
        why = say("{path} is damaged or no .npz file ({error})", path=path, error=error)
        raise QguiError(WHAT, why, say("Save it again with numpy.savez.")) from error
    if x is None:
        raise QguiError(
            WHAT,
            say("{path} holds {names}, but no array x", path=path, names=", ".join(names) or say("nothing")),
            say("Name the inputs x."),
        )
    if x.ndim == 0 or (y is not None and y.ndim == 0):
        name = "x" if x.ndim == 0 else "y"
        hint = say("Let the first dimension count the samples.")
        raise QguiError(WHAT, say("{name} in {path} is a single number", name=name, path=path), hint)
    if y is not None and len(y) != len(x):
        raise QguiError(
            WHAT,
            say("{path} holds {inputs} inputs and {labels} labels", path=path, inputs=len(x), labels=len(y)),
            say("Give one label per input."),
        )
    return ArraySamples(_numbers(x, "x", path), None if y is None else _numbers(y, "y", path))


def _numbers(array: np.ndarray[Any, Any], name: str, path: Path) -> torch.Tensor:
    try:
        return tensor_of(array)
    except TypeError as error:
        hint = say("Save numbers: float inputs, and the index of its class for each sample.")
        raise QguiError(
            WHAT, say("{name} in {path} holds {dtype}, not numbers", name=name, path=path, dtype=array.dtype), hint
        ) from error


def _python(source: str) -> Samples:
    if python_source.split_callable(source) is None:
        hint = say("Write example:digits, folder:PATH, imagenet:PATH, PATH.npz, PATH.py:CALLABLE or random:SHAPE.")
        raise QguiError(WHAT, say("'{source}' is no data source", source=source), hint)
    found = python_source.call(python_source.load_callable(source, WHAT), source, WHAT)
    return samples_of(found, source)
