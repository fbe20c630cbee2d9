"""Where int8 loses time and where it runs best: the jobs that measure it, what they found, and the ways out taken."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from qgui.core import decisions, messages, slowness
from qgui.core.recipe import Mode
from qgui.core.results import Comparison
from qgui.core.runtimes import RuntimeTable
from qgui.core.slowness import Explanation, WayOut, WayOutEffect
from qgui.ui import settings as options
from qgui.ui.document import Document
from qgui.ui.jobs import Job
from qgui.ui.settings import Settings
from qgui.ui.worker_client import WorkerClient
from qgui.ui.workflow import Workflow


class SpeedWork(QObject):
    """Measures runtimes and ways out for the document's recipe.

    Signals:
        changed: Another table, another effect, or one that no longer holds.
        export_wanted: A way out was taken that leads to another runtime.

    Args:
        document: What is measured.
        client: The worker.
        workflow: For calibration and quantization before.
        settings: For threads and batch size.
        parent: Qt parent.
    """

    changed = Signal()
    export_wanted = Signal()

    def __init__(
        self,
        document: Document,
        client: WorkerClient,
        workflow: Workflow,
        settings: Settings,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._client = client
        self._workflow = workflow
        self._settings = settings
        self._table: RuntimeTable | None = None
        self._effects: dict[WayOut, WayOutEffect] = {}
        self._effects_digest = ""
        self._explained: tuple[object, Explanation | None] = (None, None)
        for signal in (document.model_changed, document.data_changed):
            signal.connect(self._forget)
        for signal in (document.recipe_changed, document.results_changed):
            signal.connect(self.changed)

    # What was found

    @property
    def table(self) -> RuntimeTable | None:
        """The runtimes, None before they were measured."""
        return self._table

    @property
    def table_stale(self) -> bool:
        """Whether the runtimes ran a model that the present decisions would not make."""
        return self._table is not None and self._table.recipe_hash != self._document.digest

    @property
    def explanation(self) -> Explanation | None:
        """Why int8 is not faster, None before comparing."""
        comparison, model, machine = self._document.comparison, self._document.model, self._document.machine
        if comparison is None or model is None or machine is None:
            return None
        if self._explained[0] is not comparison:
            self._explained = comparison, slowness.explain(comparison, model, machine)
        return self._explained[1]

    @property
    def comparison(self) -> Comparison | None:
        """What the explanation explains."""
        return self._document.comparison

    def effect(self, way: WayOut) -> WayOutEffect | None:
        """Return what a way out comes to with the present decisions, None where that was not measured."""
        return self._effects.get(way) if self._effects_digest == self._document.digest else None

    def _forget(self) -> None:
        self._table = None
        self._effects.clear()
        self.changed.emit()

    # Jobs

    def measure_runtimes(self) -> None:
        """Measure every runtime; quantizes first where the decisions changed."""

        def measured(event: messages.RuntimesMeasured) -> None:
            self._table = event.table
            self.changed.emit()
            self._workflow.step_finished.emit("runtimes")

        def measure() -> None:
            command = messages.MeasureRuntimes(
                threads=self._settings.get(options.THREADS), batch_size=self._settings.get(options.BATCH_SIZE)
            )
            self._client.submit(Job(command, self.tr("Measuring runtimes")).success(measured))

        self._workflow.with_quantized(measure)

    def measure(self, *ways: WayOut) -> None:
        """Measure ways out against the present decisions; calibrates first where needed."""
        document = self._document
        if document.must_calibrate:
            self._workflow.calibrate(then=lambda: self.measure(*ways))
            return
        digest = document.digest

        def measured(event: messages.WayOutMeasured) -> None:
            if digest != self._effects_digest:
                self._effects.clear()
                self._effects_digest = digest
            self._effects[event.effect.way] = event.effect
            self.changed.emit()
            self._workflow.step_finished.emit("way out")

        for way in ways:
            command = messages.MeasureWayOut(
                recipe=document.recipe,
                way=way,
                threads=self._settings.get(options.THREADS),
                batch_size=self._settings.get(options.BATCH_SIZE),
            )
            self._client.submit(Job(command, self.tr("Measuring a way out")).success(measured))

    # Decisions

    def take(self, way: WayOut) -> None:
        """Take a way out: one undo step, or the export where it leads to another runtime."""
        document = self._document
        match way.kind:
            case "runtime":
                self.export_wanted.emit()
            case "backend":
                document.change_backend(way.backend)
            case "float" | "static":
                mode = Mode.FLOAT if way.kind == "float" else Mode.STATIC
                document.decide(way.text, way.layers, decisions.mode_edit(mode, document.recipe.backend))
