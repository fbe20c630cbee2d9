"""The window: panels around one document, and what happens between them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QCloseEvent, QPaintEvent
from PySide6.QtWidgets import QMainWindow

from qgui.core import advice
from qgui.core.recipe import DataReference, ModelReference
from qgui.core.results import MachineDescription
from qgui.ui import restart
from qgui.ui import settings as options
from qgui.ui.actions import ActionId, Actions
from qgui.ui.adviser import Adviser
from qgui.ui.asking import Asking
from qgui.ui.bars import WindowBar, fill_menu_bar
from qgui.ui.dialogs.open_model import OpenModelDialog
from qgui.ui.dialogs.preferences import Applied, PreferencesDialog
from qgui.ui.docks import Docks
from qgui.ui.document import Document
from qgui.ui.drops import Drop, DropKind, Drops, judged
from qgui.ui.examples import Example
from qgui.ui.filing import Filing, show
from qgui.ui.help import Help
from qgui.ui.inspector import Inspector
from qgui.ui.later import Later
from qgui.ui.layer_panel import LayerPanel
from qgui.ui.notices import LongWorkNotice
from qgui.ui.pages import Pages
from qgui.ui.recovery import Autosave
from qgui.ui.report_file import NAME as REPORT
from qgui.ui.report_file import ReportFile
from qgui.ui.settings import RecentEntry, Settings
from qgui.ui.speed_work import SpeedWork
from qgui.ui.start_page import StartPage
from qgui.ui.status_line import StatusLine
from qgui.ui.step_boxes import StepMenu
from qgui.ui.steps import next_step, reasons_against, steps_now
from qgui.ui.theme import Theme, ThemeName
from qgui.ui.training_work import TrainingWork
from qgui.ui.workbench import Workbench, load_panels
from qgui.ui.worker_client import WorkerClient, WorkerState
from qgui.ui.workflow import Workflow

if TYPE_CHECKING:
    from qgui.ui.benchmark_panel import BenchmarkPanel


class MainWindow(QMainWindow):
    """The one window of the program.

    Signals:
        first_painted: The window is on the screen.

    Args:
        settings: What is remembered between runs.
        theme: Colours and icons.
        client: The worker; it is started after the first paint.
        state_folder: Where unsaved decisions are kept, by default the person's state folder.
    """

    first_painted = Signal()

    def __init__(
        self, settings: Settings, theme: Theme, client: WorkerClient | None = None, state_folder: Path | None = None
    ) -> None:
        super().__init__()
        self.setObjectName("mainWindow")
        self.settings = settings
        self.theme = theme
        self.document = Document(self)
        self.client = client or WorkerClient(parent=self)
        self.client.setParent(self)
        self.client.limit_memory(settings.get(options.MEMORY_LIMIT))
        self.workflow = Workflow(self.document, self.client, settings, self)
        checkpoints = state_folder / "training" if state_folder is not None else None
        self.training = TrainingWork(self.document, self.client, self.workflow, checkpoints, self)
        self.speed = SpeedWork(self.document, self.client, self.workflow, settings, self)
        self.report = ReportFile(self.document, self.training, self.speed, settings, self)
        self.autosave = Autosave(self.document, state_folder, self)
        self.filing = Filing(self, self.document, self.workflow, self.client, settings, self.autosave)
        self.notices = LongWorkNotice(self, self.client, self.workflow)
        self.help = Help(self, theme, self.document)
        self.benchmarks: BenchmarkPanel | None = None
        self._painted = False
        self._done = ""
        self._actions_later = Later(self._refresh_actions, self)
        self._page_later = Later(self._show_model, self)
        self._building: QTimer | None = None
        self._closing = False
        self.actions_by_id = Actions(self, theme)
        self._build_panels()
        self.asking = Asking(self, self.document, self.workflow, settings, theme, self.workbench.log_panel)
        self.adviser = Adviser(self, self.document, self.actions_by_id, self.workbench)
        self.docks = Docks(self, self.layer_panel, self.inspector, settings)
        self._build_bars()
        self._connect_actions()
        self._connect()
        self.drops = Drops(self, self._judge)
        self.drops.dropped.connect(self.open_dropped)
        self.docks.restore()
        self._refresh_page()
        self._refresh_actions()

    # Building

    def _build_panels(self) -> None:
        self.start_page = StartPage(self.theme, self)
        self.layer_panel = LayerPanel(self.document, self.theme, self)
        self.inspector = Inspector(self.document, self)
        self.workbench = Workbench(
            self.document, self.workflow, self.training, self.speed, self.theme, self.settings, self
        )
        self.pages = Pages(self)
        self.pages.setObjectName("pages")
        self.pages.addWidget(self.start_page)
        self.pages.addWidget(self.workbench)
        self.setCentralWidget(self.pages)

    def _build_bars(self) -> None:
        self.bar = WindowBar(self.actions_by_id, self.theme, self.choose_theme, self)
        self.addToolBar(self.bar)
        views = self.docks.view_actions()
        show_log = QAction(self.tr("&Log"), self)
        show_log.setObjectName("showLog")
        show_log.setToolTip(self.tr("Show what the engine said."))
        show_log.triggered.connect(self.show_log)
        self.step_menu = StepMenu(self.document, self)
        views.append(show_log)
        fill_menu_bar(self, self.actions_by_id, self.layer_panel, self.step_menu, views, self.bar.theme_menu)
        self.status = StatusLine(self.actions_by_id[ActionId.CANCEL], self)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addWidget(self.status, 1)

    def _connect_actions(self) -> None:
        slots = {
            ActionId.OPEN_MODEL: self.ask_for_model,
            ActionId.OPEN_DATA: self.asking.ask_for_data,
            ActionId.OPEN_RECIPE: self.filing.ask_for_recipe,
            ActionId.APPLY_RECIPE: self.filing.ask_for_other_recipe,
            ActionId.RULES: self.ask_for_rules,
            ActionId.SAVE_REPORT: self.report.ask,
            ActionId.SAVE: self.filing.save,
            ActionId.SAVE_AS: self.filing.save_as,
            ActionId.CLOSE_MODEL: lambda: self.filing.leave(self.document.close_model),
            ActionId.QUIT: self.close,
            ActionId.UNDO: self.document.undo_stack.undo,
            ActionId.REDO: self.document.undo_stack.redo,
            ActionId.DECIDE: self.decide,
            ActionId.ADVICE: self.adviser.show,
            ActionId.FILTER: self.layer_panel.focus_filter,
            ActionId.SELECT_MATCHING: self.layer_panel.select_matching,
            ActionId.CALIBRATE: self.workflow.calibrate,
            ActionId.QUANTIZE: self.workflow.quantize,
            ActionId.TRAIN: self.train,
            ActionId.COMPARE: self.compare,
            ActionId.EXPORT: self.asking.ask_for_export,
            ActionId.MEASURE_BACKENDS: self.workflow.measure_backends,
            ActionId.BENCHMARKS: self.show_benchmarks,
            ActionId.CANCEL: self.workflow.cancel,
            ActionId.RESET_LAYOUT: self.reset_layout,
            ActionId.PREFERENCES: self.ask_for_preferences,
            ActionId.PALETTE: self.help.find_action,
            ActionId.GUIDE: self.help.explain,
            ActionId.ABOUT: self.help.show_about,
        }
        for name, slot in slots.items():
            self.actions_by_id[name].triggered.connect(lambda _=False, slot=slot: slot())

    def _connect(self) -> None:
        document, client, workflow = self.document, self.client, self.workflow
        for signal in (
            document.model_changed,
            document.data_changed,
            document.statistics_changed,
            document.results_changed,
            document.recipe_changed,
            client.state_changed,
            document.undo_stack.canUndoChanged,
            document.undo_stack.canRedoChanged,
        ):
            signal.connect(self._actions_later.ask)
        document.model_changed.connect(self._page_later.ask)
        document.file_changed.connect(self._refresh_title)
        document.recipe_changed.connect(self._forget_done)
        document.model_changed.connect(self._forget_done)
        document.notice.connect(self.workbench.tell)
        document.undo_stack.indexChanged.connect(self._name_undo)
        client.log_line.connect(self.workbench.log_panel.add)
        workflow.progressed.connect(self.status.show_progress)
        client.ready.connect(self._on_ready)
        client.replaced.connect(lambda why: self.workbench.log_panel.add("warning", why))
        workflow.failed.connect(self.asking.show_failure)
        self.filing.failed.connect(self.asking.show_failure)
        self.filing.saved.connect(self._on_done)
        self.filing.leftovers_found.connect(self.start_page.show_leftover)
        workflow.trust_needed.connect(self.asking.ask_for_trust)
        workflow.consent_needed.connect(self.asking.ask_for_consent)
        workflow.done.connect(self._on_done)
        self.speed.export_wanted.connect(self.asking.ask_for_export)
        workflow.backends_measured.connect(self.asking.show_backends)
        workflow.exported.connect(lambda folder: self.report.write(folder / REPORT))
        self.report.written.connect(lambda path: self._on_done(self.tr("Report: {path}").format(path=path)))
        self.report.failed.connect(self.asking.show_failure)
        self.workbench.log_panel.saved.connect(self._on_done)
        self.workbench.log_panel.failed.connect(self.asking.show_failure)
        workflow.misfits_found.connect(self.asking.show_misfits)
        workflow.step_finished.connect(self._on_step)
        self.training.began.connect(self.workbench.show_training)
        self.layer_panel.selection_changed.connect(self._on_selection)
        work = self.workbench
        work.calibration_wanted.connect(self.actions_by_id[ActionId.CALIBRATE].trigger)
        work.data_wanted.connect(self.actions_by_id[ActionId.OPEN_DATA].trigger)
        work.quantization_wanted.connect(self.actions_by_id[ActionId.QUANTIZE].trigger)
        work.comparison_wanted.connect(self.actions_by_id[ActionId.COMPARE].trigger)
        work.training_wanted.connect(self.actions_by_id[ActionId.TRAIN].trigger)
        work.layer_wanted.connect(lambda name: self.layer_panel.select([name]))
        work.advice_wanted.connect(self.actions_by_id[ActionId.ADVICE].trigger)
        self.help.advice_wanted.connect(self.actions_by_id[ActionId.ADVICE].trigger)
        work.step_wanted.connect(self.layer_panel.step)
        self.bar.backend.backend_chosen.connect(document.change_backend)
        self.bar.backend.measuring_wanted.connect(self.actions_by_id[ActionId.MEASURE_BACKENDS].trigger)
        page = self.start_page
        page.model_wanted.connect(self.ask_for_model)
        page.recipe_wanted.connect(self.filing.ask_for_recipe)
        page.example_wanted.connect(self.open_example)
        page.recent_wanted.connect(self.open_recent)
        page.restore_wanted.connect(self.filing.restore)
        page.discard_wanted.connect(self.filing.discard)

    # The panels, which are built after the first paint

    def build_panels_soon(self) -> None:
        """Build the panels while the window answers: import in a thread, then build piece by piece."""
        if self.workbench.built or self._building is not None:
            return
        importing = threading.Thread(target=load_panels, name="panels", daemon=True)
        pieces = self.workbench.build()
        self._building = QTimer(self)
        self._building.setInterval(10)

        def go_on() -> None:
            if importing.is_alive() or self._building is None:
                return
            if next(pieces, self) is self:
                self._building.stop()

        self._building.timeout.connect(go_on)
        importing.start()
        self._building.start()

    def build_panels(self) -> None:
        """Build the panels at once."""
        for _ in self.workbench.build():
            pass

    # What is shown

    def _on_selection(self, names: tuple[str, ...]) -> None:
        self.inspector.show_layers(names)
        self.workbench.show_layers(names)

    def _show_model(self) -> None:
        """Turn to the page that fits, in a turn of the event loop of its own: laying it out takes its time."""
        self._refresh_page()
        self._introduce_model()

    def _refresh_page(self) -> None:
        opened = self.document.model is not None
        self.pages.setCurrentIndex(1 if opened else 0)
        self.docks.show(opened)
        self.workbench.notice.hide()
        if not opened:
            self.start_page.show_recent(self.settings.recent())
        self._refresh_title()

    def _refresh_title(self) -> None:
        if self.document.model is None:
            self.setWindowTitle("QGUI")
        else:
            self.setWindowTitle(f"{self.document.title}[*] - QGUI")
        self.setWindowModified(self.document.modified)

    def _name_undo(self) -> None:
        stack = self.document.undo_stack
        for name, text, what in (
            (ActionId.UNDO, self.tr("&Undo"), stack.undoText()),
            (ActionId.REDO, self.tr("&Redo"), stack.redoText()),
        ):
            self.actions_by_id[name].setText(f"{text} {what}".rstrip())

    def _busy_with(self) -> str:
        job = self.client.current
        if job is not None and not job.quiet:
            return job.title
        return self.tr("Waiting for the engine") if self.client.busy else ""

    def _refresh_actions(self) -> None:
        busy = self._busy_with()
        reasons = reasons_against(self.document, busy)
        self.actions_by_id.allow(reasons)
        self.workbench.set_why_not_compare(reasons.get(ActionId.COMPARE, ""))
        self.workbench.show_staleness(self.document.statistics_stale, reasons.get(ActionId.CALIBRATE, ""))
        self.workbench.set_why_not_train(reasons.get(ActionId.TRAIN, ""))
        backend = self.document.recipe.backend
        self.bar.backend.show_backends(self.document.machine, backend, ActionId.MEASURE_BACKENDS not in reasons)
        following = None if busy else next_step(self.document)
        self.bar.steps.show_steps(steps_now(self.document))
        threads = self.settings.get(options.THREADS)
        self.status.show_engine(self.client.state, self.document.machine, backend, threads)
        self.status.show_data(self.document.data)
        if not busy:
            hint = following[1] if following else self.tr("Done. Every decision can still be changed.")
            self.status.show_idle(f"{self._done} {hint}".strip())
        elif self.client.state is WorkerState.STARTING:
            self.status.show_job(busy, self.tr("the engine is starting"))
        else:
            stopping = self.client.current is not None and self.client.current.cancelled
            self.status.show_job(self.tr("Stopping") if stopping else busy)

    def _on_ready(self, machine: MachineDescription) -> None:
        sentence = self.tr("The engine is ready: PyTorch {version} on {cpu} ({capability}), backends {backends}.")
        self.workbench.log_panel.add(
            "info",
            sentence.format(
                version=machine.torch_version,
                cpu=machine.cpu,
                capability=machine.capability,
                backends=", ".join(machine.backends),
            ),
        )

    def _introduce_model(self) -> None:
        """Say what the model is, what is advised for it, and what should be known about it."""
        model = self.document.model
        if model is None:
            return
        sentences = [*model.notes, *filter(None, [model.trace_note])]
        if self.document.path is None:
            sentences.append(advice.advised_mode(model)[1])
            if self.document.machine is not None:
                backend, why = advice.advised_backend(model, self.document.machine)
                if self.document.recipe.backend == backend != self.document.machine.default_backend:
                    sentences.append(why)
        self.workbench.introduce(" ".join(sentences))

    def _on_done(self, sentence: str) -> None:
        self._done = sentence
        self.workbench.log_panel.add("info", sentence)

    def _on_step(self, step: str) -> None:
        if step == "compare":
            self.workbench.show_comparison()
        elif step == "calibrate" and not self.workbench.shows_graph:
            self.workbench.show_ranges()
        if step not in {"model", "data"}:
            self.workbench.end_introduction()
        self._tell_notes(step)
        if step in {"model", "data"} and not self.layer_panel.selected_layers():
            self.layer_panel.select_first()

    def _forget_done(self) -> None:
        self._done = ""

    def _tell_notes(self, step: str) -> None:
        """Say what the engine noted about the data or the quantized model."""
        document = self.document
        if step == "data" and document.data is not None and document.data.notes:
            self.workbench.introduce(" ".join(document.data.notes), more=True)
        elif step == "quantize" and document.result is not None and document.result.notes:
            self.workbench.tell(" ".join(document.result.notes))

    def show_log(self) -> None:
        """Show the log, also where no model is open."""
        self.pages.setCurrentIndex(1)
        self.workbench.show_log()

    def show_benchmarks(self) -> None:
        """Show the published tables in place of the model; they are built when they are first wanted."""
        from qgui.ui.benchmark_panel import BenchmarkPanel
        from qgui.ui.benchmark_work import BenchmarkWork

        if self.benchmarks is None:
            work = BenchmarkWork(self.client, self.settings, parent=self)
            self.benchmarks = BenchmarkPanel(work, self.theme, self)
            self.benchmarks.left.connect(self._refresh_page)
            work.told.connect(self._on_done)
            self.pages.addWidget(self.benchmarks)
        self.benchmarks.open()
        self.docks.show(False)
        self.pages.setCurrentWidget(self.benchmarks)

    def reset_layout(self) -> None:
        """Put layer table and inspector back where they stood at first."""
        self.docks.reset(self.document.model is not None and self.pages.currentWidget() is self.workbench)

    def choose_theme(self, name: ThemeName) -> None:
        """Apply a theme and remember it."""
        self.theme.choose(name)
        self.settings.set(options.THEME, name.value)

    def restart(self) -> None:
        """Close the window and open it anew with the recipe that is open; unsaved decisions are given up."""
        recipe = self.document.path
        self.close_without_asking()
        restart.start_again(recipe)

    # Dialogs

    def ask_for_preferences(self) -> None:
        """Show what holds for all models."""
        applied = Applied(
            self.choose_theme,
            self.client.limit_memory,
            self.workbench.follow_settings,
            lambda: self.filing.leave(self.restart),
        )
        show(PreferencesDialog(self.settings, self.document.machine, applied, self))

    def ask_for_model(self, code: str = "") -> None:
        """Let the person choose a model, in a Python file where one is given."""

        def ask() -> None:
            dialog = OpenModelDialog(self)
            if code:
                dialog.offer_code(code)
            dialog.chosen.connect(self.open_model)
            show(dialog)

        self.filing.leave(ask)

    def ask_for_rules(self) -> None:
        """Let the person decide by pattern; a new rule begins with the type of the selected layer."""
        selected = self.document.layer(next(iter(self.layer_panel.selected_layers()), ""))
        self.asking.ask_for_rules(selected.type if selected is not None else "")

    # Opening

    def open_model(self, model: ModelReference, data: DataReference | None = None) -> None:
        """Open a model, with its data where they are given."""
        self.workflow.open_model(model, data)

    def open_example(self, example: Example) -> None:
        """Open a bundled example with its data."""
        self.filing.leave(lambda: self.open_model(ModelReference(example.source), DataReference(example.data)))

    def _judge(self, paths: Sequence[str]) -> Drop:
        reasons = reasons_against(self.document, self._busy_with())
        return judged(paths, reasons.get(ActionId.OPEN_MODEL, ""), reasons.get(ActionId.OPEN_DATA, ""))

    def open_dropped(self, drop: Drop) -> None:
        """Open what fell onto the window."""
        match drop.kind:
            case DropKind.RECIPE:
                self.filing.leave(lambda: self.filing.open_recipe(Path(drop.path)))
            case DropKind.MODEL:
                self.filing.leave(lambda: self.open_model(ModelReference(drop.path)))
            case DropKind.CODE:
                self.ask_for_model(drop.path)
            case DropKind.FOLDER | DropKind.ARRAYS:
                dialog = self.asking.ask_for_data()
                if dialog is not None:
                    (dialog.offer_npz if drop.kind is DropKind.ARRAYS else dialog.offer_folder)(drop.path)

    def open_recent(self, entry: RecentEntry) -> None:
        """Open what was open lately."""
        if entry.kind == "recipe":
            self.filing.leave(lambda: self.filing.open_recipe(Path(entry.text)))
        else:
            self.filing.leave(lambda: self.open_model(ModelReference(entry.text, entry.weights)))

    def decide(self) -> None:
        """Put the focus into the layer table."""
        self._refresh_page()
        self.layer_panel.view.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def train(self) -> None:
        """Train the layers in mode qat and show the panel."""
        self.workbench.show_training()
        self.training.start()

    def compare(self) -> None:
        """Measure float against quantized and show the panel."""
        self.workbench.show_comparison()
        self.workflow.compare()

    # Leaving

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self._closing and (self.client.busy or self.document.modified):
            event.ignore()
            self.filing.leave(self.close_without_asking)
            return
        self.docks.remember()
        self.settings.sync()
        self.autosave.forget()
        self.client.shut_down()
        self.workflow.close()
        event.accept()

    def close_without_asking(self) -> None:
        """Close the window; a running job and unsaved decisions are given up."""
        self._closing = True
        self.close()

    # Qt

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.StatusTip:
            # The status line shows jobs and hints; tooltips say what actions do.
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(0, self, self.first_painted.emit)
