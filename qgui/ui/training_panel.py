"""Training in the window: settings on the left, what happens on the right, and what steers it above."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from qgui.core import decisions, legality, ranges
from qgui.core.errors import QguiError
from qgui.core.recipe import Mode
from qgui.core.training import Training, parts
from qgui.core.training_run import TrainingEstimate, score_name, told_score
from qgui.ui import formatting
from qgui.ui.actions import ActionId
from qgui.ui.banner import Banner
from qgui.ui.document import Document
from qgui.ui.form_column import FormColumn
from qgui.ui.later import Later
from qgui.ui.plot_grid import PlotGrid
from qgui.ui.steps import reasons_against
from qgui.ui.theme import Theme
from qgui.ui.training_form import TrainingForm
from qgui.ui.training_plots import CurvePlot, Line, RangeTrackPlot
from qgui.ui.training_watch import TrainingState
from qgui.ui.training_work import TrainingWork

_BINS = 256


class TrainingPanel(QWidget):
    """Shows and steers the training of the document's recipe.

    Signals:
        training_wanted: The person wants to train.

    Args:
        document: What is trained.
        work: Does it.
        theme: For the colours.
        parent: Qt parent.
    """

    training_wanted = Signal()

    def __init__(self, document: Document, work: TrainingWork, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document, self._work, self._theme = document, work, theme
        self._watch = work.watch
        self._why_not = ""
        self._layer = ""
        self._estimate: TrainingEstimate | None = None
        self._shown_tensor = ""
        self.setObjectName("trainingPanel")
        self._refresh_later = Later(self._refresh, self)
        self.banner = Banner("trainingBanner", "hint", self)
        self.warning = Banner("trainingWarning", "warning", self)
        self.help = Banner("trainingHelp", "hint", self)
        self.warning.hide()
        self.help.hide()
        self.status = QLabel(self)
        self.status.setObjectName("trainingStatus")
        self.status.setWordWrap(True)
        self.form = TrainingForm(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        column.addLayout(self._build_buttons())
        for widget in (self.banner, self.warning, self.help, self.status):
            column.addWidget(widget)
        column.addWidget(self._build_body(), 1)
        self._connect()
        self._refresh()

    def _build_buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        tr = self.tr
        self.start = self._button("start", tr("Start"), self.training_wanted.emit)
        self.start.setProperty("primary", True)
        self.start.setMinimumWidth(self.start.minimumWidth() + self.fontMetrics().height())
        self.pause = self._button("pause", tr("Pause"), self._work.pause)
        self.resume = self._button("resume", tr("Resume"), self._resume)
        self.cancel = self._button("cancel", tr("Cancel"), self._work.cancel)
        self.keep = self._button("keep", tr("Keep best"), self._work.keep_best)
        self.measure = self._button("estimate", tr("Estimate time"), self._work.estimate)
        for button in (self.start, self.pause, self.resume, self.cancel, self.keep):
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self.measure)
        self.help_button = QToolButton(self)
        self.help_button.setObjectName("trainingHelpButton")
        self.help_button.setText("?")
        self.help_button.setAccessibleName(tr("When is training worth it?"))
        self.help_button.setToolTip(tr("Say when training is worth it and what its curves mean."))
        self.help_button.setCheckable(True)
        self.help_button.setAutoRaise(True)
        self.help_button.toggled.connect(self._show_help)
        row.addWidget(self.help_button)
        return row

    def _button(self, name: str, text: str, slot: Callable[[], object]) -> QPushButton:
        button = QPushButton(text, self)
        button.setObjectName(f"training_{name}")
        button.setAccessibleName(text)
        # Narrower than the style would have it, so that the row fits beside both docks in a small window.
        button.setMinimumWidth(self.fontMetrics().horizontalAdvance(text) + self.fontMetrics().height() * 3 // 2)
        button.clicked.connect(lambda _=False: slot())
        return button

    def _build_body(self) -> QWidget:
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setObjectName("trainingSplitter")
        split.setChildrenCollapsible(False)
        self.form.show_settings(self._document.recipe.training, 1000, True, ())
        split.addWidget(FormColumn("trainingFormScroll", self.tr("Settings of the training"), self.form, split))
        split.addWidget(self._build_plots())
        split.setStretchFactor(1, 1)
        split.setSizes([1, 1000])
        return split

    def _build_plots(self) -> QWidget:
        tr = self.tr
        self.loss = CurvePlot(
            self._theme,
            "lossPlot",
            tr("Loss over the steps"),
            tr("Line: batches; dots: validation samples."),
            tr("loss"),
        )
        self.score = CurvePlot(
            self._theme,
            "scorePlot",
            tr("Score of the fake-quantized model over the steps"),
            tr("Line: batches; dots: validation samples; the two levels are float and static int8."),
            tr("accuracy"),
        )
        self.gradient = CurvePlot(
            self._theme,
            "gradientPlot",
            tr("Gradient norm over the steps"),
            tr("Euclidean norm of all gradients; it should fall or stay, not grow."),
            tr("gradient norm"),
        )
        self.track = RangeTrackPlot(self._theme)
        self.legend = QLabel(self)
        self.legend.setObjectName("trainingLegend")
        self.legend.setProperty("faint", True)
        self.legend.setWordWrap(True)
        self._titles = [QLabel(text, self) for text in (tr("Loss"), tr("Score"), tr("Gradient norm"), tr("Range"))]
        for title in self._titles:
            title.setWordWrap(True)
        return PlotGrid(self.legend, list(zip(self._titles, self.plots, strict=True)), self)

    @property
    def plots(self) -> tuple[CurvePlot, CurvePlot, CurvePlot, RangeTrackPlot]:
        """The four plots."""
        return self.loss, self.score, self.gradient, self.track

    def _connect(self) -> None:
        document, work = self._document, self._work
        for signal in (
            document.recipe_changed,
            document.data_changed,
            document.model_changed,
            document.statistics_changed,
            self._watch.state_changed,
            work.checkpoint_changed,
        ):
            signal.connect(self._refresh_later.ask)
        self._watch.changed.connect(self._draw)
        work.estimated.connect(self._take_estimate)
        self.form.decided.connect(lambda settings, text, key: document.change_training(text, settings, key))
        document.statistics_changed.connect(self._forget_tensor)
        document.model_changed.connect(self._forget_tensor)

    # What is asked

    def set_available(self, reason: str) -> None:
        """Say why training is not possible now; empty where it is."""
        self._why_not = reason
        self._refresh()

    def show_layers(self, names: tuple[str, ...]) -> None:
        """Show the range of the first selected layer."""
        self._layer = names[0] if names else ""
        self._forget_tensor()
        self._draw()

    def _resume(self) -> None:
        if self._watch.state in {TrainingState.PAUSED, TrainingState.PAUSING}:
            settings = self._watch.settings
            change = self.form.steering(settings.at(self._watch.step)) if settings is not None else None
            self._work.resume(change)
        else:
            self._work.start(resume=True)

    def _take_estimate(self, estimate: TrainingEstimate | None) -> None:
        self._estimate = estimate
        self._tell_status()

    def _forget_tensor(self) -> None:
        self._shown_tensor = ""

    # What is shown

    def _refresh(self) -> None:
        document, watch = self._document, self._watch
        data, machine = document.data, document.machine
        train, _ = parts(self._usable_samples(), document.recipe.training)
        devices = machine.devices if machine is not None else ("cpu",)
        paused = watch.state is TrainingState.PAUSED
        if not paused:
            labelled = data.labelled if data is not None else False
            self.form.show_settings(document.recipe.training, train, labelled, devices)
        running = self.tr("The training runs: pause it to change learning rate and freezing.")
        resting = self.tr("Only learning rate and freezing can be changed while the training is paused.")
        held = watch.settings.at(watch.step) if watch.settings is not None else None
        steering = None
        if paused and held is not None:
            steering = Training(
                learning_rate=held.learning_rate,
                freeze_observers=held.freeze_observers,
                freeze_batch_norm=held.freeze_batch_norm,
            )
        reason = (resting if paused else running) if watch.running else ""
        self.form.set_editable(reason, steering)
        self._allow()
        self._tell_status()
        self._tell_checkpoint()
        self._draw()

    def _usable_samples(self) -> int:
        """Return how many samples are not evaluated."""
        data = self._document.data
        if data is None:
            return 1
        if self._document.recipe.data.overlap:
            return data.calibration
        return max(data.samples - data.evaluation, data.calibration, 1)

    def _allow(self) -> None:
        """Enable the buttons that can do something, and let the others say why they cannot."""
        tr, watch, work = self.tr, self._watch, self._work
        none = tr("No training runs.")
        state = watch.state
        resting = state in {TrainingState.PAUSED, TrainingState.PAUSING}
        found = work.checkpoint
        going_on = found is not None and not found.complete and not watch.running
        reasons = {
            self.start: (tr("A training runs."), tr("Train from the calibrated ranges."))
            if watch.running
            else (self._why_not, tr("Train from the calibrated ranges; a checkpoint of the same recipe is replaced.")),
            self.pause: (
                "" if state is TrainingState.RUNNING else tr("It rests already.") if resting else none,
                tr("Let the training rest after its present step."),
            ),
            self.resume: (
                "" if resting else self._why_not_resume(going_on, none),
                tr("Go on with the paused training, or with the last epoch of an interrupted one."),
            ),
            self.cancel: (
                "" if watch.running else none,
                tr("Stop within three seconds; the best state so far can be kept."),
            ),
            self.keep: (
                self._why_not_keep(),
                tr("End the training, take its best state and convert it."),
            ),
            self.measure: (
                tr("The training runs; it tells the time left itself.") if watch.running else self._why_not,
                tr("Measure a few steps and say how long the training will take."),
            ),
        }
        for button, (reason, tip) in reasons.items():
            button.setEnabled(not reason)
            button.setToolTip(reason or tip)

    def _why_not_resume(self, going_on: bool, none: str) -> str:
        if self._watch.running:
            return self.tr("The training is not paused.")
        if not going_on:
            return self.tr("No training is paused, and none of this recipe was interrupted.")
        return self._why_not

    def _why_not_keep(self) -> str:
        watch, found = self._watch, self._work.checkpoint
        if watch.running:
            return "" if watch.references is not None else self.tr("There is no state yet.")
        if found is None:
            return self.tr("There is no training of this recipe whose best state could be kept.")
        if watch.state is TrainingState.ENDED:
            return self.tr("The best state is in the quantized model already.")
        return self._why_not

    def _tell_status(self) -> None:
        self.status.setText(self._status())
        self.status.setAccessibleName(self.status.text())

    def _status(self) -> str:
        tr, watch = self.tr, self._watch
        if watch.running and watch.total:
            place = tr("Epoch {epoch} of {epochs}, step {step} of {total}").format(
                epoch=min(watch.epoch + 1, watch.epochs), epochs=watch.epochs, step=watch.step, total=watch.total
            )
            if watch.state is TrainingState.PAUSED:
                return tr("Paused. {place}. Learning rate and freezing can be changed now.").format(place=place)
            if watch.state is TrainingState.PAUSING:
                return tr("Pausing after this step. {place}.").format(place=place)
            left = watch.seconds_left
            rest = tr(", {time} left").format(time=formatting.duration(left)) if left is not None else ""
            return f"{place}{rest}. {self._best()}"
        if watch.running:
            return tr("Scoring the float model, static int8 and the start…")
        if watch.state is TrainingState.ENDED and watch.outcome is not None:
            outcome = watch.outcome
            one = tr("1 epoch in {time}, the state of epoch {best} was taken and converted.")
            many = tr("{count} epochs in {time}, the state of epoch {best} was taken and converted.")
            text = (one if outcome.records[-1].epoch == 1 else many).format(
                count=outcome.records[-1].epoch, time=formatting.duration(outcome.seconds), best=outcome.best
            )
            return f"{text} {outcome.check.sentence if outcome.check else ''}"
        if watch.state is TrainingState.STOPPED:
            stopped = self._work.problem or tr("The training was stopped.")
            return f"{stopped} {self._best()}"
        return self._expectation()

    def _best(self) -> str:
        watch = self._watch
        if watch.references is None or not watch.records or watch.best >= len(watch.records):
            return ""
        best = watch.records[watch.best]
        score = told_score(watch.references.name, best.score)
        where = self.tr("the start") if watch.best == 0 else self.tr("epoch {number}").format(number=watch.best)
        return self.tr("Best so far: {where}, {name} {score}, output SQNR {ratio}.").format(
            where=where, name=score_name(watch.references.name), score=score, ratio=formatting.decibel(best.sqnr_db)
        )

    def _expectation(self) -> str:
        found = self._estimate
        if found is not None:
            text = self.tr("About {time}: {epochs} epochs of {steps} steps on {samples} samples, {held} validate.")
            settings = found.settings
            return text.format(
                time=formatting.duration(found.seconds),
                epochs=settings.epochs,
                steps=found.steps // max(settings.epochs, 1),
                samples=found.samples,
                held=found.validation,
            )
        if self._document.data is None or not self._document.trains:
            return ""
        train, held = parts(self._usable_samples(), self._document.recipe.training)
        return self.tr("{train} samples to train, {held} to validate; none of them is evaluated later.").format(
            train=train, held=held
        )

    def _tell_checkpoint(self) -> None:
        document, watch, found = self._document, self._watch, self._work.checkpoint
        outcome = watch.outcome if watch.state is TrainingState.ENDED else None
        causes = outcome.check.causes if outcome is not None and outcome.check is not None else ()
        self.warning.tell(" ".join(causes))
        missing = reasons_against(document, "").get(ActionId.TRAIN, "")
        if missing and not watch.running:
            if self._trainable():
                tip = self.tr("Give mode qat to every layer with weights that can be trained.")
                self.banner.tell(missing, self.tr("Train all layers"), tip, self._train_all)
            else:
                self.banner.tell(missing)
        elif found is not None and not found.complete and watch.state in {TrainingState.IDLE, TrainingState.STOPPED}:
            text = self.tr("A training of this recipe was interrupted after epoch {epoch} of {epochs}.")
            self.banner.tell(text.format(epoch=found.epoch, epochs=found.settings.epochs))
            if watch.state is TrainingState.IDLE and not watch.records:
                watch.show_checkpoint(found)
        else:
            self.banner.tell("")

    def _trainable(self) -> list[str]:
        """Return the layers that could be trained, where data is there and none is chosen yet."""
        document = self._document
        if document.data is None or document.model is None or document.trains:
            return []
        backend = document.recipe.backend
        weighted = (layer for layer in document.model.layers if legality.has_weight(layer))
        return [layer.name for layer in weighted if not legality.mode_reasons(layer, backend)[Mode.QAT]]

    def _train_all(self) -> None:
        edit = decisions.mode_edit(Mode.QAT, self._document.recipe.backend)
        self._document.decide(self.tr("Train all layers"), self._trainable(), edit)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh_later.ask()

    def _draw(self) -> None:
        watch = self._watch
        if not self.isVisible():
            return
        epochs = [(float(r.step), r) for r in watch.records]
        end = float(watch.total)
        self.loss.show_curve(watch.loss, [(step, r.validation_loss) for step, r in epochs], (), end)
        self.gradient.show_curve(watch.gradient, [], (), end)
        lines: list[Line] = []
        found = watch.references
        percent = found is None or found.name != "SQNR"
        factor = 100.0 if percent else 1.0
        if found is not None:
            if found.float_score is not None:
                lines.append(Line(found.float_score * factor, self.tr("float"), False))
            if found.static_score is not None:
                lines.append(Line(found.static_score * factor, self.tr("static int8"), True))
        self._draw_score([(step, r.score * factor) for step, r in epochs], lines, end, percent)
        self._name_plots()
        self._draw_track()
        if watch.running:
            self._tell_status()

    def _draw_score(self, points: list[tuple[float, float]], lines: list[Line], end: float, percent: bool) -> None:
        found = self._watch.references
        name = score_name(found.name if found is not None else "accuracy")
        self.score.name_values(self.tr("{name} in %").format(name=name) if percent else self.tr("SQNR in dB"))
        most = 100.0 if percent else None
        self.score.show_curve(self._watch.score.scaled(100.0), points, lines, end, most)

    def _name_plots(self) -> None:
        tr = self.tr
        found = self._watch.references
        self.legend.setText(tr("——  batches     ●  validation     – –  float     · · ·  static int8"))
        names = {"accuracy": tr("Accuracy"), "agreement": tr("Agreement with the float model"), "SQNR": tr("SQNR")}
        self._titles[1].setText(names[found.name] if found is not None else tr("Score"))
        layer = formatting.short_path(self._layer)
        self._titles[3].setText(tr("Range of {layer}").format(layer=layer) if layer else tr("Range"))

    def _draw_track(self) -> None:
        document = self._document
        layer = document.layer(self._layer) if self._layer else None
        owner = document.owner_of(layer) if layer is not None else None
        if layer is None or owner is None:
            self.track.show_nothing(self.tr("Select a layer with an int8 output."))
            return
        if document.ranges is None:
            self.track.show_nothing(self.tr("Calibrate first."))
            return
        if self._shown_tensor != owner.name:
            try:
                counts, edges = ranges.histogram_of(document.ranges.distribution(owner.name), _BINS)
            except QguiError as error:
                self.track.show_nothing(error.why)
                return
            self.track.show_histogram(counts, edges)
            self._shown_tensor = owner.name
        track = self._watch.ranges.get(owner.name)
        self.track.show_track(track)
        if track is not None and len(track.low):
            scale = formatting.number((track.high.means[-1] - track.low.means[-1]) / 255)
            text = self.tr("Range of {layer} · scale {scale}")
            self._titles[3].setText(text.format(layer=formatting.short_path(self._layer), scale=scale))

    def _show_help(self, wanted: bool) -> None:
        text = self.tr(
            "Try static int8 first: it takes seconds. Training is worth it where static loses more accuracy than you "
            "can spare and better observers or leaving a few layers float do not win it back. It needs some hundred "
            "samples like those of use, labels only for cross-entropy. Loss: the dots (validation) should fall with "
            "the line (batches); where the dots rise while the line falls, the best epoch lies before. Score: dots "
            "that climb from the static line towards the float line are the gain. Gradient norm: where it grows, the "
            "learning rate is too high. Range: both ends settle as the training ends. The guide says more (F1)."
        )
        self.help.tell(text if wanted else "")
