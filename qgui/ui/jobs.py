"""A job for the worker, told what to do with its outcome: `Job(command, title).success(...).failure(...)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from qgui.core import messages

#: The event that ends each command well.
ANSWERS: dict[type[messages.Command], type[messages.Event]] = {
    messages.OpenModel: messages.ModelOpened,
    messages.OpenData: messages.DataOpened,
    messages.Calibrate: messages.Calibrated,
    messages.UseStatistics: messages.StatisticsTaken,
    messages.Quantize: messages.Quantized,
    messages.Train: messages.Trained,
    messages.KeepTraining: messages.Trained,
    messages.EstimateTraining: messages.TrainingEstimated,
    messages.Compare: messages.Compared,
    messages.MeasureActivations: messages.ActivationsMeasured,
    messages.MeasureBackends: messages.BackendsMeasured,
    messages.MeasureRuntimes: messages.RuntimesMeasured,
    messages.MeasureWayOut: messages.WayOutMeasured,
    messages.Export: messages.Exported,
    messages.WeightRanges: messages.WeightRangesWritten,
    messages.ShowSamples: messages.SamplesShown,
    messages.WriteGraph: messages.GraphWritten,
    messages.CheckBenchmarks: messages.BenchmarksChecked,
    messages.RunBenchmark: messages.BenchmarkRun,
}


class Job:
    """A command on its way through the worker.

    Args:
        command: What the worker is asked; its number is given when it is sent.
        title: What is being done, as shown, for instance `Calibrating`.
        quiet: Whether it is too short or too small to be shown as work in progress.
        gives_way: Whether it is stopped when any other job comes.
    """

    def __init__(self, command: messages.Command, title: str, quiet: bool = False, gives_way: bool = False) -> None:
        self.command = command
        self.title = title
        self.quiet = quiet
        self.gives_way = gives_way
        self.cancelled = False
        self._success: Callable[[Any], None] = lambda _: None
        self._failure: Callable[[messages.Failed], None] | None = None
        self._stopped: Callable[[], None] = lambda: None

    def success(self, callback: Callable[[Any], None]) -> Job:
        """Call this with the event that answers the command."""
        self._success = callback
        return self

    def failure(self, callback: Callable[[messages.Failed], None]) -> Job:
        """Call this when the job fails; without it the client announces the failure."""
        self._failure = callback
        return self

    def stopped(self, callback: Callable[[], None]) -> Job:
        """Call this when the job was cancelled."""
        self._stopped = callback
        return self

    def number(self, number: int) -> None:
        """Give the command the number that its answers carry."""
        self.command = msgspec.structs.replace(self.command, job=number)

    @property
    def handles_failure(self) -> bool:
        """Whether somebody asked to be told of the failure."""
        return self._failure is not None

    def answered_by(self, event: messages.Event) -> bool:
        """Whether this event ends the job well."""
        return type(event) is ANSWERS.get(type(self.command))

    def succeed(self, event: messages.Event) -> None:
        """Report success."""
        self._success(event)

    def fail(self, event: messages.Failed) -> None:
        """Report failure."""
        if self._failure is not None:
            self._failure(event)

    def stop(self) -> None:
        """Report that the job was cancelled."""
        self._stopped()
