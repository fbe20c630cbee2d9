"""What the selected layers are and what is decided for them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from qgui.core import decisions, fitting, legality
from qgui.core.errors import QguiError
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, Observer, ObserverKind, mode_name
from qgui.ui import formatting
from qgui.ui.choice_box import ChoiceBox
from qgui.ui.choices import Choice, mode_choices, mode_sentence, scheme_label
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.layer_facts import LayerFacts
from qgui.ui.observer_form import ObserverForm
from qgui.ui.range_notes import mode_note, range_notes
from qgui.ui.rule_origin import origins_sentence
from qgui.ui.step_boxes import StepBoxes

_ACTIVATION_SCHEMES = ("per_tensor_affine", "per_tensor_symmetric")


class Inspector(QScrollArea):
    """Shows and decides the settings of one or several layers.

    Args:
        document: Whose layers.
        parent: Qt parent.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._layers: list[Layer] = []
        self._later = Later(self._refresh, self)
        self.setObjectName("inspector")
        self.setAccessibleName(self.tr("Inspector"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.facts = LayerFacts(document, self)
        self.mode = ChoiceBox("inspectorMode", self.tr("Mode"), self.tr("How the selected layers compute."), self)
        self.mode_note = self._note("inspectorModeNote")
        self.decision = QGroupBox(self.tr("Mode"), self)
        layout = QVBoxLayout(self.decision)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(self.mode)
        layout.addWidget(self.mode_note)
        self.origin = self._note("inspectorOrigin")
        self.give_back = QPushButton(self.tr("Follow the pattern"), self.decision)
        self.give_back.setObjectName("inspectorGiveBack")
        self.give_back.setAccessibleName(self.give_back.text())
        self.give_back.setToolTip(self.tr("Take back what was decided for the selected layers; rules by pattern hold."))
        layout.addWidget(self.origin)
        layout.addWidget(self.give_back)
        self.weight = self._build_weight()
        self.steps = StepBoxes(document, self)
        self.activation = self._build_activation()
        self._body = QWidget(self)
        column = QVBoxLayout(self._body)
        column.setContentsMargins(6, 8, 6, 8)
        column.setSpacing(10)
        for widget in (self.facts, self.decision, self.weight, self.steps, self.activation):
            column.addWidget(widget)
        column.addStretch(1)
        self.setWidget(self._body)
        self._connect()
        self._later.now()

    def _note(self, name: str) -> QLabel:
        label = QLabel(self)
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setProperty("faint", True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _build_weight(self) -> QGroupBox:
        box = QGroupBox(self.tr("Weight"), self)
        self.weight_dtype = ChoiceBox(
            "weightDtype", self.tr("Weight dtype"), self.tr("Type of the stored weight."), box
        )
        self.weight_scheme = ChoiceBox(
            "weightScheme", self.tr("Weight qscheme"), self.tr("One scale per output channel, or one per tensor."), box
        )
        self.weight_observer = ObserverForm("weightObserver", box)
        column, _ = self._settle(box, self.weight_dtype, self.weight_scheme)
        column.addWidget(self.weight_observer)
        return box

    def _build_activation(self) -> QGroupBox:
        box = QGroupBox(self.tr("Output activation"), self)
        self.activation_dtype = ChoiceBox(
            "activationDtype", self.tr("Activation dtype"), self.tr("Type of the int8 activation."), box
        )
        self.activation_scheme = ChoiceBox(
            "activationScheme", self.tr("Activation qscheme"), self.tr("Whether the range is mirrored at zero."), box
        )
        self.activation_observer = ObserverForm("activationObserver", box)
        self.reduce_range = QCheckBox(self.tr("Reduce range (7 bits)"), box)
        self.reduce_range.setObjectName("reduceRange")
        self.reduce_range.setAccessibleName(self.tr("Reduce range"))
        self.reduce_range.setToolTip(
            self.tr("Use 128 instead of 256 levels, which CPUs without VNNI need so that sums do not overflow.")
        )
        column, self._activation_form = self._settle(box, self.activation_dtype, self.activation_scheme)
        self.outcome = self._note("activationOutcome")
        self.activation_note = self._note("activationNote")
        for widget in (self.activation_observer, self.reduce_range, self.outcome, self.activation_note):
            column.addWidget(widget)
        return box

    def _settle(self, box: QGroupBox, dtype: ChoiceBox, scheme: ChoiceBox) -> tuple[QVBoxLayout, QFormLayout]:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for text, field in ((self.tr("dtype"), dtype), (self.tr("qscheme"), scheme)):
            label = QLabel(text, box)
            label.setBuddy(field)
            form.addRow(label, field)
        form.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addLayout(form)
        return layout, form

    def _connect(self) -> None:
        self.mode.chosen.connect(self._on_mode)
        self.give_back.clicked.connect(lambda: self._document.give_back(self._names()))
        self.weight_dtype.chosen.connect(self._on_weight_dtype)
        self.weight_scheme.chosen.connect(self._on_weight_scheme)
        self.weight_observer.decided.connect(self._on_weight_observer)
        self.activation_scheme.chosen.connect(self._on_activation_scheme)
        self.activation_observer.decided.connect(self._on_activation_observer)
        self.reduce_range.clicked.connect(self._on_reduce_range)
        document = self._document
        for signal in (document.recipe_changed, document.statistics_changed, document.results_changed):
            signal.connect(self._later.ask)
        document.model_described.connect(self._on_described)

    # Showing

    def minimumSizeHint(self) -> QSize:
        """Ask for the width in which nothing is cut off, with the bar that scrolls a low window."""
        wanted = self._body.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QSize(wanted + 2 * self.frameWidth(), super().minimumSizeHint().height())

    def show_layers(self, names: Sequence[str]) -> None:
        """Show layers by their names."""
        self._layers = [layer for layer in map(self._document.layer, names) if layer is not None]
        self._later.ask()

    def _on_described(self) -> None:
        self.show_layers([layer.name for layer in self._layers])

    def _heads(self) -> list[Layer]:
        model = self._document.model
        return decisions.heads(model, [layer.name for layer in self._layers]) if model else []

    def _refresh(self) -> None:
        self.facts.show_layers(self._layers)
        heads = self._heads()
        self.decision.setVisible(bool(heads))
        weighted = [layer for layer in heads if legality.has_weight(layer)]
        active = [layer for layer in heads if self._document.tensor_of(layer) is not None]
        modes = {self._document.recipe.rule(layer.name).mode for layer in heads}
        self.weight.setVisible(bool(weighted) and modes != {Mode.FLOAT})
        self.steps.setVisible(bool(weighted) and modes != {Mode.FLOAT})
        kinds = decisions.one_of_each_kind(self._document.recipe, heads)
        weighted_kinds = [layer for layer in kinds if legality.has_weight(layer)]
        self.steps.show_layers(weighted, weighted_kinds)
        self.activation.setVisible(bool(active) and modes != {Mode.DYNAMIC})
        if heads:
            self._show_mode(heads, kinds)
            self._show_origin(heads)
        if weighted:
            self._show_weight(weighted_kinds)
        if active:
            self._show_activation(active)
        self.updateGeometry()

    def _show_mode(self, heads: list[Layer], kinds: list[Layer]) -> None:
        backend = self._document.recipe.backend
        modes = [self._document.recipe.rule(layer.name).mode for layer in heads]
        self.mode.set_choices(
            self._joint([mode_choices(layer, backend) for layer in kinds]), modes[0], len(set(modes)) > 1
        )
        if len(set(modes)) > 1:
            self.mode_note.setText(self.tr("The selected layers have different modes."))
            return
        fused = next((layer for layer in self._layers if not layer.head), None)
        notes = [mode_sentence(modes[0])]
        if fused is not None and len(self._layers) == 1:
            notes.insert(0, self.tr("Fused into {head}: this is its mode.").format(head=fused.group))
        reasons = legality.mode_reasons(heads[0], backend)
        if len(heads) == 1 and modes[0] is Mode.FLOAT and reasons[Mode.STATIC]:
            notes.append(reasons[Mode.STATIC])
        self.mode_note.setText("\n".join(notes))

    def _show_origin(self, heads: list[Layer]) -> None:
        recipe = self._document.recipe
        self.origin.setText(origins_sentence(recipe, heads).replace(".", ".\u200b"))
        self.origin.setVisible(bool(self.origin.text()))
        self.give_back.setVisible(any(fitting.overruled(recipe, layer) for layer in heads))

    def _show_weight(self, layers: list[Layer]) -> None:
        backend = self._document.recipe.backend
        rules = [self._document.recipe.rule(layer.name) for layer in layers]
        dtypes = [
            [Choice(dtype, dtype, why) for dtype, why in legality.weight_dtypes(layer, rule.mode, backend).items()]
            for layer, rule in zip(layers, rules, strict=True)
        ]
        schemes = [
            [Choice(name, scheme_label(name), why) for name, why in legality.weight_schemes(layer, rule.mode).items()]
            for layer, rule in zip(layers, rules, strict=True)
        ]
        chosen_dtypes = {rule.weight.dtype for rule in rules}
        chosen_schemes = {rule.weight.qscheme for rule in rules}
        self.weight_dtype.set_choices(self._joint(dtypes), rules[0].weight.dtype, len(chosen_dtypes) > 1)
        self.weight_scheme.set_choices(self._joint(schemes), rules[0].weight.qscheme, len(chosen_schemes) > 1)
        self.weight_scheme.setEnabled("float16" not in chosen_dtypes)
        reasons = [legality.weight_observers(layer, rule.weight) for layer, rule in zip(layers, rules, strict=True)]
        joint = {kind: next((r[kind] for r in reasons if r[kind]), "") for kind in ObserverKind}
        self.weight_observer.show_observers([rule.weight.observer for rule in rules], joint, (-1.0, 1.0))

    def _show_activation(self, layers: list[Layer]) -> None:
        owners = self._document.range_owners([layer.name for layer in layers])
        settings = [self._document.recipe.rule(name).activation for name in owners]
        adjustable = any(legality.has_activation(layer) for layer in layers)
        for widget in (self.activation_dtype, self.activation_scheme, self.activation_observer, self.reduce_range):
            widget.setVisible(adjustable)
        for field in (self.activation_dtype, self.activation_scheme):
            self._activation_form.setRowVisible(field, adjustable)
        self.activation_dtype.set_choices([Choice("quint8", "quint8")], "quint8")
        schemes = {setting.qscheme for setting in settings}
        self.activation_scheme.set_choices(
            [Choice(name, scheme_label(name)) for name in _ACTIVATION_SCHEMES], settings[0].qscheme, len(schemes) > 1
        )
        self.activation_observer.show_observers([s.observer for s in settings], {}, self._present_range(layers[0]))
        reduced = {setting.reduce_range for setting in settings}
        self.reduce_range.setTristate(len(reduced) > 1)
        self.reduce_range.setCheckState(
            Qt.CheckState.PartiallyChecked
            if len(reduced) > 1
            else (Qt.CheckState.Checked if settings[0].reduce_range else Qt.CheckState.Unchecked)
        )
        self._show_outcome(layers)

    def _present_range(self, layer: Layer) -> tuple[float, float]:
        ranges = self._document.ranges
        if ranges is None or not layer.tensor:
            return 0.0, 1.0
        try:
            chosen = ranges.chosen(layer.tensor, self._document.recipe)
        except QguiError:
            return 0.0, 1.0
        return float(chosen.low[0]), float(chosen.high[0])

    def _show_outcome(self, layers: list[Layer]) -> None:
        if len(layers) != 1:
            self.outcome.setText(self.tr("Scale and zero point are shown for one layer at a time."))
            self.activation_note.setText("")
            return
        layer = layers[0]
        self.outcome.setText(self._outcome_text(layer))
        rule = self._document.recipe.rule(layer.name)
        self.activation_note.setText(
            "\n".join(filter(None, [mode_note(rule.mode), *range_notes(self._document, layer)]))
        )
        self.activation_note.setVisible(bool(self.activation_note.text()))

    def _outcome_text(self, layer: Layer) -> str:
        ranges = self._document.ranges
        if ranges is None:
            return self.tr("Calibrate to see scale and zero point.")
        try:
            setting = ranges.setting(layer.tensor, self._document.recipe)
            choice = ranges.choice(layer.tensor, setting)
        except QguiError as error:
            return f"{error.what}: {error.why}"
        qparams = choice.qparams
        lines = [
            self.tr("scale {value}").format(value=formatting.scale(float(qparams.scale[0]))),
            self.tr("zero point {value}").format(value=int(qparams.zero_point[0])),
            self.tr("range {low} to {high}").format(
                low=formatting.number(float(qparams.low[0])), high=formatting.number(float(qparams.high[0]))
            ),
            self.tr("predicted SQNR {value}").format(value=formatting.decibel(choice.sqnr_db)),
            self.tr("clipped {value}").format(value=formatting.small_percent(choice.clipped)),
        ]
        return "\n".join(lines)

    def _joint(self, lists: list[list[Choice]]) -> list[Choice]:
        """Return the choices of several layers: one is impossible where no layer may have it."""
        joint = []
        for choices in zip(*lists, strict=True):
            possible = any(not choice.reason for choice in choices)
            joint.append(choices[0] if not possible else Choice(choices[0].value, choices[0].label))
        return joint

    # Deciding

    def _names(self) -> list[str]:
        return [layer.name for layer in self._layers]

    def _range_names(self) -> list[str]:
        return self._document.range_owners([layer.name for layer in self._heads()])

    def _on_mode(self, mode: object) -> None:
        if isinstance(mode, Mode):
            edit = decisions.mode_edit(mode, self._document.recipe.backend)
            self._document.decide(self.tr("Mode {mode}").format(mode=mode_name(mode)), self._names(), edit)

    def _on_weight_dtype(self, dtype: object) -> None:
        edit = decisions.weight_dtype_edit(dtype, self._document.recipe.backend)  # type: ignore[arg-type]
        self._document.decide(self.tr("Weight {dtype}").format(dtype=dtype), self._names(), edit)

    def _on_weight_scheme(self, scheme: object) -> None:
        edit = decisions.weight_scheme_edit(scheme)  # type: ignore[arg-type]
        self._document.decide(self.tr("Weight {scheme}").format(scheme=scheme_label(str(scheme))), self._names(), edit)

    def _on_weight_observer(self, observer: Observer, key: str) -> None:
        self._document.decide(self.tr("Weight observer"), self._names(), decisions.weight_observer_edit(observer), key)

    def _on_activation_scheme(self, scheme: object) -> None:
        edit = decisions.activation_scheme_edit(scheme)  # type: ignore[arg-type]
        text = self.tr("Activation {scheme}").format(scheme=scheme_label(str(scheme)))
        self._document.decide(text, self._range_names(), edit)

    def _on_activation_observer(self, observer: Observer, key: str) -> None:
        edit = decisions.activation_observer_edit(observer)
        self._document.decide(self.tr("Activation observer"), self._range_names(), edit, key)

    def _on_reduce_range(self) -> None:
        reduced = self.reduce_range.checkState() != Qt.CheckState.Unchecked
        self._document.decide(self.tr("Reduce range"), self._range_names(), decisions.reduce_range_edit(reduced))
