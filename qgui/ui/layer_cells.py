"""What stands in the cells of the layer table."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QColor, QFont

from qgui.core import legality
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Mode, mode_name
from qgui.ui import formatting
from qgui.ui.choices import (
    Choice,
    granularity_label,
    mode_choices,
    short_observer_label,
    weight_choices,
)
from qgui.ui.document import Document
from qgui.ui.layer_tree import Row
from qgui.ui.measured_words import explanation
from qgui.ui.rule_origin import origin_sentence, origin_text
from qgui.ui.theme import Theme


class Column(enum.IntEnum):
    """The columns in their order."""

    NAME = 0
    TYPE = 1
    MODE = 2
    OBSERVER = 3
    SQNR = 4
    FLOAT_MS = 5
    INT8_MS = 6
    WEIGHTS = 7
    OUTPUT = 8
    PARAMETERS = 9
    MACS = 10
    GAP = 11
    RULE = 12


#: The row itself, a `layer_tree.Row`.
ROW_ROLE = Qt.ItemDataRole.UserRole
#: What a column sorts by: a number or a text.
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
#: The possible values of a cell, a list of `Choice`; None where it cannot be edited.
CHOICES_ROLE = Qt.ItemDataRole.UserRole + 2
#: The mode of a row, None where there is none or several.
MODE_ROLE = Qt.ItemDataRole.UserRole + 3

NUMBERS = frozenset({Column.SQNR, Column.FLOAT_MS, Column.INT8_MS, Column.PARAMETERS, Column.MACS, Column.GAP})
_MEASURED = frozenset({Column.SQNR, Column.FLOAT_MS, Column.INT8_MS, Column.GAP})
#: Numbers stand at the right.
RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
#: Behind the title of a sorted column of numbers, so that the mark of the order does not cover it.
ROOM_FOR_MARK = "\u2003"
#: Below this ratio a layer is pointed out.
POOR_SQNR_DB = 15.0


class LayerCells(QObject):
    """Answers what a cell shows in which role.

    Args:
        document: Whose layers.
        theme: For marks and colours.
        parent: Qt parent.
    """

    def __init__(self, document: Document, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._theme = theme
        self._italic = QFont()
        self._italic.setItalic(True)
        role = Qt.ItemDataRole
        # A view asks for eight roles of every cell it draws: those that are not here cost nothing.
        self._answers: dict[int, Callable[[Row, Column], Any]] = {
            role.DisplayRole: self.text,
            role.ForegroundRole: self._foreground,
            role.TextAlignmentRole: lambda _, column: RIGHT if column in NUMBERS else None,
            role.ToolTipRole: self._tool_tip,
            role.DecorationRole: self._decoration,
            role.FontRole: self._font,
            role.AccessibleTextRole: self._accessible_text,
            ROW_ROLE: lambda row, _: row,
            SORT_ROLE: self._sort_key,
            CHOICES_ROLE: lambda row, column: self.choices(row.layer, column) if row.layer is not None else None,
            MODE_ROLE: lambda row, _: self.mode(row),
        }

    def answers(self, role: int) -> Callable[[Row, Column], Any] | None:
        """Return what answers a role, None where nothing does."""
        return self._answers.get(role)

    def titles(self) -> tuple[tuple[str, str], ...]:
        """Return title and tooltip of every column."""
        return (
            (self.tr("Layer"), self.tr("Module or function of the traced model, in the order in which they run.")),
            (self.tr("Type"), self.tr("Class of the module or name of the function.")),
            (self.tr("Mode"), self.tr("How the layer computes: float, dynamic, static or QAT.")),
            (self.tr("Observer"), self.tr("Which observer chooses the range of the layer's output.")),
            (
                self.tr("SQNR dB"),
                self.tr("Signal to quantization noise ratio of the output, measured in the int8 model."),
            ),
            (self.tr("float ms"), self.tr("Median time in the float model in milliseconds.")),
            (self.tr("int8 ms"), self.tr("Median time in the quantized model in milliseconds.")),
            (self.tr("Weights"), self.tr("Whether each output channel of the weight has its own scale.")),
            (self.tr("Output"), self.tr("Shape of the output for one sample.")),
            (self.tr("Parameters"), self.tr("Number of parameters.")),
            (self.tr("MACs"), self.tr("Multiply-accumulate operations for one sample.")),
            (self.tr("Δ dB"), self.tr("Measured minus predicted SQNR of the output.")),
            (self.tr("Rule"), self.tr("The pattern that decides the layer, or that it was decided for itself.")),
        )

    def choices(self, layer: Layer, column: Column) -> list[Choice]:
        """Return the possible values of a layer's cell with the reasons against those it may not have."""
        rule = self._document.recipe.rule(layer.name)
        if column is Column.MODE:
            return mode_choices(layer, self._document.recipe.backend)
        if column is Column.WEIGHTS:
            return weight_choices(layer, rule.mode)
        if column is Column.OBSERVER:
            reason = "" if legality.has_activation(layer) else self.tr("Its output has no range to choose.")
            return [Choice(kind, short_observer_label(kind), reason) for kind in AUTOMATIC_OBSERVERS]
        return []

    def mode(self, row: Row) -> Mode | None:
        """Return the mode of a layer, or the one that all weights in a module have."""
        if row.layer is not None:
            return self._document.recipe.rule(row.layer.name).mode if row.layer.head else None
        heads = list(row.heads())
        weighted = [layer for layer in heads if legality.has_weight(layer)] or heads
        modes = {self._document.recipe.rule(layer.name).mode for layer in weighted}
        return modes.pop() if len(modes) == 1 else None

    def text(self, row: Row, column: Column) -> str:
        """Return what a cell shows."""
        if column is Column.NAME:
            return row.label
        if column is Column.MODE:
            return self._mode_text(row)
        layer = row.layer
        if layer is None:
            if column is Column.PARAMETERS:
                return formatting.count(sum(layer.parameters for layer in row.layers()))
            return ""
        match column:
            case Column.TYPE:
                return layer.type
            case Column.OBSERVER:
                return self._observer_text(layer)
            case Column.WEIGHTS:
                return self._weights_text(layer)
            case Column.PARAMETERS:
                return formatting.count(layer.parameters) if layer.parameters else ""
            case Column.MACS:
                return formatting.count(layer.macs) if layer.macs else ""
            case Column.RULE:
                return origin_text(self._document.recipe, layer)
            case Column.OUTPUT:
                return formatting.shape(layer.output_shape) if layer.output_shape else ""
        value = self._measured(layer, column)
        if value is None:
            return ""
        if column is Column.GAP:
            return formatting.number_fixed(value, 1)
        if column is Column.SQNR:
            return self.tr("exact") if value >= 200 else formatting.number_fixed(value, 1)
        return formatting.number(value, 3)

    def _mode_text(self, row: Row) -> str:
        if row.layer is not None and not row.layer.head:
            return self.tr("fused")
        mode = self.mode(row)
        return mode_name(mode) if mode is not None else self.tr("mixed")

    def _observer_text(self, layer: Layer) -> str:
        rule = self._document.recipe.rule(layer.name)
        read_as_int8 = rule.mode in {Mode.STATIC, Mode.QAT} or (
            layer.kind == "input" and self._document.needs_calibration
        )
        if not layer.head or not read_as_int8:
            return ""
        if layer.type in legality.FIXED_QPARAMS:
            return self.tr("prescribed")
        if not legality.has_activation(layer):
            return ""
        owner = self._owner(layer)
        if owner is not None and owner != layer.name:
            return self.tr("as {layer}").format(layer=formatting.short_path(owner))
        return short_observer_label(rule.activation.observer.kind)

    def _owner(self, layer: Layer) -> str | None:
        """Return the layer whose setting decides the range of this one's output."""
        owner = self._document.owner_of(layer)
        return owner.layer if owner is not None else None

    def _weights_text(self, layer: Layer) -> str:
        rule = self._document.recipe.rule(layer.name)
        if not layer.head or not legality.has_weight(layer) or rule.mode is Mode.FLOAT:
            return ""
        return rule.weight.dtype if rule.weight.dtype == "float16" else granularity_label(rule.weight.granularity)

    def _measured(self, layer: Layer, column: Column) -> float | None:
        result = self._document.measurement(layer.name)
        if column in {Column.SQNR, Column.GAP} and (column is Column.GAP or result is None or result.sqnr_db is None):
            return self._ratio(layer, column)
        if result is None:
            return None
        match column:
            case Column.SQNR:
                return result.sqnr_db
            case Column.FLOAT_MS:
                return result.float_ms
            case _:
                return result.quantized_ms

    def _ratio(self, layer: Layer, column: Column) -> float | None:
        """Return what the measured activations say of a layer: its ratio, or how far that is from the predicted one."""
        ratios = self._document.measured_ratios(layer.name)
        if ratios is None or column is Column.SQNR:
            return ratios.sqnr_db if ratios is not None else None
        return ratios.sqnr_db - ratios.predicted_db if ratios.predicted_db is not None else None

    def surprising(self, layer: Layer) -> bool:
        """Whether the measured SQNR of a layer's output is off the predicted one."""
        ratios = self._document.measured_ratios(layer.name)
        return ratios is not None and ratios.surprising

    def _worse_than_explained(self, layer: Layer) -> bool:
        ratios = self._document.measured_ratios(layer.name)
        return ratios is not None and ratios.worse_than_explained

    def _stale(self, layer: Layer, column: Column) -> bool:
        """Whether a measured cell is from before the last decisions."""
        if column is Column.GAP or (column is Column.SQNR and self._document.measurement(layer.name) is None):
            return self._document.measured_stale
        return self._document.comparison_stale

    def _sort_key(self, row: Row, column: Column) -> float | str:
        layer = row.layer
        match column:
            case Column.NAME:
                return row.path
            case Column.PARAMETERS:
                return float(sum(entry.parameters for entry in row.layers()))
            case Column.MACS:
                return float(layer.macs) if layer else 0.0
            case Column.SQNR | Column.FLOAT_MS | Column.INT8_MS | Column.GAP:
                value = self._measured(layer, column) if layer else None
                nothing = float("inf") if column in {Column.SQNR, Column.GAP} else -1.0
                return nothing if value is None else value
        return self.text(row, column)

    def _foreground(self, row: Row, column: Column) -> QColor | None:
        colours = self._theme.colours
        if row.layer is None or not row.layer.head:
            return QColor(colours.faint) if column is not Column.NAME or row.layer is not None else None
        if column is Column.SQNR:
            value = self._measured(row.layer, column)
            return QColor(colours.bad) if value is not None and value < POOR_SQNR_DB else None
        if column is Column.INT8_MS and self._slower(row.layer):
            return QColor(colours.bad)
        return None

    def _slower(self, layer: Layer) -> bool:
        result = self._document.measurement(layer.name)
        if result is None or result.float_ms is None or result.quantized_ms is None:
            return False
        return result.quantized_ms > 1.1 * result.float_ms and result.mode is not Mode.FLOAT

    def _decoration(self, row: Row, column: Column) -> Any:
        if row.layer is not None and column is Column.SQNR and self.surprising(row.layer):
            colours = self._theme.colours
            return self._theme.icon("warning", colours.bad if self._worse_than_explained(row.layer) else colours.faint)
        if row.layer is None or column is not Column.NAME:
            return None
        if not row.layer.head:
            return self._theme.icon("link", self._theme.colours.faint)
        return self._theme.icon("lock") if row.layer.leaf_reason else None

    def _tool_tip(self, row: Row, column: Column) -> str | None:
        layer = row.layer
        if layer is None:
            count = sum(1 for _ in row.heads())
            text = self.tr("{path}: 1 layer") if count == 1 else self.tr("{path}: {count} layers")
            return text.format(path=row.path, count=count)
        if not layer.head:
            return self.tr("Fused into {head}: it follows the mode of that layer.").format(head=layer.group)
        match column:
            case Column.NAME:
                return "\n".join(filter(None, [layer.name, layer.fusion, leaf_sentence(layer)]))
            case Column.MODE:
                reasons = legality.mode_reasons(layer, self._document.recipe.backend)
                lines = [f"{mode_name(mode)}: {reason}" for mode, reason in reasons.items() if reason]
                lines = lines or [self.tr("Every mode is possible.")]
                return "\n".join(filter(None, [origin_sentence(self._document.recipe, layer), *lines]))
            case Column.RULE:
                return origin_sentence(self._document.recipe, layer) or self.tr("As advised for the model.")
            case Column.OBSERVER if layer.type in legality.FIXED_QPARAMS:
                return self.tr("PyTorch prescribes scale and zero point of {type}.").format(type=layer.type)
            case Column.OBSERVER:
                owner = self._owner(layer)
                if owner is not None and owner != layer.name:
                    return self.tr("{type} keeps the range of {owner}.").format(type=layer.type, owner=owner)
            case Column.INT8_MS if self._slower(layer):
                return self.tr("Slower than in float: this layer leaves the fast kernels of the backend.")
            case Column.SQNR | Column.GAP:
                return self._ratio_sentence(layer, column)
        return self.text(row, column) or None

    def _ratio_sentence(self, layer: Layer, column: Column) -> str | None:
        ratios = self._document.measured_ratios(layer.name)
        lines = [explanation(ratios)] if ratios is not None else []
        if self._stale(layer, column):
            lines.append(self.tr("Measured before the last decisions. Compare or quantize again."))
        return "\n".join(lines) or None

    def _font(self, row: Row, column: Column) -> QFont | None:
        stale = column in _MEASURED and row.layer is not None and self._stale(row.layer, column)
        return self._italic if stale or (row.layer is not None and not row.layer.head) else None

    def _accessible_text(self, row: Row, column: Column) -> str:
        text = self.text(row, column)
        if column is Column.MODE and row.layer is not None and not row.layer.head:
            text = self.tr("fused into {head}").format(head=row.layer.group)
        return f"{self.titles()[column][0]}: {text or formatting.NOTHING}"


def leaf_sentence(layer: Layer) -> str:
    """Return why a layer is a leaf, empty where it is none."""
    return say("Not traced: {reason}").format(reason=layer.leaf_reason) if layer.leaf_reason else ""
