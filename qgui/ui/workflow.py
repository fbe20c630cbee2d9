"""What the person asks for, and which jobs that takes: quantizing calibrates first, comparing quantizes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Signal

from qgui.core import fitting, messages, recipe_file
from qgui.core.errors import QguiError
from qgui.core.formats import BY_KEY
from qgui.core.graphs import GraphFile, GraphKind
from qgui.core.recipe import DataReference, ModelReference, Recipe
from qgui.core.results import BackendTiming, MachineDescription, QuantizeResult, SampleDescription
from qgui.ui import formatting
from qgui.ui import settings as options
from qgui.ui.document import Document
from qgui.ui.jobs import Job
from qgui.ui.settings import RecentEntry, Settings
from qgui.ui.worker_client import WorkerClient
from qgui.ui.working_files import WorkingFiles

Then = Callable[[], None]


def _nothing() -> None:
    pass


class Workflow(QObject):
    """Turns wishes into jobs and their outcomes into changes of the document.

    Signals:
        failed: A `Failed`, to be shown.
        trust_needed: A `Failed` and a callable that goes on with trust.
        consent_needed: A `Failed` and a callable that decides for the finite values only and goes on.
        done: A sentence about something that succeeded.
        step_finished: Name of the finished step: `model`, `data`, `calibrate`, `quantize`, `compare`, `export`,
            `backends`, `measure`, `runtimes`, `way out`.
        backends_measured: A tuple of `BackendTiming`, fastest first.
        exported: The folder into which files were exported.
        misfits_found: A tuple of `Misfit` of an opened recipe, and a tuple of sentences about it.
        progressed: The `Progress` of the job that is shown.
        settled: No job runs or waits any more, however the last one ended.
    """

    failed = Signal(object)
    trust_needed = Signal(object, object)
    consent_needed = Signal(object, object)
    done = Signal(str)
    step_finished = Signal(str)
    backends_measured = Signal(object)
    exported = Signal(object)
    misfits_found = Signal(object, object)
    progressed = Signal(object)
    settled = Signal()

    def __init__(
        self, document: Document, client: WorkerClient, settings: Settings, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._client = client
        self._settings = settings
        self._engine_digest: str | None = None
        self._files = WorkingFiles()
        self._unmeasurable = ""
        client.ready.connect(self._on_ready)
        client.failed.connect(self._on_failed)
        client.replaced.connect(self._on_replaced)
        client.progressed.connect(self._on_progressed)
        client.finished.connect(self._on_finished)
        document.model_changed.connect(self._leave_model)

    def close(self) -> None:
        """Remove the working files."""
        self._files.close()

    def _leave_model(self) -> None:
        """Have nothing of the model before."""
        self._files.leave_model()
        if self._document.model is None:
            self._client.forget()
        self._tidy()

    def _tidy(self) -> None:
        """Remove working files of closed models, once no job can be writing any."""
        if self._client.idle:
            self._files.remove_former()

    def _on_ready(self, machine: MachineDescription) -> None:
        self._document.set_machine(machine)

    def _on_failed(self, job: Job | None, event: messages.Failed) -> None:
        self.failed.emit(event)

    def _on_replaced(self, reason: str) -> None:
        self._engine_digest = None

    def _on_progressed(self, job: Job, progress: messages.Progress) -> None:
        if not job.quiet and not job.cancelled:
            self.progressed.emit(progress)

    def _on_finished(self, job: Job) -> None:
        self._measure_when_idle()
        self._tidy()
        if not job.quiet and not self._client.busy:
            self.settled.emit()

    def cancel(self) -> None:
        """Stop what runs, and what waits for it."""
        self._client.cancel()

    def _job(self, command: messages.Command, title: str) -> Job:
        return Job(command, title)

    # Opening

    def open_model(
        self, model: ModelReference, data: DataReference | None = None, trust: bool = False, then: Then = _nothing
    ) -> None:
        """Open a model with the rules advised for it, then its data where they are given."""

        def opened(event: messages.ModelOpened) -> None:
            self._engine_digest = None
            backend = self._settings.get(options.BACKEND)
            self._document.open_model(event.model, event.reference, data or DataReference(), backend)
            self._tell_of_model()
            self._settings.add_recent(RecentEntry("model", event.reference.source, event.reference.weights))
            self.step_finished.emit("model")
            if data is not None and data.source:
                self.open_data(data, then=then)
            else:
                then()

        self._open(model, trust, opened, lambda: self.open_model(model, data, trust=True, then=then))

    def open_recipe(self, path: Path, trust: bool = False, then: Then = _nothing) -> None:
        """Open a recipe file with its model and data."""
        try:
            recipe = recipe_file.load(path)
        except QguiError as error:
            self.failed.emit(failure_of(error))
            return
        self._open_decisions(recipe, path, trust, then)

    def apply_recipe(self, path: Path) -> None:
        """Take the decisions of a recipe file for the open model, and tell what does not fit."""
        try:
            recipe = recipe_file.load(path)
        except QguiError as error:
            self.failed.emit(failure_of(error))
            return
        notes = fitting.travel_notes(recipe, self._document.recipe.model)
        misfits = self._document.apply_recipe(recipe)
        self.done.emit(self.tr("Applied the decisions of {name}.").format(name=path.name))
        if misfits or notes:
            self.misfits_found.emit(misfits, notes)

    def restore(self, recipe: Recipe, path: Path | None, restored: Then) -> None:
        """Open decisions that were saved automatically.

        Args:
            recipe: The decisions.
            path: The file they belong to, None where there is none.
            restored: Called when they are open.
        """

        def opened() -> None:
            self._document.mark_modified()
            restored()

        self._open_decisions(recipe, path, trust=False, then=_nothing, at_once=opened)

    def _open_decisions(
        self, recipe: Recipe, path: Path | None, trust: bool, then: Then, at_once: Then = _nothing
    ) -> None:
        if not recipe.model.source:
            error = QguiError(
                self.tr("Could not open the recipe"),
                self.tr("it does not say which model it is for"),
                self.tr("Open the model first and decide anew."),
            )
            self.failed.emit(failure_of(error))
            return

        def opened(event: messages.ModelOpened) -> None:
            self._engine_digest = None
            given = msgspec.structs.replace(recipe, model=event.reference)
            misfits = self._document.open_recipe(event.model, given, path)
            self._tell_of_model()
            at_once()
            if path is not None:
                self._settings.add_recent(RecentEntry("recipe", str(path)))
            if misfits:
                self.misfits_found.emit(misfits, ())
            self.step_finished.emit("model")
            if recipe.data.source:
                self.open_data(recipe.data, then=then)
            else:
                then()

        self._open(recipe.model, trust, opened, lambda: self._open_decisions(recipe, path, True, then, at_once))

    def _tell_of_model(self) -> None:
        model = self._document.model
        if model is not None:
            sentence = self.tr("Opened {title}: {layers} layers, {parameters} parameters.")
            layers = sum(layer.kind != "input" for layer in model.layers)
            self.done.emit(
                sentence.format(title=model.title, layers=layers, parameters=formatting.count(model.parameters))
            )

    def _open(
        self,
        model: ModelReference,
        trust: bool,
        opened: Callable[[messages.ModelOpened], None],
        with_trust: Then,
    ) -> None:
        job = self._job(messages.OpenModel(model=model, trust=trust), self.tr("Opening model"))
        self._client.submit(job.success(opened).failure(lambda event: self._refused(event, with_trust)))

    def _refused(self, event: messages.Failed, with_trust: Then) -> None:
        if event.needs_trust and event.file and self._settings.trusts(event.file):
            with_trust()
        elif event.needs_trust:
            self.trust_needed.emit(event, with_trust)
        else:
            self.failed.emit(event)

    def open_data(self, data: DataReference, trust: bool = False, then: Then = _nothing) -> None:
        """Open data for the open model."""

        def opened(event: messages.DataOpened) -> None:
            self._engine_digest = None
            self._document.open_data(event.data, event.reference)
            if event.model is not None:
                self._document.describe_model(event.model)
            sentence = self.tr("Opened {source}: {calibration} samples to calibrate, {evaluation} to evaluate.")
            self.done.emit(
                sentence.format(
                    source=formatting.short_source(event.data.source),
                    calibration=event.data.calibration,
                    evaluation=event.data.evaluation,
                )
            )
            self.step_finished.emit("data")
            then()

        job = self._job(messages.OpenData(data=data, trust=trust), self.tr("Opening data"))
        job.success(opened)
        job.failure(lambda event: self._refused(event, lambda: self.open_data(data, trust=True, then=then)))
        self._client.submit(job)

    # The steps

    def calibrate(self, then: Then = _nothing) -> None:
        """Run the calibration samples once."""

        def calibrated(event: messages.Calibrated) -> None:
            # numpy is not imported before the first paint.
            from qgui.core import statistics

            try:
                self._document.set_statistics(statistics.load(Path(event.path)))
            except QguiError as error:
                self.failed.emit(failure_of(error))
                return
            self._files.remove_others(Path(event.path))
            self._engine_digest = None
            one = self.tr("Calibrated with 1 sample in {seconds:.1f} s.")
            many = self.tr("Calibrated with {samples} samples in {seconds:.1f} s.")
            sentence = one if event.samples == 1 else many
            self.done.emit(sentence.format(samples=event.samples, seconds=event.seconds))
            if event.unfinite:
                sentence = self.tr("NaN or infinite values came out of {layers}; their ranges leave them out.")
                self._document.notice.emit(sentence.format(layers=", ".join(event.unfinite)))
            self.step_finished.emit("calibrate")
            then()

        path = self._files.new_path("statistics", ".npz")
        command = messages.Calibrate(path=str(path), recipe=self._document.recipe)
        job = self._job(command, self.tr("Calibrating")).success(calibrated)
        self._client.submit(job.failure(lambda event: self._not_calibrated(event, then)))

    def _not_calibrated(self, event: messages.Failed, then: Then) -> None:
        def with_consent() -> None:
            self._document.use_finite_only()
            self.calibrate(then)

        if event.needs_consent:
            self.consent_needed.emit(event, with_consent)
        else:
            self.failed.emit(event)

    def quantize(self, then: Then = _nothing) -> None:
        """Make the quantized model; calibrates first where a layer needs ranges that are missing or stale."""
        if self._document.must_calibrate:
            self.calibrate(then=lambda: self.quantize(then))
            return
        recipe = self._document.recipe

        def quantized(event: messages.Quantized) -> None:
            self.adopt(event.result)
            then()

        self._client.submit(self._job(messages.Quantize(recipe=recipe), self.tr("Quantizing")).success(quantized))

    def adopt(self, result: QuantizeResult) -> None:
        """Take the quantized model that the worker holds now."""
        self._engine_digest = result.recipe_hash
        self._document.set_result(result)
        int8 = sum(layer.scale is not None or bool(layer.weight_scale) for layer in result.layers)
        one = self.tr("Quantized 1 layer in {seconds:.1f} s.")
        sentence = one if int8 == 1 else self.tr("Quantized {layers} layers in {seconds:.1f} s.")
        self.done.emit(sentence.format(layers=int8, seconds=result.seconds))
        self.step_finished.emit("quantize")

    def with_quantized(self, then: Then) -> None:
        """Go on when the worker holds the model that the present decisions make."""
        if self._engine_digest == self._document.digest and not self._document.result_stale:
            then()
        else:
            self.quantize(then)

    def compare(self, then: Then = _nothing) -> None:
        """Measure float against quantized; quantizes first where the decisions changed."""
        get = self._settings.get

        def measure() -> None:
            command = messages.Compare(
                threads=get(options.THREADS), batch_size=get(options.BATCH_SIZE), runs=get(options.RUNS)
            )
            self._client.submit(self._job(command, self.tr("Comparing")).success(compared))

        def compared(event: messages.Compared) -> None:
            self._document.set_comparison(event.comparison)
            sentence = self.tr("Compared: {speedup:.2f} times the speed of the best float.")
            self.done.emit(sentence.format(speedup=event.comparison.speedup))
            self.step_finished.emit("compare")
            then()

        self.with_quantized(measure)

    def export(self, folder: Path, formats: tuple[str, ...], then: Then = _nothing) -> None:
        """Write files and verify each; quantizes first where the decisions changed."""

        def write() -> None:
            threads = self._settings.get(options.THREADS)
            command = messages.Export(folder=str(folder), formats=formats, threads=threads)
            self._client.submit(self._job(command, self.tr("Exporting")).success(written))

        def written(event: messages.Exported) -> None:
            self._document.set_exports(event.exports)
            failed = ", ".join(BY_KEY[entry.format].title for entry in event.exports if not entry.verified)
            if failed:
                sentence = self.tr("Exported to {folder}, but not all formats gave the same outputs: {formats}.")
                self._document.notice.emit(sentence.format(folder=folder, formats=failed))
            else:
                self.done.emit(self.tr("Exported to {folder}.").format(folder=folder))
            self.exported.emit(folder)
            self.step_finished.emit("export")
            then()

        self.with_quantized(write)

    def _measure_when_idle(self) -> None:
        """Measure in the background what the activations of the quantized model became, where that is not known."""
        document, client = self._document, self._client
        result = document.result
        if (
            result is None
            or document.data is None
            or document.result_stale
            or client.busy
            or client.current is not None
        ):
            return
        known = document.measured is not None and document.measured.recipe_hash == result.recipe_hash
        if known or self._engine_digest != result.recipe_hash or self._unmeasurable == result.recipe_hash:
            return
        command = messages.MeasureActivations(path=str(self._files.path("measured.npz")))
        job = Job(command, self.tr("Measuring activations"), quiet=True, gives_way=True)
        job.failure(lambda event: self._not_measured(result.recipe_hash, f"{event.what}: {event.why}"))
        client.submit(job.success(lambda event: self._take_measured(result.recipe_hash, Path(event.path))))

    def _take_measured(self, recipe_hash: str, path: Path) -> None:
        # numpy is not imported before the first paint.
        from qgui.core import measured

        try:
            self._document.set_measured(measured.load(path))
        except QguiError as error:
            self._not_measured(recipe_hash, str(error))
        else:
            self.step_finished.emit("measure")

    def _not_measured(self, recipe_hash: str, why: str) -> None:
        self._unmeasurable = recipe_hash
        self._client.log_line.emit("warning", why)

    def measure_backends(self, then: Then = _nothing) -> None:
        """Measure every engine of the machine with the present decisions; calibrates first where needed."""
        document = self._document
        if document.must_calibrate:
            self.calibrate(then=lambda: self.measure_backends(then))
            return

        def measured(event: messages.BackendsMeasured) -> None:
            timings: tuple[BackendTiming, ...] = event.timings
            document.set_timings(timings, recipe)
            self.backends_measured.emit(timings)
            self.step_finished.emit("backends")
            then()

        recipe = document.recipe
        command = messages.MeasureBackends(
            recipe=recipe,
            threads=self._settings.get(options.THREADS),
            batch_size=self._settings.get(options.BATCH_SIZE),
        )
        self._client.submit(self._job(command, self.tr("Measuring backends")).success(measured))

    def show_samples(self, samples: Sequence[int], then: Callable[[tuple[SampleDescription, ...]], None]) -> None:
        """Ask what samples are and look like; later questions replace those that wait."""
        self._client.drop_waiting(messages.ShowSamples)
        command = messages.ShowSamples(samples=tuple(samples), folder=str(self._files.path("samples")))
        job = Job(command, self.tr("Reading samples"), quiet=True)
        job.success(lambda event: then(event.samples))
        job.failure(lambda event: self._client.log_line.emit("warning", f"{event.what}: {event.why}"))
        self._client.submit(job)

    def weight_ranges(self, layer: str, then: Callable[[Path], None], failed: Callable[[str], None]) -> None:
        """Ask what each observer would choose for a layer's weight; later questions replace those that wait."""
        self._client.drop_waiting(messages.WeightRanges)
        path = self._files.path("weight.npz")
        command = messages.WeightRanges(layer=layer, path=str(path), recipe=self._document.recipe)
        job = Job(command, self.tr("Reading weights"), quiet=True)
        job.success(lambda event: then(Path(event.path)))
        job.failure(lambda event: failed(f"{event.what}: {event.why}"))
        self._client.submit(job)

    @property
    def holds_result(self) -> bool:
        """Whether the engine holds the quantized model that is shown; a fresh engine has to make it again."""
        result = self._document.result
        return result is not None and self._engine_digest == result.recipe_hash

    def write_graph(self, kind: GraphKind, then: Callable[[GraphFile], None], failed: Callable[[str], None]) -> None:
        """Ask for the graph of a model; later questions replace those that wait, and other work goes first.

        Args:
            kind: Which model.
            then: Called with the file.
            failed: Called with a sentence, an empty one where other work came first.
        """
        self._client.drop_waiting(messages.WriteGraph)
        command = messages.WriteGraph(kind=kind, path=str(self._files.path(f"{kind}.onnx")))
        job = Job(command, self.tr("Drawing the graph"), quiet=True, gives_way=True)
        job.success(lambda event: then(event.graph))
        job.failure(lambda event: failed(f"{event.what}: {event.why} {event.next_step}".strip()))
        self._client.submit(job.stopped(lambda: failed("")))


def failure_of(error: QguiError) -> messages.Failed:
    """Return a failure of the window's own as the event that shows it."""
    return messages.Failed(what=error.what, why=error.why, next_step=error.next_step, details=error.details)
