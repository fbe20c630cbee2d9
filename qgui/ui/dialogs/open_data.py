"""Choosing data, how images become tensors, and how many samples are used for what."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QGroupBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from qgui.core.layers import ModelDescription
from qgui.core.recipe import DataReference
from qgui.ui.dialogs.fields import FieldPage, PathField, line_edit, spin_box
from qgui.ui.dialogs.image_fields import ImageFields
from qgui.ui.dialogs.source_dialog import SourceDialog
from qgui.ui.examples import DIGITS_DATA

_SHAPE = re.compile(r"\d+(x\d+)*")
_PAGES = ("example", "folder", "imagenet", "npz", "python", "random")
#: These hold images, which become tensors as the dialog says.
_IMAGES = ("folder", "imagenet")


class OpenDataDialog(SourceDialog):
    """Asks for data.

    Signals:
        chosen: A `DataReference`.

    Args:
        model: The open model, whose input shape is proposed.
        reference: What was chosen last, to begin with.
        parent: Qt parent.
    """

    chosen = Signal(object)

    def __init__(self, model: ModelDescription, reference: DataReference, parent: QWidget | None = None) -> None:
        super().__init__("openDataDialog", "", "", parent)
        self.setWindowTitle(self.tr("Open data"))
        self.ok.setText(self.tr("Open data"))
        self.ok.setAccessibleName(self.tr("Open data"))
        self._model = model
        for text, tip, page in (
            (self.tr("Example"), self.tr("Handwritten digits that come with QGUI."), self._example_page()),
            (self.tr("Image folder"), self.tr("One directory for each class."), self._folder_page()),
            ("ImageNet", self.tr("The validation images of ImageNet."), self._imagenet_page()),
            (self.tr("NumPy file"), self.tr("An .npz file with arrays x and y."), self._npz_page()),
            (self.tr("Python code"), self.tr("A function that returns a dataset."), self._python_page()),
            (self.tr("Random"), self.tr("Random numbers, for latency only."), self._random_page()),
        ):
            self.add_page(text, tip, page)
        self.images = ImageFields(self.check, self)
        self.samples = self._samples_box()
        self.body.addWidget(self.images)
        self.body.addWidget(self.samples)
        self.body.addStretch(1)
        self.kinds.currentRowChanged.connect(lambda row: self.images.setVisible(_PAGES[row] in _IMAGES))
        self.finish()
        self._begin_with(reference)
        self.accepted.connect(lambda: self.chosen.emit(self.reference()))

    def _example_page(self) -> QWidget:
        return FieldPage(self.tr("1,797 handwritten digits of 8 × 8 pixels (scikit-learn), for the bundled examples."))

    def _folder_page(self) -> QWidget:
        page = FieldPage(
            self.tr(
                "A folder with one directory per class; the lines of classes.txt, if it lies there, give the labels."
            )
        )
        self.folder = PathField("dataFolder", self.tr("Folder"), self.tr("The folder of the classes."), "", page)
        self.folder.changed.connect(self.check)
        page.add(self.tr("Folder"), self.folder)
        return page

    def _imagenet_page(self) -> QWidget:
        page = FieldPage(
            self.tr(
                "ImageNet's validation images with torchvision's labels: a directory per synset, or the files "
                "ILSVRC2012_val_*.JPEG with the development kit beside them."
            )
        )
        self.imagenet = PathField(
            "dataImagenet", self.tr("Folder"), self.tr("The folder of ImageNet's validation images."), "", page
        )
        self.imagenet.changed.connect(self.check)
        page.add(self.tr("Folder"), self.imagenet)
        return page

    def _npz_page(self) -> QWidget:
        page = FieldPage(self.tr("Arrays x (samples first) and, for accuracy, y (class indices)."))
        self.npz = PathField(
            "dataNpz", self.tr("NumPy file"), self.tr("An .npz file."), self.tr("NumPy files (*.npz)"), page
        )
        self.npz.changed.connect(self.check)
        page.add(self.tr("File"), self.npz)
        return page

    def _python_page(self) -> QWidget:
        page = FieldPage(
            self.tr(
                "A function that returns a Dataset or an iterable of (inputs, target). It runs in the engine's process."
            )
        )
        self.python = PathField(
            "dataPython",
            self.tr("Python file or module"),
            self.tr("A file such as data.py, or an importable module."),
            self.tr("Python files (*.py)"),
            page,
        )
        self.python.changed.connect(self.check)
        page.add(self.tr("File or module"), self.python)
        self.callable = line_edit(
            "dataCallable", self.tr("Function"), self.tr("Name of the function to call."), self.check, "data"
        )
        page.add(self.tr("Function"), self.callable)
        return page

    def _random_page(self) -> QWidget:
        page = FieldPage(self.tr("Normally distributed numbers: enough to measure latency, useless for accuracy."))
        self.shape_edit = line_edit(
            "dataShape", self.tr("Shape"), self.tr("Shape of the input, batch first, such as 1x3x224x224."), self.check
        )
        page.add(self.tr("Shape"), self.shape_edit)
        return page

    def _samples_box(self) -> QGroupBox:
        box = QGroupBox(self.tr("Samples"), self)
        self.calibrate = spin_box(
            "dataCalibrate",
            self.tr("Calibration"),
            self.tr("Samples for calibration; 100 are often enough."),
            (1, 10**6),
        )
        self.evaluate = spin_box(
            "dataEvaluate", self.tr("Evaluation"), self.tr("Samples for accuracy; none of the calibration."), (0, 10**7)
        )
        self.evaluate.setSpecialValueText(self.tr("all others"))
        self.batch = spin_box("dataBatch", self.tr("Batch size"), self.tr("Samples in each batch."), (1, 4096))
        self.seed = spin_box("dataSeed", self.tr("Seed"), self.tr("Seed of the random split."), (0, 2**31 - 1))
        first, second = QHBoxLayout(), QHBoxLayout()
        for row, label, field in (
            (first, self.tr("Calibrate with"), self.calibrate),
            (first, self.tr("Evaluate with"), self.evaluate),
            (second, self.tr("Batch size"), self.batch),
            (second, self.tr("Seed of the split"), self.seed),
        ):
            text = QLabel(label, box)
            text.setBuddy(field)
            row.addWidget(text)
            row.addWidget(field)
        self.overlap = QCheckBox(self.tr("Evaluate calibration samples too"), box)
        self.overlap.setObjectName("dataOverlap")
        self.overlap.setAccessibleName(self.tr("Evaluate calibration samples too"))
        self.overlap.setToolTip(self.tr("For very small sets only: the accuracy then flatters the quantized model."))
        self.metric_edit = line_edit(
            "dataMetric",
            self.tr("Metric"),
            self.tr("PATH.py:CALLABLE with (outputs, target) -> float; empty for accuracy."),
            self.check,
            self.tr("accuracy (or PATH.py:CALLABLE)"),
        )
        third = QHBoxLayout()
        third.addWidget(QLabel(self.tr("Metric"), box))
        third.addWidget(self.metric_edit, 1)
        layout = QVBoxLayout(box)
        for row in (first, second, third):
            if row is not third:
                row.addStretch(1)
            layout.addLayout(row)
        layout.addWidget(self.overlap)
        return box

    def _begin_with(self, reference: DataReference) -> None:
        self.images.show_reference(reference)
        self.calibrate.setValue(reference.calibrate)
        self.evaluate.setValue(reference.evaluate)
        self.batch.setValue(reference.batch_size)
        self.seed.setValue(reference.seed)
        self.overlap.setChecked(reference.overlap)
        self.metric_edit.setText(reference.metric)
        self.shape_edit.setText(self._input_shape())
        self._choose_page(reference.source)

    def _input_shape(self) -> str:
        for layer in self._model.layers:
            if layer.kind == "input" and layer.output_shape:
                return "x".join(map(str, layer.output_shape))
        return "1x3x224x224"

    def _choose_page(self, source: str) -> None:
        kind, _, rest = source.partition(":")
        if source.endswith(".npz"):
            page = "npz"
            self.npz.set_path(source)
        elif kind == "folder":
            page = "folder"
            self.folder.set_path(rest)
        elif kind == "imagenet":
            page = "imagenet"
            self.imagenet.set_path(rest)
        elif kind == "random":
            page = "random"
            self.shape_edit.setText(rest)
        elif source and kind != "example":
            page = "python"
            path, _, function = source.rpartition(":")
            self.python.set_path(path)
            self.callable.setText(function)
        elif kind == "example" or self._model.source.startswith("example:"):
            page = "example"
        else:
            page = "folder"
        self.kinds.setCurrentRow(_PAGES.index(page))

    def offer_folder(self, path: str) -> None:
        """Begin with an image folder."""
        self.folder.set_path(path)
        self.kinds.setCurrentRow(_PAGES.index("folder"))

    def offer_npz(self, path: str) -> None:
        """Begin with a NumPy file."""
        self.npz.set_path(path)
        self.kinds.setCurrentRow(_PAGES.index("npz"))

    def _source(self) -> str:
        match _PAGES[self.pages.currentIndex()]:
            case "example":
                return DIGITS_DATA
            case "folder":
                return f"folder:{self.folder.path}"
            case "imagenet":
                return f"imagenet:{self.imagenet.path}"
            case "npz":
                return self.npz.path
            case "python":
                return f"{self.python.path}:{self.callable.text().strip() or self.callable.placeholderText()}"
            case _:
                return f"random:{self.shape_edit.text().strip()}"

    def reference(self) -> DataReference:
        """Return what is chosen."""
        chosen = DataReference(
            source=self._source(),
            calibrate=self.calibrate.value(),
            evaluate=self.evaluate.value(),
            seed=self.seed.value(),
            overlap=self.overlap.isChecked(),
            batch_size=self.batch.value(),
            metric=self.metric_edit.text().strip(),
        )
        return self.images.applied(chosen)

    def missing(self) -> str:
        page = _PAGES[self.pages.currentIndex()]
        if page == "folder" and not Path(self.folder.path or "?").is_dir():
            return self.tr("Choose the folder of the images.")
        if page == "imagenet" and not Path(self.imagenet.path or "?").is_dir():
            return self.tr("Choose the folder of ImageNet's validation images.")
        if page in _IMAGES and (missing := self.images.missing()):
            return missing
        if page == "npz" and not Path(self.npz.path or "?").is_file():
            return self.tr("Choose the .npz file.")
        if page == "python" and not self.python.path:
            return self.tr("Choose a Python file, or type the name of a module.")
        if page == "random" and not _SHAPE.fullmatch(self.shape_edit.text().strip()):
            return self.tr("Write the shape as numbers with x between them, such as 1x3x224x224.")
        return ""

    def preview(self) -> str:
        return self.tr("On the command line: {text}").format(text=f"--data {self._source()}")
