"""The graph of the float or of the quantized model, drawn by Netron.

The web engine is imported when the panel is first seen: it takes longer to load than the whole window. Where it is
missing, the person's own browser opens the same page.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from qgui.core.errors import QguiError
from qgui.core.graphs import LARGE_GRAPH, GraphFile, GraphKind
from qgui.ui import formatting
from qgui.ui.banner import Banner
from qgui.ui.document import Document
from qgui.ui.graph_marks import marks
from qgui.ui.graph_server import GraphServer
from qgui.ui.later import Later
from qgui.ui.theme import Theme
from qgui.ui.workflow import Workflow

if TYPE_CHECKING:
    from qgui.ui.graph_view import GraphView


class GraphPanel(QWidget):
    """The graph of the model.

    Signals:
        layer_wanted: The path of the layer whose node was clicked.
        data_wanted: The person wants to open data from here.
        quantization_wanted: The person wants to quantize from here.

    Args:
        document: Whose graph.
        workflow: Asks for the graph.
        theme: For the colours.
        parent: Qt parent.
    """

    layer_wanted = Signal(str)
    data_wanted = Signal()
    quantization_wanted = Signal()

    def __init__(self, document: Document, workflow: Workflow, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("graphPanel")
        self._document, self._workflow, self._theme = document, workflow, theme
        self.kind: GraphKind = "float"
        self.view: GraphView | None = None
        self.server = GraphServer(self)
        self._loaded: tuple[GraphKind, str] | None = None
        self._agreed: tuple[GraphKind, str] | None = None
        self._asked: tuple[GraphKind, str] | None = None
        self._selected: tuple[str, ...] = ()
        self._drawn = False
        self._build(theme)
        self._refreshing = Later(self._refresh, self)
        self._marking = Later(self._mark, self)
        self.server.said.connect(self._hear)
        for signal in (document.model_changed, document.data_changed, document.results_changed):
            signal.connect(self._refreshing.ask)
        for signal in (document.recipe_changed, document.results_changed):
            signal.connect(self._marking.ask)
        theme.changed.connect(self._follow_theme)
        workflow.step_finished.connect(lambda _: self._marking.ask())
        self.destroyed.connect(self.server.stop)

    def _build(self, theme: Theme) -> None:
        title = QLabel(self.tr("Graph"), self)
        title.setObjectName("graphTitle")
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        self.said = QLabel(self)
        self.said.setObjectName("graphSaid")
        self.said.setProperty("faint", True)
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.kinds = QButtonGroup(self)
        head = QHBoxLayout()
        head.addWidget(title)
        head.addWidget(self.said, 1)
        self.buttons: dict[GraphKind, QToolButton] = {}
        self._add_kind("float", self.tr("Float"), self.tr("Show the graph of the float model."), head)
        self._add_kind("quantized", self.tr("Quantized"), self.tr("Show the graph of the quantized model."), head)
        self.buttons["float"].setChecked(True)
        self.banner = Banner("graphBanner", "hint", self)
        self.banner.hide()
        self.cancel = QPushButton(self.tr("Cancel"), self)
        self.cancel.setObjectName("graphCancel")
        self.cancel.setAccessibleName(self.tr("Cancel drawing the graph"))
        self.cancel.setToolTip(self.tr("Stop drawing this graph."))
        self.cancel.clicked.connect(self.stop_drawing)
        self.cancel.hide()
        self.banner.add_button(self.cancel)
        self.stale = Banner("graphStale", "warning", self)
        self.stale.hide()
        self.empty = QWidget(self)
        self.empty.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 8, 8, 8)
        self._column.setSpacing(6)
        self._column.addLayout(head)
        for widget in (self.stale, self.banner):
            self._column.addWidget(widget)
        self._column.addWidget(self.empty, 1)

    def _add_kind(self, kind: GraphKind, text: str, tip: str, row: QHBoxLayout) -> None:
        button = QToolButton(self)
        button.setObjectName(f"graph{kind.capitalize()}")
        button.setText(text)
        button.setAccessibleName(tip.rstrip("."))
        button.setToolTip(tip)
        button.setCheckable(True)
        button.setProperty("choice", True)
        button.clicked.connect(lambda: self.show_kind(kind))
        self.kinds.addButton(button)
        self.buttons[kind] = button
        row.addWidget(button)

    # What is asked of it

    @property
    def drawn(self) -> GraphKind | None:
        """Which model's graph is on the screen; None while none is."""
        return self.kind if self._drawn else None

    def show_kind(self, kind: GraphKind) -> None:
        """Show the float or the quantized model."""
        self.kind = kind
        self.buttons[kind].setChecked(True)
        self._refresh()

    def show_layers(self, names: Sequence[str]) -> None:
        """Show the first of the selected layers in the graph."""
        self._selected = tuple(names)
        self._select()

    def stop_drawing(self) -> None:
        """Give up the graph that is being drawn."""
        self._forget()
        self._loaded = self._wanted()
        self._tell(
            self.tr("Drawing was cancelled."), self.tr("Draw"), self.tr("Draw this graph after all."), self._draw_anyway
        )

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refreshing.ask()

    # From wish to picture

    def _wanted(self) -> tuple[GraphKind, str]:
        """Return which graph is to be seen: that of another model or quantization has another name."""
        document = self._document
        if self.kind == "quantized" and document.result is not None:
            return self.kind, document.result.recipe_hash
        return self.kind, repr((document.recipe.model, document.recipe.data.source))

    def _refresh(self) -> None:
        """Show what is to be seen, and ask for what is missing."""
        if self._document.model is None:
            self._forget()
        if not self.isVisible() or self._document.model is None:
            return
        self._tell_staleness()
        wanted = self._wanted()
        if wanted in (self._loaded, self._asked):
            return
        if self._lacks_something() or self._is_large(len(self._document.model.layers)):
            return
        self._asked = wanted
        self._hide_view()
        self._tell(self.tr("Drawing the graph …"))
        self._workflow.write_graph(
            self.kind, lambda graph: self._take(wanted, graph), lambda why: self._on_failed(wanted, why)
        )

    def _lacks_something(self) -> bool:
        """Tell what has to happen before there is a graph."""
        document = self._document
        if document.data is None:
            self._tell(
                self.tr("The graph shows what happens to a sample: open data first."),
                self.tr("Open data"),
                self.tr("Choose the data that go through the model."),
                self.data_wanted.emit,
            )
        elif self.kind == "quantized" and not self._workflow.holds_result:
            self._tell(
                self.tr("Quantize to see the graph of the quantized model."),
                self.tr("Quantize"),
                self.tr("Make the quantized model with the present decisions."),
                self.quantization_wanted.emit,
            )
        else:
            return False
        self._loaded = self._asked = None
        self._hide_view()
        return True

    def _is_large(self, nodes: int) -> bool:
        """Warn of a graph that takes long to draw, unless the person agreed."""
        if nodes <= LARGE_GRAPH or self._agreed == self._wanted():
            return False
        self._loaded, self._asked = self._wanted(), None
        self._hide_view()
        sentence = self.tr("This graph has {nodes:,} nodes; drawing it may take minutes and much memory.")
        self._tell(
            sentence.format(nodes=nodes),
            self.tr("Draw anyway"),
            self.tr("Draw it; that can be cancelled at any time."),
            self._draw_anyway,
        )
        return True

    def _draw_anyway(self) -> None:
        self._agreed, self._loaded = self._wanted(), None
        self._refresh()

    def _take(self, wanted: tuple[GraphKind, str], graph: GraphFile) -> None:
        if wanted != self._asked or wanted != self._wanted():
            return
        if self._is_large(graph.nodes):
            return
        self._asked, self._loaded, self._drawn = None, wanted, False
        try:
            self.server.start()
        except (QguiError, OSError) as error:
            self._tell(str(error), self.tr("Draw"), self.tr("Try to draw the graph again."), self._draw_anyway)
            return
        self.server.mark(marks(self._document, self._theme))
        self.server.show(Path(graph.path))
        self._say_size(graph)
        self._open(self.server.url())

    def _open(self, url: QUrl) -> None:
        if self.view is None and not self._make_view():
            self._tell(
                self.tr("Qt's web engine is missing here, so the graph opens in your browser."),
                self.tr("Open again"),
                self.tr("Open the graph in your browser once more."),
                lambda: QDesktopServices.openUrl(self.server.url()),
            )
            QDesktopServices.openUrl(url)
            return
        assert self.view is not None
        self.empty.hide()
        self.view.show()
        self._tell(self.tr("Drawing the graph …"))
        self.cancel.show()
        self.view.open(url, self._theme.colours.dark, self._theme.colours.base)

    def _make_view(self) -> bool:
        """Load the web engine; say whether it is there."""
        try:
            module = importlib.import_module("qgui.ui.graph_view")
        except ImportError:
            return False
        view: GraphView = module.GraphView(self)
        view.crashed.connect(lambda: self._hear({"event": "failed", "why": self.tr("its page crashed")}))
        self._column.addWidget(view, 1)
        self.view = view
        return True

    def _hide_view(self) -> None:
        self._drawn = False
        self.empty.show()
        if self.view is not None:
            self.view.hide()

    def _forget(self) -> None:
        """Show no graph, and give back the memory of the one that was shown."""
        self._loaded = self._asked = None
        self._hide_view()
        self.said.clear()
        if self.view is not None:
            self.view.leave()

    def _on_failed(self, wanted: tuple[GraphKind, str], why: str) -> None:
        if wanted != self._asked:
            return
        self._asked = None
        self._loaded = wanted if why else None
        self._tell(
            why or self.tr("Other work came first."),
            self.tr("Draw"),
            self.tr("Try to draw the graph again."),
            self._draw_anyway,
        )

    # What the page says, and is told

    def _hear(self, said: dict[str, Any]) -> None:
        match said:
            case {"event": "shown"}:
                self._drawn = True
                self.banner.hide()
                self.cancel.hide()
                self._select()
            case {"event": "chosen", "layer": str(layer)} if self._document.layer(layer) is not None:
                self._selected = (layer,)
                self.layer_wanted.emit(layer)
            case {"event": "failed", "why": str(why)}:
                self._hide_view()
                sentence = self.tr("Netron could not draw the graph: {why}")
                self._tell(sentence.format(why=why), self.tr("Draw"), self.tr("Try again."), self._draw_anyway)

    def _select(self) -> None:
        """Select the first layer; where it has no node of its own, the one that it is fused into."""
        if self.view is None or not self._drawn or not self.isVisible() or not self._selected:
            return
        layer = self._document.layer(self._selected[0])
        if layer is None:
            return
        owner = self._document.owner_of(layer)
        names = [layer.name, layer.group, layer.inside, owner.layer if owner is not None else ""]
        self.view.call("select", [name for name in names if name])

    def _mark(self) -> None:
        """Let the nodes carry mode and SQNR as they are now."""
        self._tell_staleness()
        if not self.server.url().isEmpty():
            now = marks(self._document, self._theme)
            self.server.mark(now)
            if self.view is not None and self._drawn:
                self.view.call("mark", now)

    def _follow_theme(self) -> None:
        self._marking.ask()
        if self.view is not None:
            self.view.follow_theme(self._theme.colours.dark, self._theme.colours.base)

    # What is said above

    def _tell(self, sentence: str, button: str = "", tip: str = "", action: Callable[[], object] | None = None) -> None:
        self.cancel.hide()
        self.banner.tell(sentence, button, tip, action)

    def _tell_staleness(self) -> None:
        stale = self.kind == "quantized" and self._document.result_stale
        self.stale.tell(
            self.tr("This is the model as it was quantized before your last decisions.") if stale else "",
            self.tr("Quantize"),
            self.tr("Make the quantized model with the present decisions."),
            self.quantization_wanted.emit,
        )

    def _say_size(self, graph: GraphFile) -> None:
        sentence = self.tr("{nodes} nodes").format(nodes=graph.nodes)
        if graph.left_out:
            left_out = self.tr("{size} of weight values left out").format(size=formatting.size(graph.left_out))
            sentence = f"{sentence}, {left_out}"
        self.said.setText(sentence)
        self.said.setToolTip(sentence)
