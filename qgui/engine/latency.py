"""Latency, measured honestly: all variants in alternation, in one run, with pinned threads and warm-up."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from qgui.core.language import say
from qgui.core.results import Latency
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.outputs import MainOutput, main_output
from qgui.engine.progress import Progress

WARM_UP = 3


@dataclass
class Variant:
    """Something to be timed.

    Attributes:
        subject: `float` or `quantized`.
        runtime: `eager`, `torchscript`, or another of `qgui.core.runtimes.RUNTIMES`.
        backend: Engine that must be selected while it runs, empty for float.
        run: Runs it once.
    """

    subject: Literal["float", "quantized"]
    runtime: str
    backend: str
    run: Callable[[], Any]


@contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Let torch use this many threads, and as many as before afterwards; 0 leaves them."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure(
    variants: list[Variant], threads: int, runs: int, progress: Progress, settle: bool = False
) -> list[list[float]]:
    """Return the times of every variant in ms, shape `(variants, runs)`: one run of each in turn, then the next.

    Args:
        variants: What is timed.
        threads: Threads of torch, 0 for as many as it has.
        runs: Timed runs of each.
        progress: Told after every turn.
        settle: Whether a run that is not timed comes before each that is.

    Raises:
        Cancelled: The person asked to stop.
    """
    times: list[list[float]] = [[] for _ in variants]
    with torch.inference_mode(), pinned_threads(threads):
        for turn in range(-WARM_UP, runs):
            progress.step(say("Measuring latency"), turn + WARM_UP, runs + WARM_UP)
            for variant, collected in zip(variants, times, strict=True):
                with plain.engine(variant.backend or torch.backends.quantized.engine):
                    if settle:
                        variant.run()
                    began = time.perf_counter()
                    variant.run()
                    passed = (time.perf_counter() - began) * 1e3
                if turn >= 0:
                    collected.append(passed)
    return times


def latency_of(variant: Variant, times: list[float]) -> Latency:
    """Return median, 95th percentile and fastest of a variant's times in ms."""
    ordered = np.array(times)
    return Latency(
        variant.subject,
        variant.runtime,
        float(np.median(ordered)),
        float(np.percentile(ordered, 95)),
        float(ordered.min()),
        len(times),
        tuple(round(t, 4) for t in times),
    )


def in_torch(
    subject: Literal["float", "quantized"], model: nn.Module, backend: str, batch: Batch, others: Sequence[Batch]
) -> tuple[list[Variant], str]:
    """Return a model as it runs in torch, eager and where it traces as TorchScript, and what should be known about it.

    Args:
        subject: `float` or `quantized`.
        model: The model.
        backend: Its quantized engine, empty for float.
        batch: What it is timed with.
        others: Samples on which a trace with frozen branches must agree.
    """
    eager = Variant(subject, "eager", backend, lambda: batch.run(model, copy=False))
    try:
        program, note = torchscript(model, backend, batch, others)
    except NotTraceable as error:
        return [eager], say("No TorchScript: {error}.", error=error)
    tensors = tuple(batch.tensors)
    return [eager, Variant(subject, "torchscript", backend, lambda: program(*tensors))], note


class NotTraceable(Exception):
    """A model cannot become a TorchScript program that computes the same."""


def torchscript(
    model: nn.Module, backend: str, batch: Batch, others: Sequence[Batch] = ()
) -> tuple[torch.jit.ScriptModule, str]:
    """Return a model traced with `torch.jit.trace` and frozen, and what a person should know about it.

    The program takes the inputs by position. Where the model branches on the values of tensors, the trace keeps the
    branches that its sample took; it is accepted only if other samples, also negated and enlarged, give the same.

    Args:
        model: Float or quantized.
        backend: Its quantized engine, empty for float.
        batch: What it is traced with.
        others: Samples on which a trace with frozen branches must agree.

    Raises:
        NotTraceable: It does not trace, or what it computes depends on the data's values.
    """
    names = tuple(batch.inputs) if isinstance(batch.inputs, dict) else ()
    wrapped = MainOutput(model, names).eval() if names or not _gives_tensor(model, batch, backend) else model
    with torch.no_grad(), plain.engine(backend or torch.backends.quantized.engine), plain.quiet():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                traced = torch.jit.trace(wrapped, _copies(batch.tensors), check_trace=False)
                frozen = torch.jit.freeze(traced.eval())
            except Exception as error:
                lines = str(error).strip().splitlines()
                raise NotTraceable(lines[0] if lines else type(error).__name__) from error
        branches = any("Python boolean" in str(w.message) for w in caught)
        note = _note_on_branches(wrapped, frozen, others) if branches else ""
    return frozen, note


def channels_last(
    model: nn.Module, batch: Batch, others: Sequence[Batch] = ()
) -> tuple[torch.jit.ScriptModule, tuple[torch.Tensor, ...]]:
    """Return a float model traced and frozen with its weights channels-last, and the inputs in the same order.

    Args:
        model: The model; it stays as it is.
        batch: What it is traced with.
        others: Further samples, to notice where the traced model computes something else.

    Raises:
        NotTraceable: It cannot be traced.
    """
    turned = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)
    order = torch.channels_last
    inputs = tuple(t.contiguous(memory_format=order) if t.dim() == 4 else t for t in batch.tensors)
    named = dict(zip(batch.inputs, inputs, strict=True)) if isinstance(batch.inputs, dict) else inputs
    program, _ = torchscript(turned, "", Batch(named, None, batch.indices), others)
    return program, inputs


def _copies(tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.clone() for tensor in tensors)


def _note_on_branches(model: nn.Module, program: torch.jit.ScriptModule, others: Sequence[Batch]) -> str:
    refused = say("its control flow depends on the values of tensors")
    if not others:
        raise NotTraceable(refused)
    checked = 0
    for batch in others:
        floats = any(t.is_floating_point() for t in batch.tensors)
        for factor in (1.0, -1.0, 10.0) if floats else (1.0,):
            inputs = [t * factor if t.is_floating_point() else t for t in batch.tensors]
            try:
                expected, found = main_output(model(*_copies(inputs))), main_output(program(*_copies(inputs)))
            except Exception as error:
                raise NotTraceable(refused) from error
            scale = float(expected.abs().max()) + 1e-12
            if expected.shape != found.shape or float((expected - found).abs().max()) > 1e-4 * scale:
                raise NotTraceable(refused)
            checked += 1
    return say(
        "TorchScript keeps the branches on tensor values that one sample took; {checked} other inputs agreed.",
        checked=checked,
    )


def _gives_tensor(model: nn.Module, batch: Batch, backend: str) -> bool:
    with torch.inference_mode(), plain.engine(backend or torch.backends.quantized.engine):
        return isinstance(batch.run(model), torch.Tensor)
