"""Samples out of what a person's callable returned: a data set, a loader, batches, or arrays."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.engine import python_source
from qgui.engine.batch import Batch, Inputs

WHAT = say("Could not open the data")
#: Batches that can be had only once are held in memory, up to this size.
HELD_BYTES = 2 << 30

_HINT = say("Let it return a Dataset or an iterable of (inputs, target) batches.")


def samples_of(found: Any, source: str) -> ArraySamples | DatasetSamples | LoaderSamples | ListedSamples:
    """Return the samples in what a callable returned.

    Args:
        found: A `Dataset`, a `DataLoader`, an iterable of batches, one tensor or array of inputs, or a tuple of
            inputs and target.
        source: Where it came from, for messages.

    Raises:
        QguiError: It is nothing of that kind, or reading it raises.
    """
    if found is None or isinstance(found, (str, bytes, Mapping)):
        raise QguiError(WHAT, say("{source} returned a {kind}", source=source, kind=type(found).__name__), _HINT)
    if isinstance(found, DataLoader):
        return _of_loader(found, source)
    if isinstance(found, IterableDataset):
        return _held(_one_each(found, source), source)
    if _is_array(found):
        return ArraySamples(_tensor(found, source), None)
    if isinstance(found, tuple) and len(found) == 2 and all(_is_array(part) for part in found):
        inputs, target = (_tensor(part, source) for part in found)
        if inputs.dim() and target.dim() and len(inputs) == len(target):
            return ArraySamples(inputs, target)
    if hasattr(found, "__getitem__") and hasattr(found, "__len__") and not isinstance(found, (list, tuple)):
        return DatasetSamples(found, source)
    if not hasattr(found, "__iter__") and not hasattr(found, "__getitem__"):
        raise QguiError(WHAT, say("{source} returned a {kind}", source=source, kind=type(found).__name__), _HINT)
    return _held(_batches(found, source), source)


class ArraySamples:
    """Samples held in tensors.

    Args:
        x: Shape `(samples, ...)`.
        y: Shape `(samples, ...)`, or None.
        classes: Class names.
        notes: What the person should know.
    """

    def __init__(
        self, x: torch.Tensor, y: torch.Tensor | None, classes: Iterable[str] = (), notes: Iterable[str] = ()
    ) -> None:
        self._x, self._y = x, y
        self.labelled = y is not None
        self.classes = tuple(classes)
        self.notes = tuple(notes)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._x)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample as a batch of one."""
        target = None if self._y is None else self._y[index : index + 1]
        return Batch((self._x[index : index + 1],), target, [index])


class DatasetSamples:
    """Samples of a map-style `torch.utils.data.Dataset`, read when they are wanted."""

    def __init__(self, dataset: Any, source: str) -> None:
        self._dataset, self._source = dataset, source
        self.labelled = self[0].target is not None if len(dataset) else False
        self.classes = tuple(str(name) for name in getattr(dataset, "classes", ()))
        self.notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample as a batch of one.

        Raises:
            QguiError: It cannot be read.
        """
        item = python_source.call(
            lambda: self._dataset[index], self._source, say("Could not read sample {index}", index=index)
        )
        return _as_batch_of_one(as_batch(item, self._source), index)


class LoaderSamples:
    """Samples of a `torch.utils.data.DataLoader` over a map-style data set, collated one by one.

    The loader's sampler says which samples of the data set there are; their order does not matter.
    """

    def __init__(self, loader: DataLoader[Any], source: str) -> None:
        self._dataset, self._collate, self._source = loader.dataset, loader.collate_fn, source
        listed: Iterable[Any] = loader.sampler
        if loader.batch_size is None:
            listed = itertools.chain.from_iterable(loader.batch_sampler or ())
        self._keys = sorted(set(python_source.call(lambda: list(listed), source, WHAT)))
        self.labelled = self[0].target is not None if self._keys else False
        self.classes = tuple(str(name) for name in getattr(loader.dataset, "classes", ()))
        self.notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._keys)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample as a batch of one.

        Raises:
            QguiError: It cannot be read.
        """

        def collated() -> Any:
            return self._collate([self._dataset[self._keys[index]]])

        item = python_source.call(collated, self._source, say("Could not read sample {index}", index=index))
        batch = checked(as_batch(item, self._source), self._source)
        if len(batch.tensors[0]) != 1:
            why = say("its collate_fn made a batch of {count} out of one sample", count=len(batch.tensors[0]))
            raise QguiError(
                say("Could not read sample {index}", index=index),
                why,
                say("Let it return the batches themselves, as a list."),
            )
        batch.indices = [index]
        return batch


class ListedSamples:
    """Samples cut from batches that are held in memory."""

    classes: tuple[str, ...] = ()

    def __init__(self, batches: Sequence[Batch], notes: Iterable[str] = ()) -> None:
        self._batches = batches
        self._ends = list(itertools.accumulate(len(batch.tensors[0]) for batch in batches))
        self.labelled = all(batch.target is not None for batch in batches)
        self.notes = tuple(notes)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Batch:
        """Return one sample as a batch of one."""
        number = bisect.bisect_right(self._ends, index)
        batch = self._batches[number]
        row = index - (self._ends[number] - len(batch.tensors[0]))
        if isinstance(batch.inputs, dict):
            inputs: Inputs = {key: value[row : row + 1] for key, value in batch.inputs.items()}
        else:
            inputs = tuple(value[row : row + 1] for value in batch.inputs)
        return Batch(inputs, None if batch.target is None else batch.target[row : row + 1], [index])


def as_batch(item: Any, source: str) -> Batch:
    """Return a batch of what a data set or iterable gave: `(inputs, target)`, or inputs alone.

    Raises:
        QguiError: It is nothing of that kind.
    """
    inputs, target = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
    if isinstance(inputs, Mapping):
        found: Inputs = {str(key): _tensor(value, source) for key, value in inputs.items()}
    elif isinstance(inputs, (tuple, list)):
        found = tuple(_tensor(value, source) for value in inputs)
    else:
        found = (_tensor(inputs, source),)
    if not found:
        raise QguiError(WHAT, say("{source} gave a sample without inputs", source=source), _HINT)
    return Batch(found, None if target is None else _tensor(target, source), [])


def checked(batch: Batch, source: str) -> Batch:
    """Return a batch whose inputs and target all have one entry per sample.

    Raises:
        QguiError: They have not.
    """
    lengths = [len(tensor) if tensor.dim() else 0 for tensor in batch.tensors]
    if not all(tensor.dim() for tensor in batch.tensors) or len(set(lengths)) > 1:
        shapes = ", ".join("x".join(map(str, tensor.shape)) or say("a single number") for tensor in batch.tensors)
        hint = say("Let the first dimension of every input tensor count the samples.")
        raise QguiError(
            WHAT, say("{source} gave a batch whose inputs have the shapes {shapes}", source=source, shapes=shapes), hint
        )
    if batch.target is not None:
        if batch.target.dim() == 0:
            batch.target = batch.target.reshape(1)
        if len(batch.target) != lengths[0]:
            why = say(
                "{source} gave a batch of {length} inputs with {count} labels",
                source=source,
                length=lengths[0],
                count=len(batch.target),
            )
            raise QguiError(WHAT, why, say("Give one label per input."))
    return batch


def _of_loader(loader: DataLoader[Any], source: str) -> LoaderSamples | ListedSamples:
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return _held(_batches(loader, source), source)
    return LoaderSamples(loader, source)


def _batches(found: Iterable[Any], source: str) -> Iterator[Batch]:
    return (checked(as_batch(item, source), source) for item in _items(found, source))


def _one_each(found: Iterable[Any], source: str) -> Iterator[Batch]:
    return (_as_batch_of_one(as_batch(item, source), index) for index, item in enumerate(_items(found, source)))


def _items(found: Iterable[Any], source: str) -> Iterator[Any]:
    items = python_source.call(lambda: iter(found), source, WHAT)
    end = object()
    while (item := python_source.call(lambda: next(items, end), source, WHAT)) is not end:
        yield item


def _held(batches: Iterator[Batch], source: str) -> ListedSamples:
    """Return the samples of an iterable, as many as may be held."""
    held: list[Batch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += sum(tensor.numel() * tensor.element_size() for tensor in batch.tensors)
        if size > HELD_BYTES:
            count = sum(len(b.tensors[0]) for b in held)
            note = say(
                "{source} gives more than fits: the first {count:,} samples are held ({size:.1f} GB). "
                "Let it return a Dataset to use them all.",
                source=source,
                count=count,
                size=size / 1000000000.0,
            )
            return ListedSamples(held, [note])
    return ListedSamples(held)


def _as_batch_of_one(sample: Batch, index: int) -> Batch:
    if isinstance(sample.inputs, dict):
        inputs: Inputs = {key: value.unsqueeze(0) for key, value in sample.inputs.items()}
    else:
        inputs = tuple(value.unsqueeze(0) for value in sample.inputs)
    return Batch(inputs, None if sample.target is None else sample.target.unsqueeze(0), [index])


def _is_array(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, np.ndarray))


def _tensor(value: Any, source: str) -> torch.Tensor:
    """Return a tensor; what is none yet becomes float32 where it would be float64, as in `.npz` files."""
    if isinstance(value, torch.Tensor):
        return value
    try:
        if isinstance(value, (int, float)):
            return torch.as_tensor(value)
        return tensor_of(np.asarray(value))
    except (TypeError, ValueError) as error:
        hint = say("Let it give (inputs, target) with tensors or arrays; use a transform for images.")
        raise QguiError(
            WHAT, say("{source} gave a {kind} where a tensor is needed", source=source, kind=type(value).__name__), hint
        ) from error


def tensor_of(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Return a tensor of an array, float32 for every kind of float.

    Raises:
        TypeError: The array holds no numbers.
    """
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    tensor = torch.from_numpy(np.ascontiguousarray(native) if native.ndim else native)
    return tensor.float() if tensor.is_floating_point() else tensor
