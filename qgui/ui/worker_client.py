"""The window's end of the worker process: starts it, sends jobs one after the other, and replaces it when it fails.

A fresh process takes over with the same model, data and statistics, so that neither a crash nor a job that does not
stop costs more than that job.
"""

from __future__ import annotations

import enum
import itertools
import logging
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

from qgui.core import messages
from qgui.core.training import Steering
from qgui.ui.jobs import Job
from qgui.ui.takeover import Takeover

log = logging.getLogger(__name__)

_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
#: After so many starts in a row without a worker that can go on, it is given up until the person asks again.
_STARTS = 3


class WorkerState(enum.Enum):
    """How the worker process is."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"


@dataclass(frozen=True)
class Timing:
    """How patient the client is, in milliseconds.

    Attributes:
        cancel: Time a job has to stop before its process is ended, which takes its time too.
        silence: Time without a sign of life before a process is taken for hung.
        shutdown: Time the process has to leave when the window closes.
    """

    cancel: int = 2_500
    silence: int = 90_000
    shutdown: int = 700


def worker_command() -> list[str]:
    """Return program and arguments that start the worker."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "--worker"]
    return [sys.executable, "-m", "qgui.worker"]


class WorkerClient(QObject):
    """Runs jobs in the worker process, one at a time and in order.

    Signals:
        ready: A `MachineDescription`; the worker has loaded torch.
        state_changed: Process or queue differ.
        progressed: A `Job` and its `Progress`.
        training_progressed: A `TrainingUpdate` of the running job.
        finished: A `Job` that ended, however it ended.
        failed: A `Job` and its `Failed`, where the job has no failure callback.
        replaced: A sentence: why a fresh process took over.
        log_line: Level and text.

    Args:
        command: Program and arguments, by default the worker of this installation.
        timing: How patient to be.
        parent: Qt parent.
    """

    ready = Signal(object)
    state_changed = Signal()
    progressed = Signal(object, object)
    training_progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(object, object)
    replaced = Signal(str)
    log_line = Signal(str, str)

    def __init__(
        self, command: list[str] | None = None, timing: Timing | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.state = WorkerState.STOPPED
        self.current: Job | None = None
        self._command = command or worker_command()
        self._timing = timing or Timing()
        self._numbers = itertools.count(1)
        self._queue: deque[Job] = deque()
        self._process: QProcess | None = None
        self._reader = messages.FrameReader()
        self._errors = bytearray()
        self._last_errors: deque[str] = deque(maxlen=40)
        self._starts = 0
        self._memory_limit = 0
        self._takeover = Takeover()
        self._repeated: deque[Job] = deque()
        self._end_reason = ""
        self._patience = self._single_shot(self._kill_unstoppable)
        self._silence = self._single_shot(self._kill_silent)

    def _single_shot(self, slot: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        return timer

    # What the window asks

    @property
    def busy(self) -> bool:
        """Whether a job that is shown runs or waits."""
        jobs = [*self._queue, *([self.current] if self.current else [])]
        return any(not job.quiet for job in jobs)

    @property
    def idle(self) -> bool:
        """Whether no job runs or waits, not even one that is not shown."""
        return self.current is None and not self._queue and not self._repeated

    def start(self) -> None:
        """Start the process; jobs may be submitted before it is ready."""
        if self._process is None:
            self._starts = 0
            self._launch()

    def submit(self, job: Job) -> Job:
        """Queue a job."""
        job.number(next(self._numbers))
        self._queue.append(job)
        running = self.current
        if running is not None and running.gives_way and not (running.cancelled or job.gives_way):
            # It stops at its next step; nobody asked for it, so there is no hurry that would be worth its process.
            running.cancelled = True
            self._write(messages.Cancel(job=running.command.job))
        if self.state in {WorkerState.BROKEN, WorkerState.STOPPED}:
            self.start()
        self.state_changed.emit()
        self._send_next()
        return job

    def drop_waiting(self, kind: type[messages.Command]) -> None:
        """Take jobs of a kind that have not begun out of the queue."""
        self._queue = deque(job for job in self._queue if not isinstance(job.command, kind))

    def cancel(self) -> None:
        """Stop the running job within the time it has; jobs that wait are dropped.

        Quiet jobs go on: they bring a fresh process to where the old one was, or answer a panel in a moment.
        """
        waiting = [job for job in self._queue if not job.quiet]
        self._queue = deque(job for job in self._queue if job.quiet)
        for job in waiting:
            job.stop()
            self.finished.emit(job)
        if self.current is None or self.current.cancelled or self.current.quiet:
            self.state_changed.emit()
            return
        self.current.cancelled = True
        self._write(messages.Cancel(job=self.current.command.job))
        self._patience.start(self._timing.cancel)
        self.state_changed.emit()

    def steer(self, action: Literal["pause", "resume", "finish"], change: Steering | None = None) -> None:
        """Steer the running training; the worker answers at once."""
        if self.current is not None:
            self._write(messages.SteerTraining(job=self.current.command.job, action=action, change=change))

    def limit_memory(self, gibibytes: int) -> None:
        """Let the process, and those that follow it, take no more memory; 0 for as much as there is."""
        self._memory_limit = gibibytes
        if self.state is WorkerState.READY:
            self._write(messages.LimitMemory(gibibytes=gibibytes))

    def abandon(self) -> None:
        """Give up everything that runs or waits at once; a fresh process takes over where a job was running."""
        jobs = list(self._queue)
        self._queue.clear()
        if self.current is not None and not self.current.quiet:
            jobs.insert(0, self.current)
            self.current = None
            self._patience.stop()
            self._silence.stop()
            self._set_state(WorkerState.STARTING)
            self._replace(self.tr("The job was given up."))
        for job in jobs:
            job.stop()
            self.finished.emit(job)
        self.state_changed.emit()

    def forget(self) -> None:
        """Let a fresh process, should one have to take over, begin with nothing open."""
        self._takeover.forget()
        self._repeated.clear()
        self._count_no_starts()

    def shut_down(self) -> None:
        """End the process; nothing is reported any more."""
        self._patience.stop()
        self._silence.stop()
        self._queue.clear()
        self._repeated.clear()
        self.current = None
        process, self._process = self._process, None
        self.state = WorkerState.STOPPED
        if process is None:
            return
        process.blockSignals(True)
        if process.state() == QProcess.ProcessState.Running:
            process.write(messages.frame(messages.Shutdown()))
            process.closeWriteChannel()
            if not process.waitForFinished(self._timing.shutdown):
                process.kill()
                process.waitForFinished(2_000)
        elif process.state() == QProcess.ProcessState.Starting:
            process.kill()
            process.waitForFinished(2_000)
        process.deleteLater()

    # The process

    def _launch(self) -> None:
        self._starts += 1
        self._repeated = deque(map(self._repetition, self._takeover.commands()))
        self._reader = messages.FrameReader()
        self._errors.clear()
        self._end_reason = ""
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        paths = [_PACKAGE_PARENT, *filter(None, [environment.value("PYTHONPATH")])]
        environment.insert("PYTHONPATH", os.pathsep.join(paths))
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._read_errors)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._process = process
        self._set_state(WorkerState.STARTING)
        process.start(self._command[0], self._command[1:])

    def _set_state(self, state: WorkerState) -> None:
        self.state = state
        self.state_changed.emit()

    def _write(self, command: messages.Command) -> None:
        if self._process is not None:
            self._process.write(messages.frame(command))

    def _send_next(self) -> None:
        waiting = self._repeated or self._queue
        if self.state is not WorkerState.READY or self.current is not None or not waiting:
            return
        self.current = waiting.popleft()
        self._silence.start(self._timing.silence)
        self._write(self.current.command)
        self.state_changed.emit()

    def _read(self) -> None:
        if self._process is None:
            return
        if self.current is not None:
            self._silence.start(self._timing.silence)
        try:
            for body in self._reader.feed(bytes(self._process.readAllStandardOutput().data())):
                self._hear(messages.decode_event(body))
        except (ValueError, msgspec.DecodeError) as error:
            self._replace(self.tr("The engine sent something that is no message ({error}).").format(error=error))

    def _hear(self, event: messages.Event) -> None:
        match event:
            case messages.Ready(machine=machine):
                self._set_state(WorkerState.READY)
                self._count_no_starts()
                if self._memory_limit:
                    self._write(messages.LimitMemory(gibibytes=self._memory_limit))
                self.ready.emit(machine)
                self._send_next()
            case messages.LogLine(level=level, text=text):
                self.log_line.emit(level, text)
            case messages.Heartbeat():
                pass
            case _ if self.current is None or event.job != self.current.command.job:
                log.debug("an event of a job that is over: %s", type(event).__name__)
            case messages.Progress():
                self.progressed.emit(self.current, event)
            case messages.TrainingProgress():
                self.training_progressed.emit(event.update)
            case messages.Stopped():
                self._end_current().stop()
            case messages.Failed():
                self._fail(self._end_current(), event)
            case _ if self.current.answered_by(event):
                # Quiet jobs repeat what is remembered already.
                if not self.current.quiet:
                    self._takeover.remember(self.current.command, event)
                self._end_current().succeed(event)
            case _:
                log.warning("an answer that does not fit its command: %s", type(event).__name__)

    def _end_current(self) -> Job:
        """Take the running job off, start the next after the callbacks, and return it."""
        job = self.current
        assert job is not None
        self.current = None
        self._patience.stop()
        self._silence.stop()
        self._count_no_starts()
        QTimer.singleShot(0, self, self._send_next)
        QTimer.singleShot(0, self, lambda: self.finished.emit(job))
        self.state_changed.emit()
        return job

    def _fail(self, job: Job, event: messages.Failed) -> None:
        if job.handles_failure:
            job.fail(event)
        else:
            self.failed.emit(job, event)

    def _count_no_starts(self) -> None:
        """Trust the process again once it stands where the one before it stood."""
        if not self._repeated:
            self._starts = 0

    # When things go wrong

    def _kill_unstoppable(self) -> None:
        self._replace(self.tr("The job did not stop by itself, so its process was ended."))

    def _kill_silent(self) -> None:
        seconds = self._timing.silence // 1000
        self._replace(self.tr("The engine gave no sign of life for {seconds} s.").format(seconds=seconds))

    def _replace(self, reason: str) -> None:
        """End the process; its end starts a fresh one."""
        self._end_reason = reason
        if self._process is not None:
            self._process.kill()

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            reason = self._process.errorString()
            self._process.deleteLater()
            self._process = None
            self._give_up(reason)

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._read_errors_of(process)
        process.deleteLater()
        self._patience.stop()
        self._silence.stop()
        crashed = status == QProcess.ExitStatus.CrashExit
        reason = self._end_reason or (
            self.tr("The engine crashed.")
            if crashed
            else self.tr("The engine stopped with exit code {code}.").format(code=code)
        )
        job, self.current = self.current, None
        if self._starts >= _STARTS:
            self._give_up(reason)
        elif self._starts:
            # What was lost was on its way to where the process before it stood: the next one begins anew.
            self._launch()
        else:
            self.replaced.emit(reason)
            self._launch()
            if job is not None:
                self._report_lost(job, reason)
                self.finished.emit(job)

    def _report_lost(self, job: Job, reason: str) -> None:
        if job.cancelled:
            job.stop()
            return
        self._fail(
            job,
            messages.Failed(
                job=job.command.job,
                what=self.tr("{title} did not finish").format(title=job.title),
                why=reason,
                next_step=self.tr(
                    "A fresh engine has taken over with your model, data and decisions. Try again; "
                    "if it happens again, use fewer samples or close other programs: memory may be short."
                ),
                details="\n".join(self._last_errors),
            ),
        )

    def _give_up(self, reason: str) -> None:
        self._set_state(WorkerState.BROKEN)
        lost = list(self._queue)
        self._queue.clear()
        event = messages.Failed(
            what=self.tr("The engine does not start"),
            why=reason,
            next_step=self.tr("Check that PyTorch is installed in this environment: python -c 'import torch'."),
            details="\n".join(self._last_errors),
        )
        if self._takeover.commands():
            self._takeover.forget()
            event = msgspec.structs.replace(
                event,
                what=self.tr("No fresh engine could take over"),
                next_step=self.tr(
                    "Your decisions are kept: save them, close other programs if memory may be short, then open the "
                    "model again."
                ),
            )
        waiting = [job for job in lost if not job.quiet]
        for job in lost:
            if job.quiet:
                job.fail(event)
        for job in waiting:
            self._fail(job, event)
        if not waiting:
            self.failed.emit(None, event)
        for job in lost:
            self.finished.emit(job)

    def _repetition(self, command: messages.Command) -> Job:
        """Return a quiet job that brings a fresh process nearer to where the old one was."""
        job = Job(command, self.tr("Taking over"), quiet=True).failure(self._on_repetition_failed)
        job.number(next(self._numbers))
        return job

    def _on_repetition_failed(self, event: messages.Failed) -> None:
        self._repeated.clear()
        self._count_no_starts()
        self.failed.emit(
            None,
            msgspec.structs.replace(
                event, what=self.tr("A fresh engine could not take over: {what}").format(what=event.what)
            ),
        )

    def _read_errors(self) -> None:
        if self._process is not None:
            self._read_errors_of(self._process)

    def _read_errors_of(self, process: QProcess) -> None:
        self._errors += process.readAllStandardError().data()
        *lines, rest = bytes(self._errors).split(b"\n")
        self._errors = bytearray(rest)
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                self._last_errors.append(text)
                self.log_line.emit("info", text)
