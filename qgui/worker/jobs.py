"""What each command does, on the job thread: one at a time, each answered by one event."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from qgui.core import measured, messages
from qgui.core.errors import Cancelled, NeedsConsent, NeedsTrust, QguiError
from qgui.core.language import say
from qgui.core.messages import AnyCommand, Event
from qgui.core.training_run import TrainingUpdate
from qgui.engine import (
    activations,
    backends,
    benchmarks,
    comparison,
    export,
    graphs,
    machine,
    memory,
    runtimes,
    thumbnails,
    ways_out,
    weights,
)
from qgui.engine.progress import Progress
from qgui.engine.session import Session
from qgui.engine.training_control import TrainingControl
from qgui.worker.channel import Channel


class JobThread(threading.Thread):
    """Works off commands in the order in which they came.

    Args:
        channel: Where events go.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(name="jobs", daemon=True)
        self._channel = channel
        self._session = Session()
        self._waiting: queue.Queue[AnyCommand] = queue.Queue()
        self._lock = threading.Lock()
        self._running = 0
        self._cancelled: set[int] = set()
        self._training = TrainingControl()

    def submit(self, command: AnyCommand) -> None:
        """Queue a command."""
        self._waiting.put(command)

    def cancel(self, job: int) -> None:
        """Stop a job, running or waiting; 0 means the running one."""
        with self._lock:
            if job or self._running:
                self._cancelled.add(job or self._running)

    def steer(self, command: messages.SteerTraining) -> None:
        """Pause, resume or finish the running training; nothing happens where none runs."""
        with self._lock:
            if command.job not in (0, self._running):
                return
            match command.action:
                case "pause":
                    self._training.pause()
                case "resume":
                    self._training.resume(command.change)
                case "finish":
                    self._training.finish()

    def run(self) -> None:
        """Work until the process ends."""
        while True:
            command = self._waiting.get()
            with self._lock:
                self._running = command.job
                self._training = TrainingControl()
            self._channel.send(self._answer(command))
            with self._lock:
                self._running = 0
                self._cancelled.discard(command.job)

    def _answer(self, command: AnyCommand) -> Event:
        job = command.job
        try:
            self._progress(job).step(say("Starting"), 0, 0)
            return self._do(command)
        except Cancelled:
            return messages.Stopped(job=job)
        except QguiError as error:
            return messages.Failed(
                job=job,
                what=error.what,
                why=error.why,
                next_step=error.next_step,
                details=error.details or traceback.format_exc(),
                needs_trust=isinstance(error, NeedsTrust),
                file=error.file if isinstance(error, NeedsTrust) else "",
                needs_consent=isinstance(error, NeedsConsent),
            )
        except Exception as error:
            if memory.ran_out(error):
                return messages.Failed(
                    job=job,
                    what=say("The job stopped"),
                    why=say("memory ran out"),
                    next_step=say(
                        "Use a smaller batch size or fewer samples, close other programs, or raise the memory "
                        "limit in the preferences."
                    ),
                    details=str(error),
                )
            return messages.Failed(
                job=job,
                what=say("The job stopped"),
                why=f"{type(error).__name__}: {error}",
                next_step=say("Your decisions are kept. Copy the details if you want to report this."),
                details=traceback.format_exc(),
            )

    def _progress(self, job: int) -> Progress:
        def told(phase: str, done: int, total: int, left: float | None) -> None:
            self._channel.send(messages.Progress(job=job, phase=phase, done=done, total=total, seconds_left=left))

        return Progress(told, lambda: job in self._cancelled)

    def _do(self, command: AnyCommand) -> Event:
        session, job, progress = self._session, command.job, self._progress(command.job)
        match command:
            case messages.OpenModel():
                opened = session.open_model(command.model, command.trust)
                return messages.ModelOpened(job=job, model=opened, reference=command.model)
            case messages.OpenData():
                data, model = session.open_data(command.data)
                return messages.DataOpened(job=job, data=data, reference=command.data, model=model)
            case messages.Calibrate():
                return self._calibrate(command, progress)
            case messages.UseStatistics():
                session.use_statistics(Path(command.path))
                return messages.StatisticsTaken(job=job, path=command.path)
            case messages.Quantize():
                return messages.Quantized(job=job, result=session.quantize(command.recipe, progress))
            case messages.Train() | messages.KeepTraining():
                return self._train(command, progress)
            case messages.EstimateTraining():
                estimate = session.trainer(command.recipe, progress).estimate()
                return messages.TrainingEstimated(job=job, estimate=estimate)
            case messages.Compare():
                found = comparison.compare(session, progress, command.threads, command.batch_size, command.runs)
                return messages.Compared(job=job, comparison=found)
            case messages.MeasureActivations():
                measured.save(activations.measure(session, progress, command.samples), Path(command.path))
                return messages.ActivationsMeasured(job=job, path=command.path)
            case messages.MeasureBackends():
                timings = backends.measure(session, command.recipe, progress, command.threads, command.batch_size)
                return messages.BackendsMeasured(job=job, timings=timings)
            case messages.MeasureRuntimes():
                table = runtimes.measure(session, progress, command.threads, command.batch_size, command.runs)
                return messages.RuntimesMeasured(job=job, table=table)
            case messages.MeasureWayOut():
                effect = ways_out.measure(
                    session, command.recipe, command.way, progress, command.threads, command.batch_size
                )
                return messages.WayOutMeasured(job=job, effect=effect)
            case messages.Export():
                exports = export.export(session, Path(command.folder), command.formats, progress, command.threads)
                return messages.Exported(job=job, exports=exports)
            case messages.WeightRanges():
                weights.write_ranges(session.model_for(command.recipe), command.layer, Path(command.path))
                return messages.WeightRangesWritten(job=job, layer=command.layer, path=command.path)
            case messages.ShowSamples():
                shown = thumbnails.describe(session.opened_data, command.samples, Path(command.folder), progress)
                return messages.SamplesShown(job=job, samples=shown)
            case messages.WriteGraph():
                graph = graphs.write(session, command.kind, Path(command.path))
                return messages.GraphWritten(job=job, graph=graph)
            case messages.CheckBenchmarks():
                states, cpu = benchmarks.states(command.settings), machine.describe().cpu
                return messages.BenchmarksChecked(job=job, states=states, cpu=cpu, versions=benchmarks.versions())
            case messages.RunBenchmark():
                ran = benchmarks.run(command.key, command.settings, progress, self._say)
                return messages.BenchmarkRun(job=job, result=ran)
            case _:
                raise QguiError(
                    say("The job stopped"), say("the worker does not know {kind}", kind=type(command).__name__)
                )

    def _say(self, sentence: str) -> None:
        self._channel.send(messages.LogLine(level="info", text=sentence))

    def _train(self, command: messages.Train | messages.KeepTraining, progress: Progress) -> Event:
        job, folder = command.job, Path(command.folder)

        def tell(update: TrainingUpdate) -> None:
            self._channel.send(messages.TrainingProgress(job=job, update=update))

        if isinstance(command, messages.KeepTraining):
            outcome, result = self._session.keep_training(command.recipe, folder, progress)
        else:
            control = self._training
            outcome, result = self._session.train(
                command.recipe, progress, folder, resume=command.resume, control=control, listener=tell
            )
        return messages.Trained(job=job, outcome=outcome, result=result)

    def _calibrate(self, command: messages.Calibrate, progress: Progress) -> Event:
        began = time.monotonic()
        record = self._session.calibrate(progress, command.threads, command.recipe)
        self._session.save_statistics(Path(command.path))
        return messages.Calibrated(
            job=command.job,
            path=command.path,
            samples=len(record.samples),
            seconds=time.monotonic() - began,
            unfinite=self._layers_of(record.unfinite),
        )

    def _layers_of(self, tensors: Sequence[str]) -> tuple[str, ...]:
        layers = {tensor.name: tensor.layer for tensor in self._session.opened_model.description.tensors}
        return tuple(layers.get(name) or name for name in tensors)
