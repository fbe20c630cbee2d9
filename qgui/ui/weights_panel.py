"""How the weight of the selected layer is spread, and what one scale per channel or per tensor makes of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from qgui.core import legality
from qgui.core.calibration import Pair
from qgui.core.errors import QguiError
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, Observer
from qgui.ui import decisions, formatting, weight_file
from qgui.ui.banner import Banner
from qgui.ui.choice_table import ChoiceTable
from qgui.ui.choices import observer_label
from qgui.ui.document import Document
from qgui.ui.theme import Theme
from qgui.ui.weight_file import WeightChoice, WeightRanges
from qgui.ui.weight_table import WeightTableModel, scheme_of
from qgui.ui.weights_plots import ChannelPlot, WeightHistogram
from qgui.ui.workflow import Workflow

#: While the selection moves on, nothing is asked.
_SETTLE_MS = 120
_REMEMBERED = 32


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
        self.channels = ChannelPlot(theme, self)
        self.histogram = WeightHistogram(theme, self)
        self.model = WeightTableModel(theme, self)
        self.table = ChoiceTable(self.model, "weightTable", self.tr("Ranges of the weight"), 10, self)
        self.empty = QWidget(self)
        self.empty.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        plots = QVBoxLayout()
        plots.addWidget(self.channels, 3)
        plots.addWidget(self.histogram, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        layout.addLayout(head)
        for widget in (self.facts, self.banner):
            layout.addWidget(widget)
        layout.addLayout(plots, 1)
        layout.addWidget(self.table)
        layout.addWidget(self.empty, 1)
        self.table.adopted.connect(self._adopt)
        document.model_changed.connect(self._known.clear)
        document.recipe_changed.connect(self._on_recipe_changed)
        self._refresh()

    def show_layers(self, names: Sequence[str]) -> None:
        """Show the weight of the first of the selected layers; a fused one leads to its head."""
        model = self._document.model
        heads = decisions.heads(model, names[:1]) if model is not None else []
        self._layer = heads[0] if heads else None
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
        self.channels.show_weight(ranges, self._used(ranges))

    def _used(self, ranges: WeightRanges) -> WeightChoice | None:
        return next((choice for choice in ranges.choices if self.model.used(choice)), None)

    def _refresh(self) -> None:
        layer = self._layer
        ranges = self._known.get(layer.name) if layer is not None else None
        for widget in (self.facts, self.channels, self.histogram, self.table):
            widget.setVisible(ranges is not None)
        self.empty.setVisible(ranges is None)
        self.title.setText(self.tr("Weight of {layer}").format(layer=layer.name) if layer else self.tr("Weights"))
        rule = self._document.recipe.rule(layer.name if layer else "")
        self.model.show_ranges(ranges, layer, rule)
        self.histogram.show_weight(ranges)
        self.channels.show_weight(ranges, self._used(ranges) if ranges is not None else None)
        if layer is not None and ranges is not None:
            self.banner.hide()
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
        name = f"{choice.granularity}, {observer_label(choice.kind)}"
        self._document.decide(self.tr("Weight {name}").format(name=name), [layer.name], edit)
