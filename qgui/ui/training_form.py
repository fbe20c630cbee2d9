"""The settings of a training, with what stands for those that are left to themselves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from qgui.core.training import CROSS_ENTROPY, DISTILL, Steering, Training, resolved
from qgui.ui import formatting
from qgui.ui.choice_box import ChoiceBox
from qgui.ui.choices import Choice

_OWN = "own"


class CountBox(QSpinBox):
    """A whole number whose least value stands for `chosen from the data`."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class NumberBox(QDoubleSpinBox):
    """A number whose least value can stand for `chosen from the data`."""

    def textFromValue(self, value: float) -> str:
        return f"{value:.6g}"

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class TrainingForm(QWidget):
    """Shows training settings and says which ones the person wants.

    Signals:
        decided: The `Training` the person wants, what was changed, and a key under which successive steps merge.
        steered: Learning rate or freezing differ from what the paused training has.

    Args:
        parent: Qt parent.
    """

    decided = Signal(object, str, str)
    steered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("trainingForm")
        self._settings = Training()
        self._found = resolved(Training(), 1, False)
        self._steering = False
        self._samples = 0
        self._labelled = False
        self._buddies: dict[QWidget, QLabel] = {}
        self._make_fields()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(4)
        for title, fields in self._groups():
            group = QGroupBox(title, self)
            form = QFormLayout(group)
            form.setContentsMargins(0, 4, 0, 0)
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
            for field in fields:
                if isinstance(field, QCheckBox):
                    form.addRow(field)
                    continue
                label = QLabel(field.accessibleName(), group)
                label.setBuddy(field)
                self._buddies[field] = label
                form.addRow(label, field)
            column.addWidget(group)
        column.addStretch(1)

    def _make_fields(self) -> None:
        tr = self.tr
        self.samples = self._count(
            "samples", tr("Samples"), tr("Samples to train and validate with; none is evaluated.")
        )
        self.validation = self._number(
            "validation", tr("Validation"), tr("Share that is not trained on and chooses the best epoch."), 0, 90
        )
        self.validation.setSuffix(" %")
        self.epochs = self._count("epochs", tr("Epochs"), tr("Passes over the training samples."))
        self.batch_size = self._count("batch_size", tr("Batch size"), tr("Samples per step of the optimizer."))
        self.loss = self._choice("loss", tr("Loss"), tr("What the training makes small."))
        self.own = QPushButton(self)
        self.own.setObjectName("training_own")
        self.own.setAccessibleName(tr("Own loss"))
        self.own.setToolTip(tr("Choose the Python file with your loss: (outputs, target) -> scalar tensor."))
        self.own.clicked.connect(self._ask_for_loss)
        self.optimizer = self._choice("optimizer", tr("Optimizer"), tr("How gradients change the weights."))
        self.learning_rate = self._number(
            "learning_rate", tr("Learning rate"), tr("Step width at the start; can be changed while paused."), 0, 10
        )
        self.schedule = self._choice("schedule", tr("Schedule"), tr("How the learning rate falls over the steps."))
        self.weight_decay = self._number(
            "weight_decay", tr("Weight decay"), tr("Pulls weights to zero, not biases, BatchNorm or scales."), 0, 1
        )
        self.seed = self._count("seed", tr("Seed"), tr("The same seed gives the same weights."))
        self.seed.setSpecialValueText("")
        self.ranges = self._choice(
            "ranges", tr("Ranges"), tr("LSQ learns each scale; moving averages follow the batches' extremes.")
        )
        self.freeze_observers = self._count(
            "freeze_observers",
            tr("Freeze ranges"),
            tr("Epoch from which scales and zero points stay; can be changed while paused."),
            -1,
        )
        self.freeze_batch_norm = self._count(
            "freeze_batch_norm",
            tr("Freeze BatchNorm"),
            tr("Epoch from which its statistics stay; can be changed while paused."),
        )
        self.freeze_batch_norm.setSpecialValueText(tr("from the start"))
        self.only_qat = QCheckBox(tr("Train only QAT layers"), self)
        self.only_qat.setObjectName("training_only_qat")
        self.only_qat.setAccessibleName(tr("Train only QAT layers"))
        self.only_qat.setToolTip(tr("Otherwise every weight of the model is trained."))
        self.only_qat.toggled.connect(lambda value: self._decide("only_qat", value))
        self.device = self._choice("device", tr("Device"), tr("Where to train; conversion is always on the CPU."))

    def _groups(self) -> Sequence[tuple[str, tuple[QWidget, ...]]]:
        return (
            (self.tr("Data"), (self.samples, self.validation, self.epochs, self.batch_size)),
            (self.tr("Loss"), (self.loss, self.own)),
            (self.tr("Optimizer"), (self.optimizer, self.learning_rate, self.schedule, self.weight_decay, self.seed)),
            (self.tr("Quantization"), (self.ranges, self.freeze_observers, self.freeze_batch_norm, self.only_qat)),
            (self.tr("Machine"), (self.device,)),
        )

    def _count(self, name: str, title: str, tip: str, low: int = 0) -> CountBox:
        box = CountBox(self)
        self._name(box, name, title, tip)
        box.setRange(low, 1_000_000)
        box.valueChanged.connect(lambda value: self._decide(name, value))
        return box

    def _number(self, name: str, title: str, tip: str, low: float, high: float) -> NumberBox:
        box = NumberBox(self)
        self._name(box, name, title, tip)
        box.setDecimals(8)
        box.setRange(low, high)
        box.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        box.valueChanged.connect(lambda value: self._decide(name, value / 100 if name == "validation" else value))
        return box

    def _name(self, box: QAbstractSpinBox, name: str, title: str, tip: str) -> None:
        box.setObjectName(f"training_{name}")
        box.setAccessibleName(title)
        box.setToolTip(tip)
        box.setKeyboardTracking(False)
        box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _choice(self, name: str, title: str, tip: str) -> ChoiceBox:
        box = ChoiceBox(f"training_{name}", title, tip, self)
        box.chosen.connect(lambda value: self._chosen(name, value))
        return box

    # Showing

    def show_settings(self, settings: Training, samples: int, labelled: bool, devices: Sequence[str]) -> None:
        """Show settings, with the numbers that are chosen from the data.

        Args:
            settings: The recipe's.
            samples: Samples that are trained on.
            labelled: Whether the data has labels.
            devices: Devices of the machine.
        """
        self._settings, self._samples, self._labelled = settings, samples, labelled
        self._found = found = resolved(settings, max(samples, 1), labelled)
        fields = self.findChildren(QWidget)
        for field in fields:
            field.blockSignals(True)
        automatic = self.tr("automatic ({value})")
        for box, value, chosen in (
            (self.epochs, settings.epochs, found.epochs),
            (self.batch_size, settings.batch_size, found.batch_size),
            (self.freeze_observers, settings.freeze_observers, found.freeze_observers),
        ):
            box.setSpecialValueText(automatic.format(value=chosen))
            box.setValue(value)
        for box in (self.freeze_observers, self.freeze_batch_norm):
            box.setPrefix(self.tr("from epoch "))
        self.samples.setSpecialValueText(self.tr("all not evaluated"))
        self.samples.setValue(settings.samples)
        self.validation.setValue(settings.validation * 100)
        self.learning_rate.setSpecialValueText(automatic.format(value=f"{found.learning_rate:g}"))
        self.learning_rate.setValue(settings.learning_rate)
        self.weight_decay.setValue(settings.weight_decay)
        self.seed.setValue(settings.seed)
        self.freeze_batch_norm.setValue(settings.freeze_batch_norm)
        self.only_qat.setChecked(settings.only_qat)
        self._show_choices(settings, found, devices)
        for field in fields:
            field.blockSignals(False)

    def _show_choices(self, settings: Training, found: Training, devices: Sequence[str]) -> None:
        tr = self.tr
        no_labels = "" if self._labelled else tr("The data has no labels.")
        loss = settings.loss if settings.loss in ("", CROSS_ENTROPY, DISTILL) else _OWN
        usual = tr("cross-entropy") if found.loss == CROSS_ENTROPY else tr("distillation")
        losses = [
            Choice("", tr("automatic ({value})").format(value=usual)),
            Choice(CROSS_ENTROPY, tr("cross-entropy"), no_labels),
            Choice(DISTILL, tr("distillation (needs no labels)")),
            Choice(_OWN, tr("own function…")),
        ]
        self.loss.set_choices(losses, loss)
        self.own.setText(formatting.shortened(settings.loss, 28) if loss == _OWN else "")
        self._form_of(self.own).setRowVisible(self.own, loss == _OWN)
        self.optimizer.set_choices([Choice("sgd", "SGD"), Choice("adamw", "AdamW")], settings.optimizer)
        schedules = [
            Choice("cosine", tr("cosine, to zero")),
            Choice("step", tr("a tenth after two thirds")),
            Choice("constant", tr("constant")),
        ]
        self.schedule.set_choices(schedules, settings.schedule)
        methods = [Choice("lsq", tr("learned scales (LSQ)")), Choice("moving_average", tr("moving averages"))]
        self.ranges.set_choices(methods, settings.ranges)
        missing = tr("This machine has no such device.")
        places = [
            Choice(name, title, "" if name in devices else missing)
            for name, title in (("cpu", "CPU"), ("cuda", "CUDA"), ("mps", "MPS"))
        ]
        self.device.set_choices(places, settings.device)

    def _form_of(self, field: QWidget) -> QFormLayout:
        group = field.parentWidget()
        layout = group.layout() if group is not None else None
        assert isinstance(layout, QFormLayout)
        return layout

    def set_editable(self, reason: str, steering: Training | None) -> None:
        """Let settings be changed, or none and say why, or only what may be changed while paused.

        Args:
            reason: Why settings cannot be changed now, empty where they can.
            steering: What the paused training has, None where none rests.
        """
        entering = steering is not None and not self._steering
        self._steering = steering is not None
        steerable = (self.learning_rate, self.freeze_observers, self.freeze_batch_norm)
        for field in (*self._buddies, self.only_qat):
            free = not reason or (self._steering and field in steerable)
            if isinstance(field, ChoiceBox) and free:
                continue
            field.setEnabled(free)
            tip = field.property("generalTip") or field.toolTip()
            field.setProperty("generalTip", tip)
            field.setToolTip(tip if free else reason)
        if entering and steering is not None:
            for box, value in (
                (self.learning_rate, steering.learning_rate),
                (self.freeze_observers, steering.freeze_observers),
                (self.freeze_batch_norm, steering.freeze_batch_norm),
            ):
                box.blockSignals(True)
                box.setValue(value)  # type: ignore[arg-type]
                box.blockSignals(False)

    def steering(self, held: Steering) -> Steering | None:
        """Return what the person changed while the training rests, None where nothing was."""
        wanted = Steering(
            held.step,
            self.learning_rate.value() or held.learning_rate,
            self.freeze_observers.value() if self.freeze_observers.value() >= 0 else held.freeze_observers,
            self.freeze_batch_norm.value(),
        )
        return wanted if wanted != held else None

    # Deciding

    def _chosen(self, name: str, value: object) -> None:
        if name == "loss" and value == _OWN:
            self._ask_for_loss()
        else:
            self._decide(name, value)

    def _decide(self, name: str, value: object) -> None:
        if self._steering:
            self.steered.emit()
            return
        wanted = msgspec.structs.replace(self._settings, **{name: value}, steering=())
        titles = {field.objectName(): label.text() for field, label in self._buddies.items()}
        title = titles.get(f"training_{name}", self.tr("Train only QAT layers"))
        if wanted != self._settings:
            self.decided.emit(wanted, self.tr("Training: {title}").format(title=title), f"training.{name}")

    def _ask_for_loss(self) -> None:
        dialog = QFileDialog(self, self.tr("Python file with the loss"), "", self.tr("Python (*.py)"))
        dialog.setObjectName("lossDialog")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.choose_loss_file)
        dialog.finished.connect(lambda _: self.show_settings_again())
        dialog.open()

    def choose_loss_file(self, path: str) -> None:
        """Use the function `loss` of a Python file."""
        self._decide("loss", f"{path}:loss")

    def show_settings_again(self) -> None:
        """Show what is decided, after a choice that was not made."""
        loss = self._settings.loss if self._settings.loss in ("", CROSS_ENTROPY, DISTILL) else _OWN
        index = self.loss.findData(loss)
        self.loss.setCurrentIndex(index)
