"""What each observer would do to the output of the selected layer, and the range that is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from qgui.core import legality, ranges
from qgui.core.errors import QguiError
from qgui.core.layers import Layer, Tensor
from qgui.core.plan import ActivationRanges, Choice
from qgui.core.qparams import activation_grid, qparams_of_range
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ActivationSetting, Mode, Observer, ObserverKind
from qgui.ui import decisions, formatting
from qgui.ui import settings as options
from qgui.ui.banner import Banner
from qgui.ui.choice_table import ChoiceTable
from qgui.ui.choices import observer_label
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.observer_table import ObserverModel
from qgui.ui.range_notes import mode_note, range_notes
from qgui.ui.ranges_plot import RangesPlot
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme

_BINS = 512


class RangesPanel(QWidget):
    """Histogram, observers and the chosen range of one activation.

    Signals:
        calibration_wanted: The person wants to calibrate from here.
        data_wanted: The person wants to open data from here.

    Args:
        document: Whose layers.
        theme: For the colours.
        settings: For the remembered axis.
        parent: Qt parent.
    """

    calibration_wanted = Signal()
    data_wanted = Signal()

    def __init__(self, document: Document, theme: Theme, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._settings = settings
        self._layer: Layer | None = None
        self._shown_tensor = ""
        self._choices: dict[ObserverKind, Choice] = {}
        self._waiting: list[ActivationSetting] = []
        self._fit_pending = False
        self.setObjectName("rangesPanel")
        self._later = Later(self._refresh, self)
        self._step = QTimer(self)
        self._step.setInterval(0)
        self._step.timeout.connect(self._choose_next)
        self.plot = RangesPlot(theme, self)
        self.model = ObserverModel(theme, self)
        self.table = ChoiceTable(self.model, "observerTable", self.tr("Observers"), 5, self)
        self._build(theme)
        self.plot.dragged.connect(self._on_dragged)
        self.plot.released.connect(self._on_released)
        self.table.adopted.connect(self._adopt)
        self.model.shown.connect(self.plot.set_visible)
        document.recipe_changed.connect(self._later.ask)
        document.statistics_changed.connect(self._later.ask)
        document.model_described.connect(self._on_described)
        self._refresh()

    def _build(self, theme: Theme) -> None:
        self.title = QLabel(self)
        self.title.setObjectName("rangesTitle")
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.facts = QLabel(self)
        self.facts.setObjectName("rangesFacts")
        self.facts.setProperty("faint", True)
        self.facts.setWordWrap(True)
        self.logarithmic = QCheckBox(self.tr("Log"), self)
        self.logarithmic.setObjectName("rangesLogarithmic")
        self.logarithmic.setAccessibleName(self.tr("Logarithmic counts"))
        self.logarithmic.setToolTip(self.tr("Count values on a logarithmic axis, so that rare values stay visible."))
        self.logarithmic.setChecked(self._settings.get(options.LOGARITHMIC))
        self.plot.set_logarithmic(self.logarithmic.isChecked())
        self.logarithmic.toggled.connect(self._on_logarithmic)
        self.reset = QToolButton(self)
        self.reset.setObjectName("rangesResetView")
        self.reset.setText(self.tr("Whole range"))
        self.reset.setAccessibleName(self.tr("Show the whole range"))
        self.reset.setToolTip(self.tr("Zoom out to the whole histogram."))
        self.reset.clicked.connect(self.plot.reset_view)
        self.banner = Banner("rangesBanner", "hint", self)
        self.note = QLabel(self)
        self.note.setObjectName("rangesNote")
        self.note.setWordWrap(True)
        self.note.setProperty("faint", True)
        self.empty = QWidget(self)
        self.empty.setObjectName("rangesEmpty")
        self.empty.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.logarithmic)
        head.addWidget(self.reset)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        layout.addLayout(head)
        for widget in (self.facts, self.banner):
            layout.addWidget(widget)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.table)
        layout.addWidget(self.note)
        layout.addWidget(self.empty, 1)

    # Showing

    def show_layers(self, names: Sequence[str]) -> None:
        """Show the first of the selected layers; a fused one leads to its head."""
        model = self._document.model
        heads = decisions.heads(model, names[:1]) if model is not None else []
        self._layer = heads[0] if heads else None
        self._later.ask()

    def _on_described(self) -> None:
        self.show_layers([self._layer.name] if self._layer is not None else [])

    def _tensor(self) -> Tensor | None:
        return self._document.tensor_of(self._layer) if self._layer is not None else None

    def _refresh(self) -> None:
        self._waiting.clear()
        self._step.stop()
        problem = self._problem()
        plotted = not problem
        for widget in (self.plot, self.table, self.logarithmic, self.reset, self.facts):
            widget.setVisible(plotted)
        self.empty.setVisible(not plotted)
        self.title.setText(self._title())
        self.note.setText("\n".join(self._notes()) if plotted else "")
        self.note.setVisible(bool(self.note.text()))
        tensor, calculated = self._tensor(), self._document.ranges
        if plotted and tensor is not None and calculated is not None:
            self.banner.hide()
            self._show_statistics(calculated, tensor)
            self._begin_choosing(calculated, tensor)
        else:
            self._shown_tensor = ""

    def _title(self) -> str:
        if self._layer is None:
            return self.tr("Ranges")
        return self.tr("Output of {layer}").format(layer=self._layer.name)

    def _problem(self) -> bool:
        """Say in the banner what keeps ranges from being shown; return whether something does."""
        layer, tensor = self._layer, self._tensor()
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
        return f"{hint} {self.tr('Calibrate only if you want to see how the output is spread.')}"

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
        if self._layer is None or self._tensor() is None:
            return []
        rule = self._document.recipe.rule(self._layer.name)
        notes = [*filter(None, [mode_note(rule.mode)]), *range_notes(self._document, self._layer)]
        if self._document.ranges is not None and self._adjustable():
            notes.append(self.tr("Drag the shaded range or one of its edges to fix it by hand; Ctrl+Z takes it back."))
        return notes

    def _show_statistics(self, calculated: ActivationRanges, tensor: Tensor) -> None:
        owner = calculated.owner(tensor.name)
        if self._shown_tensor != owner.name:
            counts, edges = ranges.histogram_of(calculated.distribution(tensor.name), _BINS)
            self.plot.show_choices([], None)
            self.plot.show_histogram(counts, edges)
            self._shown_tensor = owner.name
            self._fit_pending = True
        seen = calculated.statistics(tensor.name)
        facts = [
            self.tr("{count} values").format(count=formatting.count(seen.elements)),
            self.tr("{low} to {high}").format(
                low=formatting.number(seen.minimum), high=formatting.number(seen.maximum)
            ),
            self.tr("mean {mean}").format(mean=formatting.number(seen.mean)),
        ]
        if seen.zeros > 0:
            facts.append(self.tr("{share} exact zeros, not drawn").format(share=formatting.percent(seen.zeros)))
        if seen.nan or seen.infinite:
            facts.append(self.tr("{count} NaN or infinite, left out").format(count=seen.nan + seen.infinite))
        if seen.highest:
            samples = ", ".join(f"#{extreme.sample}" for extreme in seen.highest[:3])
            facts.append(self.tr("greatest in samples {samples}").format(samples=samples))
        self.facts.setText(" · ".join(facts))

    # The observers, one for each turn of the event loop

    def _begin_choosing(self, calculated: ActivationRanges, tensor: Tensor) -> None:
        setting = calculated.setting(tensor.name, self._document.recipe)
        self._choices = {}
        if calculated.owner(tensor.name).fixed is not None:
            self._waiting = [setting]
        else:
            observers = {kind: Observer(kind) for kind in AUTOMATIC_OBSERVERS}
            observers[setting.observer.kind] = setting.observer
            self._waiting = [msgspec.structs.replace(setting, observer=observer) for observer in observers.values()]
        self._step.start()

    def _choose_next(self) -> None:
        calculated, tensor = self._document.ranges, self._tensor()
        if not self._waiting or calculated is None or tensor is None:
            self._step.stop()
            self._show_choices()
            return
        setting = self._waiting.pop(0)
        try:
            self._choices[setting.observer.kind] = calculated.choice(tensor.name, setting)
        except QguiError as error:
            self.banner.tell(f"{error.what}: {error.why}. {error.next_step}")

    def _adjustable(self) -> bool:
        layer = self._layer
        owner = self._document.owner_of(layer) if layer is not None else None
        return layer is not None and owner is not None and owner.fixed is None and legality.has_activation(layer)

    def _show_choices(self) -> None:
        calculated, tensor = self._document.ranges, self._tensor()
        if calculated is None or tensor is None:
            return
        used = calculated.setting(tensor.name, self._document.recipe).observer.kind
        choices = list(self._choices.values())
        self.plot.show_choices(choices if self._adjustable() else [], used)
        self.model.show_choices(choices, used, self._adjustable())
        chosen = self._choices.get(used)
        self.plot.show_region(chosen.qparams if chosen else None, self._adjustable())
        if self._fit_pending:
            self._fit_pending = False
            self.plot.reset_view()

    # Deciding

    def _fixed(self, low: float, high: float) -> ActivationSetting | None:
        calculated, tensor = self._document.ranges, self._tensor()
        if calculated is None or tensor is None or not low < high:
            return None
        setting = calculated.setting(tensor.name, self._document.recipe)
        return msgspec.structs.replace(setting, observer=Observer(ObserverKind.FIXED, low=low, high=high))

    def _on_dragged(self, low: float, high: float) -> None:
        """Show live what the dragged range costs."""
        setting, calculated, tensor = self._fixed(low, high), self._document.ranges, self._tensor()
        if setting is None or calculated is None or tensor is None:
            return
        qparams = qparams_of_range(low, high, activation_grid(setting))
        cost = ranges.assess(calculated.distribution(tensor.name), qparams)
        live = Choice(setting.observer, qparams, cost.sqnr_db, cost.clipped)
        others = [choice for kind, choice in self._choices.items() if kind is not ObserverKind.FIXED]
        self.model.show_choices([*others, live], ObserverKind.FIXED, True)
        self.plot.show_levels(qparams)

    def _on_released(self, low: float, high: float) -> None:
        setting = self._fixed(low, high)
        if setting is not None:
            self._decide(setting.observer, self.tr("Drag range"))

    def _adopt(self, row: int) -> None:
        choice = self.model.choice(row)
        if self._adjustable():
            name = observer_label(choice.observer.kind)
            self._decide(choice.observer, self.tr("Observer {name}").format(name=name))

    def _decide(self, observer: Observer, text: str) -> None:
        if self._layer is not None:
            owners = self._document.range_owners([self._layer.name])
            self._document.decide(text, owners, decisions.activation_observer_edit(observer))

    def _on_logarithmic(self, logarithmic: bool) -> None:
        self._settings.set(options.LOGARITHMIC, logarithmic)
        self.plot.set_logarithmic(logarithmic)
