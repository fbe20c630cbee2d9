"""What is known of the selected layers: shapes, sizes, fusion, and why one is a leaf."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from qgui.core.layers import Layer
from qgui.ui import formatting
from qgui.ui.document import Document


class LayerFacts(QWidget):
    """A heading and a short table about one or several layers.

    Args:
        document: For results of the layers.
        parent: Qt parent.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self.setObjectName("layerFacts")
        self.title = self._label("layerFactsTitle")
        bold = QFont(self.font())
        bold.setBold(True)
        self.title.setFont(bold)
        self.subtitle = self._label("layerFactsSubtitle")
        self.subtitle.setProperty("faint", True)
        # A form layout gives wrapped lines the height of one where rows above are hidden.
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        self._captions: dict[str, QLabel] = {}
        self._values: dict[str, QLabel] = {}
        rows = (
            ("input", self.tr("Input")),
            ("output", self.tr("Output")),
            ("weight", self.tr("Weight")),
            ("parameters", self.tr("Parameters")),
            ("macs", self.tr("MACs")),
            ("fusion", self.tr("Fused")),
            ("calls", self.tr("Calls")),
            ("became", self.tr("Became")),
            ("sqnr", self.tr("SQNR")),
            ("time", self.tr("Time")),
        )
        for row, (key, text) in enumerate(rows):
            value = self._label(f"layerFact_{key}")
            caption = QLabel(text, self)
            caption.setProperty("faint", True)
            grid.addWidget(caption, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(value, row, 1)
            self._captions[key], self._values[key] = caption, value
        self.stale = self._label("layerFactsStale")
        self.stale.setProperty("faint", True)
        self.note = self._label("layerFactsNote")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for widget in (self.title, self.subtitle):
            layout.addWidget(widget)
        layout.addLayout(grid)
        layout.addWidget(self.stale)
        layout.addWidget(self.note)

    def _label(self, name: str) -> QLabel:
        label = QLabel(self)
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def show_layers(self, layers: Sequence[Layer]) -> None:
        """Show one layer in full, or the sums of several."""
        if not layers:
            self._fill(self.tr("No layer selected"), self.tr("Select a layer on the left."), {}, "")
        elif len(layers) == 1:
            self._show_one(layers[0])
        else:
            types = sorted({layer.type for layer in layers})
            facts = {
                "parameters": formatting.count(sum(layer.parameters for layer in layers)),
                "macs": formatting.count(sum(layer.macs for layer in layers)),
            }
            title = self.tr("{count} layers").format(count=len(layers))
            self._fill(title, formatting.shortened(", ".join(types), 80), facts, "")

    def _show_one(self, layer: Layer) -> None:
        kinds = {
            "input": self.tr("input"),
            "module": self.tr("module"),
            "function": self.tr("function"),
            "inside": self.tr("inside {leaf}").format(leaf=layer.inside) if layer.inside else self.tr("module"),
        }
        facts = {
            "input": formatting.shape(layer.input_shape) if layer.input_shape else "",
            "output": formatting.shape(layer.output_shape) if layer.output_shape else "",
            "weight": formatting.shape(layer.weight_shape) if layer.weight_shape else "",
            "parameters": formatting.count(layer.parameters) if layer.parameters else "",
            "macs": formatting.count(layer.macs) if layer.macs else "",
            "fusion": layer.fusion,
            "calls": self.tr("{count} times").format(count=layer.calls) if layer.calls > 1 else "",
        }
        outcome, measured = self._document.outcome(layer.name), self._document.measurement(layer.name)
        if outcome is not None:
            facts["became"] = outcome.quantized_type
        if measured is not None and measured.sqnr_db is not None:
            facts["sqnr"] = formatting.decibel(measured.sqnr_db)
        if measured is not None and measured.float_ms is not None and measured.quantized_ms is not None:
            times = map(formatting.milliseconds, (measured.float_ms, measured.quantized_ms))
            facts["time"] = " → ".join(time.replace(" ", "\N{NO-BREAK SPACE}") for time in times)
        note = self.tr("Not traced: {reason}").format(reason=layer.leaf_reason) if layer.leaf_reason else ""
        stale = {"became"} if self._document.result_stale else set()
        stale |= {"sqnr", "time"} if self._document.comparison_stale else set()
        self._fill(layer.name, f"{layer.type} · {kinds[layer.kind]}", facts, note, stale)

    def _fill(
        self, title: str, subtitle: str, facts: dict[str, str], note: str, stale: Collection[str] = frozenset()
    ) -> None:
        """Show texts; those that are of an earlier quantized model stand in italics, with a sentence about that."""
        # A path has no spaces to break at; zero-width spaces let it wrap after each dot.
        self.title.setText(title.replace(".", ".\u200b"))
        self.title.setAccessibleName(title)
        self.subtitle.setText(subtitle)
        for key, label in self._values.items():
            text = facts.get(key, "")
            label.setText(text)
            self._mark(label, bool(text) and key in stale)
            for widget in (self._captions[key], label):
                widget.setVisible(bool(text))
        old = self.tr("In italics: before the last decisions.") if any(facts.get(key) for key in stale) else ""
        self.stale.setText(old)
        self.stale.setVisible(bool(old))
        self.note.setText(note)
        self.note.setVisible(bool(note))

    def _mark(self, label: QLabel, stale: bool) -> None:
        font = QFont(label.font())
        font.setItalic(stale)
        label.setFont(font)
        label.setToolTip(self.tr("Of an earlier quantized model: the decisions have changed since.") if stale else "")
