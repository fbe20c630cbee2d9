"""A client that speaks to a real worker process over its pipes."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from qgui.core import messages

EventKind = TypeVar("EventKind", bound=messages.Event)
ANSWERS = (
    messages.ModelOpened,
    messages.DataOpened,
    messages.Calibrated,
    messages.StatisticsTaken,
    messages.Quantized,
    messages.Trained,
    messages.TrainingEstimated,
    messages.Compared,
    messages.BackendsMeasured,
    messages.Exported,
    messages.WeightRangesWritten,
    messages.SamplesShown,
    messages.ActivationsMeasured,
    messages.BenchmarksChecked,
    messages.BenchmarkRun,
    messages.Failed,
    messages.Stopped,
)


class Worker:
    """The window's side of a worker process."""

    def __init__(self, log: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qgui.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=environment,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.log = log
        self.progress: list[messages.Progress] = []
        self._reader, self._events = messages.FrameReader(), deque[messages.AnyEvent]()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.stdout, selectors.EVENT_READ)
        self._job = 0

    def send(self, command: messages.Command) -> None:
        self.write(messages.frame(command))

    def write(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def event(self, timeout: float = 60.0) -> messages.AnyEvent:
        """Return the next event of any kind."""
        end = time.monotonic() + timeout
        while not self._events:
            left = end - time.monotonic()
            assert left > 0, "the worker said nothing in time"
            if not self._selector.select(left):
                continue
            data = os.read(self.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError
            self._events.extend(messages.decode_event(body) for body in self._reader.feed(data))
        return self._events.popleft()

    def until(self, wanted: Callable[[messages.AnyEvent], bool], timeout: float = 60.0) -> messages.AnyEvent:
        """Return the first event that is wanted; progress on the way is kept."""
        end = time.monotonic() + timeout
        while True:
            event = self.event(end - time.monotonic())
            if isinstance(event, messages.Progress):
                self.progress.append(event)
            if wanted(event):
                return event

    def next(self, kind: type[EventKind], timeout: float = 60.0) -> EventKind:
        """Return the next event of a kind."""
        found = self.until(lambda event: isinstance(event, kind), timeout)
        assert isinstance(found, kind)
        return found

    def start(self, make: Callable[..., messages.Command], **arguments: object) -> int:
        """Send a command and return its number."""
        self._job += 1
        self.progress.clear()
        self.send(make(job=self._job, **arguments))
        return self._job

    def answer(self, job: int, timeout: float = 60.0) -> messages.AnyEvent:
        """Return what ends a job."""
        return self.until(lambda event: isinstance(event, ANSWERS) and event.job == job, timeout)

    def do(self, make: Callable[..., messages.Command], **arguments: object) -> messages.AnyEvent:
        """Send a command and return its answer."""
        return self.answer(self.start(make, **arguments))

    def end(self) -> None:
        """End the process whatever it does, and close its pipes."""
        self._selector.close()
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue
