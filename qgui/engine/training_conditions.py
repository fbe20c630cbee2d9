"""Under what a training runs: a seed that decides everything, the device, and memory that may run out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.training import Training
from qgui.engine import machine, memory
from qgui.engine.training_loss import WHAT


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Let torch compute the same for the same seed for a while, and restore its state."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filling: Any = torch.utils.deterministic
    fill = filling.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        filling.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            filling.fill_uninitialized_memory = fill


@contextmanager
def int8_kernels() -> Iterator[None]:
    """Let int8 kernels run: they have no deterministic form of their own, and need none."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


@contextmanager
def memory_errors(settings: Training, epoch: Callable[[], int]) -> Iterator[None]:
    """Turn running out of memory into a failure that says what to do.

    Args:
        settings: The settings in numbers.
        epoch: Returns the epochs done.

    Raises:
        QguiError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not memory.ran_out(error):
            raise
        raise QguiError(
            say("Training stopped"),
            say(
                "memory ran out at batch size {batch_size} in epoch {epoch}",
                batch_size=settings.batch_size,
                epoch=epoch() + 1,
            ),
            say("The best state so far is kept. Halve the batch size, or close other programs."),
            str(error),
        ) from error


def device_of(name: str) -> torch.device:
    """Return the device of a name.

    Raises:
        QguiError: This machine has no such device.
    """
    if name not in machine.devices():
        have = ", ".join(machine.devices())
        raise QguiError(
            WHAT, say("this machine has no device '{name}'", name=name), say("Choose one of: {have}.", have=have)
        )
    return torch.device(name)
