"""Running the published rows from the window: their jobs, what each still needs, and the results that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from PySide6.QtCore import QObject, Signal

from qgui.core import benchmarks, messages
from qgui.core.benchmark_text import table_label
from qgui.core.benchmarks import BenchmarkResult, BenchmarkSettings, RowState
from qgui.core.errors import QguiError
from qgui.core.published import PublishedRow, row_of
from qgui.ui import settings as options
from qgui.ui.jobs import Job
from qgui.ui.settings import Settings
from qgui.ui.worker_client import WorkerClient

#: What a row does.
Place = Literal["", "running", "waiting"]


class BenchmarkWork(QObject):
    """Asks the worker for rows and keeps what it finds.

    Signals:
        changed: Settings, what is missing, results or problems differ.
        told: A sentence about a row that was run.

    Args:
        client: The worker.
        settings: Remembers folders and numbers; agreeing to a download is never remembered.
        file: Where results are kept, by default in the person's data folder.
        parent: Qt parent.
    """

    changed = Signal()
    told = Signal(str)

    def __init__(
        self, client: WorkerClient, settings: Settings, file: Path | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._options = settings
        self._file = file or benchmarks.results_file()
        self._here: tuple[str, dict[str, str]] | None = None
        self.settings = _remembered(settings)
        self.states: dict[str, RowState] = {}
        self.problems: dict[str, str] = {}
        self.results: dict[str, BenchmarkResult] = {}
        self.running: list[str] = []
        self.trouble = ""
        try:
            self.results = benchmarks.load(self._file)
        except QguiError as error:
            self.trouble = str(error)

    def stale(self, key: str) -> str:
        """Return why a kept result does not hold any more; empty where it does or where that is not known yet."""
        if self._here is None or key not in self.results:
            return ""
        return benchmarks.why_stale(self.results[key], *self._here)

    def place(self, key: str) -> Place:
        """Return whether a row runs, waits, or neither."""
        if key not in self.running:
            return ""
        return "running" if self.running[0] == key else "waiting"

    def choose(self, settings: BenchmarkSettings) -> None:
        """Take other settings and ask what each row needs with them."""
        self.settings = settings
        kept = msgspec.structs.replace(settings, download=False)
        self._options.set(options.BENCHMARKS, msgspec.json.encode(kept).decode())
        self.check()

    def check(self) -> None:
        """Ask the worker what each row needs; later questions replace those that wait."""

        def told(event: messages.BenchmarksChecked) -> None:
            self.states = {state.key: state for state in event.states}
            self._here = event.cpu, event.versions
            self.changed.emit()

        self._client.drop_waiting(messages.CheckBenchmarks)
        job = Job(messages.CheckBenchmarks(settings=self.settings), self.tr("Looking at the benchmarks"), quiet=True)
        self._client.submit(job.success(told).failure(self._not_checked))

    def run(self, rows: Sequence[PublishedRow]) -> None:
        """Run rows one after the other; what fails is said at its row, and the others go on."""
        for row in rows:
            self.running.append(row.key)
            self.problems.pop(row.key, None)
            title = self.tr("Benchmark {row} ({table})").format(row=row.title, table=table_label(row.table))
            job = Job(messages.RunBenchmark(key=row.key, settings=self.settings), title).success(self._take)
            job.failure(partial(self._on_failed, row.key)).stopped(partial(self._on_stopped, row.key))
            self._client.submit(job)
        self.changed.emit()

    def runnable(self, rows: Sequence[PublishedRow]) -> list[PublishedRow]:
        """Return those of some rows that lack nothing and do not run or wait already."""
        states = ((row, self.states.get(row.key)) for row in rows)
        return [row for row, state in states if state and not state.missing and row.key not in self.running]

    def _take(self, event: messages.BenchmarkRun) -> None:
        result = event.result
        self._leave(result.key)
        self.results[result.key] = result
        try:
            benchmarks.keep(self._file, [result])
            self.trouble = ""
        except QguiError as error:
            self.trouble = str(error)
        self.changed.emit()
        row = row_of(result.key)
        self.told.emit(self.tr("{row} is measured ({table}).").format(row=row.title, table=table_label(row.table)))
        if row.table == "accuracy":
            # A download may have brought what was missing.
            self.check()

    def _on_failed(self, key: str, event: messages.Failed) -> None:
        self._leave(key)
        self.problems[key] = f"{event.what}: {event.why.rstrip('.')}. {event.next_step}".rstrip()
        self._client.log_line.emit("error", self.problems[key])
        self.changed.emit()

    def _on_stopped(self, key: str) -> None:
        self._leave(key)
        self.changed.emit()

    def _not_checked(self, event: messages.Failed) -> None:
        self.trouble = f"{event.what}: {event.why}"
        self.changed.emit()

    def _leave(self, key: str) -> None:
        if key in self.running:
            self.running.remove(key)


def _remembered(settings: Settings) -> BenchmarkSettings:
    try:
        return msgspec.json.decode(settings.get(options.BENCHMARKS), type=BenchmarkSettings)
    except msgspec.DecodeError:
        return BenchmarkSettings()
