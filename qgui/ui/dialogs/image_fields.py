"""How images become tensors: the fields that every source of images has."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from PySide6.QtWidgets import QComboBox, QFormLayout, QGroupBox, QHBoxLayout, QLabel, QSpinBox, QWidget

from qgui.core.recipe import DataReference
from qgui.ui.dialogs.fields import line_edit, spin_box


class ImageFields(QGroupBox):
    """Resize, crop, interpolation, mean and standard deviation.

    Args:
        changed: Called when what is typed differs.
        parent: Qt parent.
    """

    def __init__(self, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("dataImages")
        self.setTitle(self.tr("Images"))
        self._start = DataReference()
        self.resize_box = spin_box("dataResize", self.tr("Resize"), self.tr("Short side after resizing."), (1, 4096))
        self.crop_box = spin_box("dataCrop", self.tr("Crop"), self.tr("Side of the central square."), (1, 4096))
        for box in (self.resize_box, self.crop_box):
            box.setSuffix(self.tr(" px"))
        self.interpolation = QComboBox(self)
        self.interpolation.setObjectName("dataInterpolation")
        self.interpolation.setAccessibleName(self.tr("Interpolation"))
        self.interpolation.setToolTip(self.tr("How pixels are mixed when an image is resized."))
        self.interpolation.addItems(["bilinear", "bicubic", "nearest"])
        sizes = QHBoxLayout()
        parts: tuple[tuple[str, QSpinBox | QComboBox], ...] = (
            (self.tr("Resize"), self.resize_box),
            (self.tr("Crop"), self.crop_box),
            (self.tr("Interpolation"), self.interpolation),
        )
        for label, field in parts:
            sizes.addWidget(QLabel(label, self))
            sizes.addWidget(field)
        sizes.addStretch(1)
        self.mean = line_edit("dataMean", self.tr("Mean"), self.tr("Mean of red, green, blue, subtracted."), changed)
        self.std = line_edit(
            "dataStd",
            self.tr("Std"),
            self.tr("Standard deviation of each channel, by which its values are divided."),
            changed,
        )
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow(sizes)
        for text, edit in ((self.tr("Mean"), self.mean), (self.tr("Std"), self.std)):
            caption = QLabel(text, self)
            caption.setBuddy(edit)
            form.addRow(caption, edit)

    def show_reference(self, reference: DataReference) -> None:
        """Show how a reference makes tensors of images."""
        self._start = reference
        self.resize_box.setValue(reference.resize)
        self.crop_box.setValue(reference.crop)
        self.interpolation.setCurrentText(reference.interpolation)
        self.mean.setText(", ".join(f"{value:g}" for value in reference.mean))
        self.std.setText(", ".join(f"{value:g}" for value in reference.std))

    def applied(self, reference: DataReference) -> DataReference:
        """Return a reference that makes tensors of images as these fields say."""
        return msgspec.structs.replace(
            reference,
            resize=self.resize_box.value(),
            crop=self.crop_box.value(),
            mean=_triple(self.mean.text()) or self._start.mean,
            std=_triple(self.std.text()) or self._start.std,
            interpolation=self.interpolation.currentText(),
        )

    def missing(self) -> str:
        """Return what has to be filled in yet; empty where nothing has."""
        if _triple(self.mean.text()) is None or _triple(self.std.text()) is None:
            return self.tr("Mean and std are three numbers with commas between them.")
        return ""


def _triple(text: str) -> tuple[float, float, float] | None:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return first, second, third
