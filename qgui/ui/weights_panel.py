"""How the weight of the selected layer is spread, and what one scale per channel or per tensor makes of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from qgui.core import decisions, legality
from qgui.core.calibration import Pair
from qgui.core.errors import QguiError
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, Observer, ObserverKind, WeightSetting, observer_name
from qgui.ui import formatting, weight_file
from qgui.ui.banner import Banner
from qgui.ui.choice_table import ChoiceTable
from qgui.ui.document import Document
from qgui.ui.theme import Theme
from qgui.ui.weight_bound import WeightBound
from qgui.ui.weight_file import WeightRanges
from qgui.ui.weight_histogram import WeightHistogram
from qgui.ui.weight_table import WeightTableModel, scheme_of
from qgui.ui.weights_plots import ChannelOrder, ChannelPlot, ChannelSqnrPlot, order_of
from qgui.ui.workflow import Workflow

#: While the selection moves on, nothing is asked.
_SETTLE_MS = 120
_REMEMBERED = 32
#: Channels that set the range of the whole weight and are named.
_NAMED = 4


class WeightsPanel(QWidget):
    """Plots and choices for one weight.

    Args:
        document: Whose layers.
        workflow: Asks the worker for a weight.
        theme: For the colours.
        parent: Qt parent.
    """

    def __init__(self, document: Document, workflow: Workflow, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._workflow = workflow
        self._layer: Layer | None = None
        self._known: OrderedDict[str, WeightRanges] = OrderedDict()
        self._equalized = document.equalized
        self.setObjectName("weightsPanel")
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._ask)
        self.title = QLabel(self)
        self.title.setObjectName("weightsTitle")
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.facts = QLabel(self)
        self.facts.setObjectName("weightsFacts")
        self.facts.setProperty("faint", True)
        self.facts.setWordWrap(True)
        self.banner = Banner("weightsBanner", "hint", self)
        self._channel: int | None = None
        self.channels = ChannelPlot(theme, self)
        self.sqnr = ChannelSqnrPlot(theme, self)
        self.sqnr.setXLink(self.channels)
        self.histogram = WeightHistogram(theme, self)
        self.bound = WeightBound(self)
        self._build_order()
        self.model = WeightTableModel(theme, self)
        self.table = ChoiceTable(self.model, "weightTable", self.tr("Ranges of the weight"), 10, self)
        self.table.setAccessibleDescription(
            self.tr("What each way to quantize the weight gives; Enter takes the one in the current row.")
        )
        self.empty = QWidget(self)
        self.empty.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        drawn = QVBoxLayout()
        drawn.addWidget(self.shown)
        drawn.addWidget(self.histogram, 1)
        drawn.addWidget(self.bound)
        plots = QVBoxLayout()
        line = self.fontMetrics().height()
        for plot, lines in ((self.channels, 8), (self.sqnr, 6), (self.histogram, 7)):
            plot.setMinimumHeight(lines * line)
        plots.addWidget(self.channels, 5)
        plots.addWidget(self.sqnr, 3)
        plots.addLayout(drawn, 5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        for control in (self.order_label, self.order, self.whole):
            head.addWidget(control)
        layout.addLayout(head)
        for widget in (self.facts, self.banner):
            layout.addWidget(widget)
        layout.addLayout(plots, 1)
        layout.addWidget(self.table)
        layout.addWidget(self.empty, 1)
        self.table.adopted.connect(self._adopt)
        for plot in (self.channels, self.sqnr):
            plot.selected.connect(self.select_channel)
        self.histogram.dragged.connect(self._show_cost)
        self.histogram.released.connect(lambda bound: self._fix(bound, self.tr("Drag weight range")))
        self.histogram.nudged.connect(self._on_nudged)
        self.bound.typed.connect(lambda bound: self._fix(bound, self.tr("Type weight range")))
        self.bound.refused.connect(document.notice)
        self.bound.reset.connect(self._reset)
        self.bound.reset_all.connect(self._reset_all)
        document.model_changed.connect(self._known.clear)
        document.recipe_changed.connect(self._on_recipe_changed)
        self._refresh()

    def _build_order(self) -> None:
        self.order_label = QLabel(self.tr("Sort"), self)
        self.order = QComboBox(self)
        self.order.setObjectName("weightsOrder")
        self.order.setAccessibleName(self.tr("Order of the output channels"))
        self.order.setToolTip(self.tr("In which order the output channels stand in the plots."))
        for text, order in (
            (self.tr("by channel"), ChannelOrder.CHANNEL),
            (self.tr("by range, widest first"), ChannelOrder.RANGE),
            (self.tr("by SQNR per tensor, worst first"), ChannelOrder.SQNR),
        ):
            self.order.addItem(text, order)
        self.order.activated.connect(self._on_order)
        self.order_label.setBuddy(self.order)
        self.whole = QToolButton(self)
        self.whole.setObjectName("weightsWhole")
        self.whole.setText(self.tr("All channels"))
        self.whole.setAccessibleName(self.tr("Show all channels"))
        self.whole.setToolTip(self.tr("Show the histogram of the whole weight again."))
        self.whole.clicked.connect(lambda: self.select_channel(None))
        self.shown = QLabel(self)
        self.shown.setObjectName("weightsShown")

    def show_layers(self, names: Sequence[str]) -> None:
        """Show the weight of the first of the selected layers; a fused one leads to its head."""
        model = self._document.model
        heads = decisions.heads(model, names[:1]) if model is not None else []
        layer = heads[0] if heads else None
        if layer is None or self._layer is None or layer.name != self._layer.name:
            self._channel = None
        self._layer = layer
        self._refresh()
        self._settle.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._settle.start()

    def _ask(self) -> None:
        """Ask the worker for the weight, where one is to be seen and not known yet."""
        layer = self._layer
        if layer is None or not self.isVisible() or self._why_not(layer) or layer.name in self._known:
            return
        self.banner.tell(self.tr("Reading the weight of {layer} …").format(layer=layer.name))
        name = layer.name
        pairs = self._equalized
        self._workflow.weight_ranges(
            name, lambda path: self._take(name, pairs, path), lambda why: self._on_failed(name, why)
        )

    def _take(self, name: str, equalized: tuple[Pair, ...], path: Path) -> None:
        if equalized != self._equalized:
            return
        try:
            self._known[name] = weight_file.read(path)
        except QguiError as error:
            self._on_failed(name, str(error))
            return
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if self._layer is not None and self._layer.name == name:
            self._refresh()

    def _on_failed(self, name: str, why: str) -> None:
        if self._layer is not None and self._layer.name == name:
            self.banner.tell(why, self.tr("Try again"), self.tr("Ask the engine for the weight again."), self._ask)

    def _on_recipe_changed(self) -> None:
        if self._document.equalized != self._equalized:
            self._equalized = self._document.equalized
            self._known.clear()
            self._refresh()
            self._settle.start()
            return
        ranges = self._known.get(self._layer.name) if self._layer is not None else None
        if self._layer is None or ranges is None:
            return
        self.model.show_rule(self._document.recipe.rule(self._layer.name))
        self._show_facts(self._layer, ranges)
        self._show_plots(self._layer, ranges)

    # The plots, and the range that is dragged

    def _setting(self, layer: Layer) -> WeightSetting | None:
        """Return the setting by which a layer's weight becomes int8; None where it does not."""
        rule = self._document.recipe.rule(layer.name)
        return rule.weight if rule.mode is not Mode.FLOAT and rule.weight.dtype != "float16" else None

    def _show_plots(self, layer: Layer, ranges: WeightRanges) -> None:
        setting = self._setting(layer)
        bounds = ranges.used_bounds(setting) if setting is not None else None
        kind = setting.observer.kind if setting is not None else ObserverKind.MINMAX
        self.channels.show_weight(ranges, bounds, kind)
        self.sqnr.show_weight(ranges, kind)
        self._show_bound(layer, ranges)

    def _in_use(self, layer: Layer, ranges: WeightRanges) -> float | None:
        """Return the bound that the histogram shows: of the selected channel, or of one scale per tensor."""
        setting = self._setting(layer)
        bounds = ranges.used_bounds(setting) if setting is not None else None
        if setting is None or bounds is None or (setting.per_channel and self._channel is None):
            return None
        low, high = bounds
        return float(high[self._channel or 0] - low[self._channel or 0]) / 2

    def _why_not_fix(self, layer: Layer) -> str:
        """Return why the range that the histogram shows cannot be fixed by hand; empty where it can."""
        setting = self._setting(layer)
        if setting is None:
            return self.tr("The layer's weight stays as it is: there is no range to fix.")
        if setting.per_channel:
            reason = legality.why_no_channel_bounds(layer, setting)
            if reason or self._channel is not None:
                return reason
            return self.tr("Select a channel above to see it alone and to fix its range.")
        reason = legality.weight_observers(layer, setting)[ObserverKind.FIXED]
        if layer.kind == "inside":
            reason = legality.why_no_channel_bounds(layer, setting)
        if not reason and self._channel is not None:
            reason = self.tr("One scale for all channels: show all channels to change it.")
        return reason

    def _show_bound(self, layer: Layer, ranges: WeightRanges) -> None:
        setting, why_not, bound = self._setting(layer), self._why_not_fix(layer), self._in_use(layer, ranges)
        self.histogram.show_bounds((-bound, bound) if bound is not None else None, movable=not why_not)
        self.bound.show_bound(bound, why_not)
        if bound is not None and not why_not:
            self._show_cost(bound)
        fixed = dict(setting.channel_bounds) if setting is not None else {}
        by_hand = setting is not None and not setting.per_channel and setting.observer.kind is ObserverKind.FIXED
        self.bound.show_resets((by_hand and self._channel is None) or self._channel in fixed, len(fixed))

    def _show_cost(self, bound: float) -> None:
        """Show live what a bound costs."""
        layer = self._layer
        ranges = self._known.get(layer.name) if layer is not None else None
        setting = self._setting(layer) if layer is not None else None
        if ranges is None or setting is None or not bound > 0.0:
            return
        scale, cost = weight_file.cost_of_bound(ranges.distribution(self._channel), bound, setting)
        self.bound.show_cost(bound, scale, cost.sqnr_db, cost.clipped)

    def select_channel(self, channel: int | None) -> None:
        """Show one output channel alone; None shows all of them."""
        self._channel = channel
        layer = self._layer
        ranges = self._known.get(layer.name) if layer is not None else None
        for plot in (self.channels, self.sqnr):
            plot.select(channel)
        self.whole.setVisible(channel is not None)
        if layer is None or ranges is None:
            return
        text = self.tr("All elements")
        if channel is not None:
            text = self.tr("Output channel {channel}: {low} to {high}").format(
                channel=channel,
                low=formatting.number(float(ranges.minimum[channel])),
                high=formatting.number(float(ranges.maximum[channel])),
            )
        self.shown.setText(text)
        self.histogram.show_histogram(*ranges.histogram(channel))
        self._show_bound(layer, ranges)
        self.histogram.reset_view()

    def _on_order(self) -> None:
        ranges = self._known.get(self._layer.name) if self._layer is not None else None
        if ranges is not None:
            order = order_of(ranges, ChannelOrder(self.order.currentData()))
            for plot in (self.channels, self.sqnr):
                plot.set_order(order)

    def _fix(self, bound: float, text: str, merge: str = "") -> None:
        """Fix the range that the histogram shows, as one undo step."""
        layer = self._layer
        ranges = self._known.get(layer.name) if layer is not None else None
        if layer is None or ranges is None or self._why_not_fix(layer):
            return
        if not bound > 0.0:
            self._document.notice.emit(self.tr("A range needs a bound above 0; the one before stays."))
            self._show_bound(layer, ranges)
            return
        if self._channel is None:
            edit = decisions.weight_observer_edit(Observer(ObserverKind.FIXED, low=-bound, high=bound))
        else:
            edit = decisions.channel_bound_edit(self._channel, bound)
        self._document.decide(text, [layer.name], edit, merge)

    def _on_nudged(self, steps: int) -> None:
        layer = self._layer
        ranges = self._known.get(layer.name) if layer is not None else None
        bound = self._in_use(layer, ranges) if layer is not None and ranges is not None else None
        setting = self._setting(layer) if layer is not None else None
        if layer is None or ranges is None or bound is None or setting is None:
            return
        scale, _ = weight_file.cost_of_bound(ranges.distribution(self._channel), bound, setting)
        moved = max(bound + steps * scale, scale)
        self._fix(moved, self.tr("Move weight range"), f"weight-bound:{layer.name}:{self._channel}")

    def _reset(self) -> None:
        if self._layer is None:
            return
        if self._channel is None:
            edit = decisions.weight_observer_edit(Observer())
        else:
            edit = decisions.channel_bound_edit(self._channel, None)
        self._document.decide(self.tr("Reset weight range"), [self._layer.name], edit)

    def _reset_all(self) -> None:
        if self._layer is not None:
            self._document.decide(
                self.tr("Reset ranges of channels"), [self._layer.name], decisions.channel_reset_edit()
            )

    def _refresh(self) -> None:
        layer = self._layer
        ranges = self._known.get(layer.name) if layer is not None else None
        for widget in (self.facts, self.channels, self.sqnr, self.shown, self.histogram, self.bound, self.table):
            widget.setVisible(ranges is not None)
        self.order_label.setVisible(ranges is not None)
        self.order.setVisible(ranges is not None)
        self.whole.setVisible(ranges is not None and self._channel is not None)
        self.empty.setVisible(ranges is None)
        self.title.setText(self.tr("Weight of {layer}").format(layer=layer.name) if layer else self.tr("Weights"))
        rule = self._document.recipe.rule(layer.name if layer else "")
        self.model.show_ranges(ranges, layer, rule)
        if layer is None or ranges is None:
            self.histogram.clear_histogram()
            self.channels.show_weight(None, None, ObserverKind.MINMAX)
            self.sqnr.show_weight(None, ObserverKind.MINMAX)
        if layer is not None and ranges is not None:
            self.banner.hide()
            self._on_order()
            self._show_plots(layer, ranges)
            self.select_channel(self._channel)
            self._show_facts(layer, ranges)
        elif layer is None:
            self.banner.tell(self.tr("Select a layer on the left to see its weight."))
        elif self._why_not(layer):
            self.banner.tell(self._why_not(layer))

    def _why_not(self, layer: Layer) -> str:
        """Return why there is nothing to show of a layer's weight; empty where there is."""
        if layer.type in legality.RECURRENT:
            sentence = self.tr("{type} has several weights; each keeps its full range (MinMax), one scale per tensor.")
            return sentence.format(type=layer.type)
        return (
            "" if legality.has_weight(layer) else self.tr("{type} has no weight to quantize.").format(type=layer.type)
        )

    def _show_facts(self, layer: Layer, ranges: WeightRanges) -> None:
        rule = self._document.recipe.rule(layer.name)
        width = ranges.maximum - ranges.minimum
        facts = [
            formatting.shape(layer.weight_shape),
            self.tr("{low} to {high}").format(
                low=formatting.number(float(ranges.minimum.min())), high=formatting.number(float(ranges.maximum.max()))
            ),
        ]
        if len(width) > 1 and width.min() > 0:
            ratio = formatting.number(float(width.max() / width.min()), 3)
            facts.append(self.tr("widest channel {ratio} times the narrowest").format(ratio=ratio))
        if len(width) > 1:
            facts.append(self.tr("one scale per tensor is set by channel {names}").format(names=_named(ranges.setters)))
        weight = rule.weight
        if weight.channel_bounds:
            facts.append(
                self.tr("fixed by hand: channel {names}").format(names=_named(c for c, _ in weight.channel_bounds))
            )
        if weight.observer.kind is ObserverKind.FIXED and not weight.per_channel:
            facts.append(self.tr("fixed by hand: ±{bound}").format(bound=formatting.number(weight.observer.high)))
        if any(layer.name in pair for pair in self._equalized):
            facts.append(self.tr("equalized"))
        if rule.mode is Mode.FLOAT:
            facts.append(self.tr("the layer is float: its weight stays as it is"))
        elif rule.weight.dtype == "float16":
            facts.append(self.tr("stored as float16, which needs no range"))
        self.facts.setText(" · ".join(facts))

    def _adopt(self, row: int) -> None:
        choice, layer = self.model.choice(row), self._layer
        if choice is None or layer is None or self._document.recipe.rule(layer.name).mode is Mode.FLOAT:
            return
        edit = decisions.weight_choice_edit(scheme_of(choice), Observer(choice.kind))  # type: ignore[arg-type]
        name = f"{choice.granularity}, {observer_name(choice.kind)}"
        self._document.decide(self.tr("Weight {name}").format(name=name), [layer.name], edit)


def _named(channels: Iterable[int]) -> str:
    """Return the first of some output channels by their numbers."""
    found = [f"#{channel}" for channel in channels]
    return ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else "")
