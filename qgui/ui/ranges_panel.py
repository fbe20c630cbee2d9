"""What each observer would do to the output of the selected layer, and the range that is used."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from qgui.core import decisions, legality, ranges
from qgui.core.errors import QguiError
from qgui.core.layers import Layer, Tensor
from qgui.core.plan import ActivationRanges, Choice
from qgui.core.recipe import ActivationSetting, Mode, Observer, ObserverKind, observer_name
from qgui.ui import formatting
from qgui.ui import settings as options
from qgui.ui.banner import Banner
from qgui.ui.best_observers import BestButton, BestObservers, adjustable_owners
from qgui.ui.document import Document
from qgui.ui.histogram_table import HistogramModel, HistogramTable
from qgui.ui.idle import Idle
from qgui.ui.later import Later
from qgui.ui.observer_table import ObserverModel, ObserverTable
from qgui.ui.range_drag import Bounds
from qgui.ui.range_files import RangeFiles
from qgui.ui.range_notes import mode_note, range_notes
from qgui.ui.range_readout import RangeReadout
from qgui.ui.ranges_plot import RangesPlot
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme

_BINS = 512
#: Rows of the histogram as a table.
_ROWS = 64
#: What is still to be chosen after this time waits for the next turn of the event loop.
_TURN_S = 0.03


class RangesPanel(QWidget):
    """Histogram, observers and the chosen range of one activation.

    Signals:
        calibration_wanted: The person wants to calibrate from here.
        data_wanted: The person wants to open data from here.
        step_wanted: 1 for the next layer, -1 for the one before.
        layer_shown: The `Layer` whose histogram is drawn, None where there is none.

    Args:
        document: Whose layers.
        theme: For the colours.
        settings: For the remembered axis.
        parent: Qt parent.
        idle: Where ranges are computed ahead; by default one of its own.
    """

    calibration_wanted = Signal()
    data_wanted = Signal()
    step_wanted = Signal(int)
    layer_shown = Signal(object)

    def __init__(
        self,
        document: Document,
        theme: Theme,
        settings: Settings,
        parent: QWidget | None = None,
        idle: Idle | None = None,
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._settings = settings
        self._layer: Layer | None = None
        self._selected: tuple[str, ...] = ()
        self._shown_tensor = ""
        self._shown_ranges: ActivationRanges | None = None
        self._choices: dict[ObserverKind, Choice] = {}
        self._waiting: list[ActivationSetting] = []
        self._fit_pending = False
        self._nudges = itertools.count()
        self._nudge = 0
        self._ahead: Iterator[None] | None = None
        self.setObjectName("rangesPanel")
        self.idle = idle or Idle(self)
        self._later = Later(self._refresh, self)
        self._choose_later = Later(self._show_chosen, self)
        self._choosing = Later(self._choose, self)
        self.best = BestObservers(document, self.idle, self)
        self.plot = RangesPlot(theme, self)
        self.readout = RangeReadout(theme, self)
        self.model = ObserverModel(theme, self)
        self.table = ObserverTable(self.model, self)
        self.bins = HistogramModel(self)
        self.bins_table = HistogramTable(self.bins, self)
        self.files = RangeFiles(document, self.plot, settings, self.idle, self._shown, self)
        self._build()
        self._connect()
        self._refresh()

    def _build(self) -> None:
        self.title = QLabel(self)
        self.title.setObjectName("rangesTitle")
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.facts = self._words("rangesFacts")
        self.facts.setWordWrap(False)
        # One line whatever is said, so that the plot keeps its size while the person steps through the layers.
        self.facts.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.logarithmic = QCheckBox(self.tr("Log scale"), self)
        self.logarithmic.setObjectName("rangesLogarithmic")
        self.logarithmic.setAccessibleName(self.tr("Logarithmic counts"))
        self.logarithmic.setToolTip(self.tr("Count values on a logarithmic axis, so that rare values stay visible."))
        self.logarithmic.setChecked(self._settings.get(options.LOGARITHMIC))
        self.plot.set_logarithmic(self.logarithmic.isChecked())
        self.reset = QToolButton(self)
        self.reset.setObjectName("rangesResetView")
        self.reset.setText(self.tr("Whole range"))
        self.reset.setAccessibleName(self.tr("Show the whole range"))
        self.reset.setToolTip(self.tr("Zoom out to the whole histogram."))
        self.banner = Banner("rangesBanner", "hint", self)
        self.said = QLabel(self)
        self.said.setObjectName("rangesSaid")
        self.said.setWordWrap(True)
        self.said.hide()
        self.note = self._words("rangesNote")
        self.hint = self._words("rangesHint")
        self.hint.setText(
            self.tr(
                "Drag the range or its edges, type its bounds, or press ← → in the plot (Shift: lower bound, "
                "Ctrl: ten steps). Ctrl+Z takes it back."
            )
        )
        self.empty = QWidget(self)
        self.empty.setObjectName("rangesEmpty")
        self.empty.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.best_button = BestButton(self.best, self._document, lambda: self._selected, self)
        self.head = QHBoxLayout()
        self.head.addWidget(self.title, 1)
        self.as_table = QToolButton(self)
        self.as_table.setObjectName("rangesAsTable")
        self.as_table.setText(self.tr("Table"))
        self.as_table.setAccessibleName(self.tr("Histogram as a table"))
        self.as_table.setToolTip(self.tr("Show the histogram as a table instead of the plot."))
        self.as_table.setCheckable(True)
        self.files_button = self.files.button()
        self.head.addWidget(self.files_button)
        self.head.addWidget(self.as_table)
        self.head.addWidget(self.logarithmic)
        self.head.addWidget(self.reset)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 8, 8, 8)
        self._column.setSpacing(6)
        self._column.addLayout(self.head)
        self._column.addWidget(self.facts)
        self._column.addWidget(self.banner)
        self._column.addWidget(self.plot, 1)
        self._column.addWidget(self.bins_table, 1)
        for below in (self.readout, self.table, self.note):
            self._column.addWidget(below)
        foot = QHBoxLayout()
        foot.addWidget(self.said, 1)
        foot.addWidget(self.hint, 1)
        foot.addWidget(self.best_button, 0, Qt.AlignmentFlag.AlignTop)
        self._column.addLayout(foot)
        self._column.addWidget(self.empty, 1)

    def _words(self, name: str) -> QLabel:
        label = QLabel(self)
        label.setObjectName(name)
        label.setProperty("faint", True)
        label.setWordWrap(True)
        return label

    def _connect(self) -> None:
        plot, document = self.plot, self._document
        plot.dragged.connect(self._on_dragged)
        plot.released.connect(self._on_released)
        plot.drag_cancelled.connect(self._show_choices)
        plot.nudged.connect(self._on_nudged)
        plot.stepped.connect(self.step_wanted)
        self.readout.typed.connect(self._on_typed)
        self.table.adopted.connect(self._adopt)
        self.table.adopted_for_more.connect(self._adopt_for_more)
        self.model.shown.connect(plot.set_visible)
        self.logarithmic.toggled.connect(self._on_logarithmic)
        self.reset.clicked.connect(plot.reset_view)
        self.as_table.toggled.connect(lambda _: self._show_plot_or_table(self.readout.isVisible()))
        self.files.done.connect(self._say)
        self.files.failed.connect(lambda sentence: self._say(sentence, bad=True))
        self.best.ended.connect(self._say)
        document.recipe_changed.connect(self._later.ask)
        document.statistics_changed.connect(self._on_statistics)
        document.model_described.connect(self._on_described)

    def add_below(self, widget: QWidget) -> None:
        """Put a widget between the plot and the numbers of the range."""
        self._column.insertWidget(self._column.indexOf(self.readout), widget)

    @property
    def tensor(self) -> Tensor | None:
        """The tensor whose range is shown, None where there is none."""
        return self._document.tensor_of(self._layer) if self._layer is not None else None

    # Showing

    def show_layers(self, names: Sequence[str]) -> None:
        """Show the first of the selected layers; a fused one leads to its head."""
        model = self._document.model
        self._selected = tuple(names)
        heads = decisions.heads(model, names[:1]) if model is not None else []
        layer = heads[0] if heads else None
        if layer != self._layer:
            self.plot.cancel_drag()
            self._say("")
        self._layer = layer
        self._nudge = next(self._nudges)
        self.table.set_selected(len(decisions.heads(model, names)) if model is not None else 0)
        self.idle.rest()
        self._later.ask()

    def _on_described(self) -> None:
        self.show_layers([self._layer.name] if self._layer is not None else [])

    def _on_statistics(self) -> None:
        self.plot.cancel_drag()
        self.best.stop()
        self.idle.drop(self._ahead)
        if self._document.ranges is not None:
            self._ahead = self._choose_ahead(self._document.ranges)
            self.idle.add(self._ahead)
        self._later.ask()

    def _choose_ahead(self, calculated: ActivationRanges) -> Iterator[None]:
        """Compute what every observer chooses for every tensor, so that stepping through the layers does not wait."""
        for tensor in adjustable_owners(self._document).values():
            for setting in calculated.candidates(tensor, calculated.setting(tensor, self._document.recipe)):
                if self._document.ranges is not calculated:
                    return
                try:
                    calculated.choice(tensor, setting)
                except QguiError:
                    break
                yield

    def _refresh(self) -> None:
        self._waiting.clear()
        if self.plot.dragging:
            self.plot.cancel_drag()
        problem = self._problem()
        plotted = not problem
        first = plotted and self.table.isHidden()
        shown = (self.readout, self.table, self.logarithmic, self.reset, self.facts, self.as_table, self.files_button)
        for widget in shown:
            widget.setVisible(plotted)
        self._show_plot_or_table(plotted)
        self.best_button.setVisible(self._document.ranges is not None)
        self.empty.setVisible(not plotted)
        self.title.setText(self._title())
        self.title.setToolTip(self._title())
        self._show_words(plotted)
        tensor, calculated = self.tensor, self._document.ranges
        if plotted and tensor is not None and calculated is not None:
            self.banner.hide()
            self._show_statistics(calculated, tensor)
            self._choices = {}
            self._waiting = calculated.candidates(tensor.name, calculated.setting(tensor.name, self._document.recipe))
        else:
            self._shown_tensor = ""
        if first:
            # Laying all of it out for the first time is work enough for one turn of the event loop.
            self._choose_later.ask()
        else:
            self._show_chosen()

    def _show_chosen(self) -> None:
        plotted = bool(self._shown_tensor)
        if plotted:
            self._choose()
        self.layer_shown.emit(self._layer if plotted else None)

    def _show_plot_or_table(self, plotted: bool) -> None:
        table = self.as_table.isChecked()
        self.plot.setVisible(plotted and not table)
        self.bins_table.setVisible(plotted and table)
        self.logarithmic.setEnabled(not table)
        self.reset.setEnabled(not table)

    def _shown(self) -> tuple[str, str]:
        """Return the title and the name of the tensor that is shown."""
        return self._title(), self.tensor.name if self.tensor is not None else ""

    def _title(self) -> str:
        if self._layer is None:
            return self.tr("Ranges")
        return self.tr("Output of {layer}").format(layer=self._layer.name)

    def _problem(self) -> bool:
        """Say in the banner what keeps ranges from being shown; return whether something does."""
        layer, tensor = self._layer, self.tensor
        if layer is None:
            self.banner.tell(self.tr("Select a layer on the left to see the range of its output."))
        elif tensor is None:
            self.banner.tell(self._why_no_tensor(layer))
        elif self._document.ranges is not None:
            try:
                self._document.ranges.distribution(tensor.name)
            except QguiError as error:
                self.banner.tell(f"{error.what}: {error.why}. {error.next_step}")
                return True
            return False
        elif self._document.recipe.rule(layer.name).mode is Mode.DYNAMIC:
            self.banner.tell(self._dynamic_hint(), *self._dynamic_offer())
        elif self._document.data is None:
            self.banner.tell(
                self.tr("Ranges come from data: open some, then calibrate."),
                self.tr("Open data…"),
                self.tr("Choose the data with which to calibrate."),
                self.data_wanted.emit,
            )
        else:
            self.banner.tell(
                self.tr("Calibrate once to see what every observer would choose here."),
                self.tr("Calibrate"),
                self.tr("Run the calibration samples through the model once."),
                self.calibration_wanted.emit,
            )
        return True

    def _dynamic_hint(self) -> str:
        hint = self.tr("Dynamic: the range of the input is computed for each batch at run time.")
        if self._document.data is None:
            return hint
        return " ".join((hint, self.tr("Calibrate only if you want to see how the output is spread.")))

    def _dynamic_offer(self) -> tuple[str, str, Callable[[], object] | None]:
        if self._document.data is None:
            return "", "", None
        tip = self.tr("Run the calibration samples through the model once.")
        return self.tr("Calibrate"), tip, self.calibration_wanted.emit

    def _why_no_tensor(self, layer: Layer) -> str:
        if layer.kind == "inside":
            return self.tr("{layer} lies in a part that does not trace; its ranges are found while running.").format(
                layer=layer.name
            )
        return self.tr("The output of {layer} is no tensor that quantization observes.").format(layer=layer.name)

    def _notes(self) -> list[str]:
        if self._layer is None or self.tensor is None:
            return []
        rule = self._document.recipe.rule(self._layer.name)
        return [*filter(None, [mode_note(rule.mode)]), *range_notes(self._document, self._layer)]

    def _show_words(self, plotted: bool) -> None:
        """Show what is known of the range; below it what was said last, else how the range is moved."""
        self.note.setText("\n".join(self._notes()) if plotted else "")
        self.note.setVisible(bool(self.note.text()))
        said = bool(self.said.text())
        self.said.setVisible(said)
        self.hint.setVisible(plotted and not said and self._adjustable())

    def _show_statistics(self, calculated: ActivationRanges, tensor: Tensor) -> None:
        owner = calculated.owner(tensor.name)
        if self._shown_tensor != owner.name or self._shown_ranges is not calculated:
            counts, edges = ranges.histogram_of(calculated.distribution(tensor.name), _BINS)
            self.plot.show_histogram(counts, edges)
            self.bins.show_histogram(*ranges.histogram_of(calculated.distribution(tensor.name), _ROWS))
            self._shown_tensor, self._shown_ranges = owner.name, calculated
            self._fit_pending = True
        seen = calculated.statistics(tensor.name)
        facts = [
            self.tr("{count} values").format(count=formatting.count(seen.elements)),
            self.tr("{low} to {high}").format(
                low=formatting.number(seen.minimum), high=formatting.number(seen.maximum)
            ),
            self.tr("mean {mean}").format(mean=formatting.number(seen.mean)),
        ]
        if seen.minimum == seen.maximum:
            value = formatting.number(seen.minimum)
            facts[1:] = [self.tr("all the same, {value}: any range that holds it loses nothing").format(value=value)]
        elif seen.zeros > 0:
            facts.append(self.tr("{share} exact zeros, not drawn").format(share=formatting.percent(seen.zeros)))
        if seen.nan or seen.infinite:
            facts.append(self.tr("{count} NaN or infinite, left out").format(count=seen.nan + seen.infinite))
        if seen.highest:
            facts.append(self.tr("greatest in sample #{sample}").format(sample=seen.highest[0].sample))
        self.facts.setText(" · ".join(facts))
        self.facts.setToolTip(self.facts.text())

    # The observers

    def _choose(self) -> None:
        """Compute what observers choose, as much as fits into one turn of the event loop, then show it."""
        calculated, tensor = self._document.ranges, self.tensor
        if calculated is None or tensor is None:
            return
        until = time.perf_counter() + _TURN_S
        while self._waiting and time.perf_counter() < until:
            setting = self._waiting.pop(0)
            try:
                self._choices[setting.observer.kind] = calculated.choice(tensor.name, setting)
            except QguiError as error:
                self.banner.tell(f"{error.what}: {error.why}. {error.next_step}")
        if self._waiting:
            self._choosing.ask()
        else:
            self._show_choices()

    def _adjustable(self) -> bool:
        layer = self._layer
        owner = self._document.owner_of(layer) if layer is not None else None
        return layer is not None and owner is not None and owner.fixed is None and legality.has_activation(layer)

    def _show_choices(self) -> None:
        calculated, tensor = self._document.ranges, self.tensor
        if calculated is None or tensor is None:
            return
        setting = calculated.setting(tensor.name, self._document.recipe)
        used, choices = setting.observer.kind, list(self._choices.values())
        self.plot.show_choices(choices if self._adjustable() else [], used)
        self.model.show_choices(choices, used, self._adjustable())
        chosen = self._choices.get(used)
        bounds = Bounds.of(chosen) if chosen is not None and self._adjustable() else None
        self.plot.show_range(chosen, bounds)
        self.readout.show_choice(chosen, bounds, self.model.best)
        self.bins.show_bounds((float(chosen.qparams.low[0]), float(chosen.qparams.high[0])) if chosen else None)
        self.readout.setEnabled(chosen is not None)
        if self._fit_pending:
            self._fit_pending = False
            self.plot.reset_view()

    # Moving by hand

    def _by_hand(self, bounds: Bounds) -> Choice | None:
        """Return what bounds set by hand make of the tensor; None where there is nothing between them."""
        calculated, tensor = self._document.ranges, self.tensor
        if calculated is None or tensor is None or bounds.empty:
            return None
        wanted = bounds.observer()
        setting = calculated.setting(tensor.name, self._document.recipe)
        return calculated.choice_of_bounds(tensor.name, setting, wanted.low, wanted.high)

    def _on_dragged(self, low: float, high: float) -> None:
        """Show live what the dragged range costs."""
        self.idle.rest()
        bounds = Bounds(low, high)
        live = self._by_hand(bounds)
        self.plot.show_range(live, bounds)
        self.readout.show_choice(live, bounds, self.model.best)
        if live is not None:
            automatic = [choice for kind, choice in self._choices.items() if kind is not ObserverKind.FIXED]
            self.plot.show_choices([*automatic, live], ObserverKind.FIXED)
            self.model.show_by_hand(live)

    def _on_released(self, low: float, high: float) -> None:
        self._nudge = next(self._nudges)
        self._fix(Bounds(low, high), self.tr("Drag range"))

    def _on_nudged(self, lower: bool, steps: int) -> None:
        chosen = self._chosen()
        if chosen is None or not self._adjustable():
            return
        bounds = Bounds.of(chosen).moved(lower, steps * float(chosen.qparams.scale[0]))
        self._fix(bounds, self.tr("Move range"), f"rangesNudge{self._nudge}")

    def _on_typed(self, bounds: Bounds, key: str) -> None:
        self._fix(bounds, self.tr("Type range"), f"{key}{self._nudge}")

    def _chosen(self) -> Choice | None:
        """Return what the observer in use chooses now."""
        calculated, tensor = self._document.ranges, self.tensor
        if calculated is None or tensor is None:
            return None
        try:
            return calculated.choice(tensor.name, calculated.setting(tensor.name, self._document.recipe))
        except QguiError:
            return None

    def _fix(self, bounds: Bounds, text: str, key: str = "") -> None:
        """Fix the range by hand; one without room between its bounds is refused and nothing changes."""
        if bounds.empty:
            self._say(
                self.tr("A range needs its upper bound above its lower one: the range stays as it was."), bad=True
            )
            self._show_choices()
            return
        if bounds.holds_zero:
            self._say("")
        else:
            self._say(self.tr("Zero has to be one of the levels (padding, ReLU), so the range reaches to zero."))
        before = self._document.recipe
        self._decide(bounds.observer(), text, key)
        if self._document.recipe is before:
            self._show_choices()

    def _say(self, sentence: str, bad: bool = False) -> None:
        """Say something about the last thing that was done here."""
        if self.said.property("bad") != bad:
            self.said.setProperty("bad", bad)
            self.said.style().polish(self.said)
        self.said.setText(sentence)
        self._show_words(self.readout.isVisible())

    # Deciding

    def _adopt(self, row: int) -> None:
        choice = self.model.choice(row)
        if self._adjustable():
            self._say("")
            name = observer_name(choice.observer.kind)
            self._decide(choice.observer, self.tr("Observer {name}").format(name=name))

    def _adopt_for_more(self, row: int, every: bool) -> None:
        observer = self.model.choice(row).observer
        owners = list(adjustable_owners(self._document, None if every else self._selected))
        name = observer_name(observer.kind)
        before = self._document.recipe
        self._document.decide(
            self.tr("Observer {name}").format(name=name), owners, decisions.activation_observer_edit(observer)
        )
        changed = sum(rule != before.rules.get(layer) for layer, rule in self._document.recipe.rules.items())
        sentence = self.tr("{name} chooses the range of {count} tensors now; {changed} had another observer.")
        self._say(sentence.format(name=name, count=len(owners), changed=changed))

    def _decide(self, observer: Observer, text: str, key: str = "") -> None:
        if self._layer is not None:
            owners = self._document.range_owners([self._layer.name])
            self._document.decide(text, owners, decisions.activation_observer_edit(observer), key)

    def _on_logarithmic(self, logarithmic: bool) -> None:
        self._settings.set(options.LOGARITHMIC, logarithmic)
        self.plot.set_logarithmic(logarithmic)
