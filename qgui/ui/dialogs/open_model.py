"""Choosing a model."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QWidget

from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.dialogs.fields import FieldPage, PathField, line_edit
from qgui.ui.dialogs.source_dialog import SourceDialog
from qgui.ui.examples import Example, examples

#: Names of torchvision's classification models that quantize well; others can be typed.
TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1",
    "swin_t", "vgg11", "vgg16", "vit_b_16", "wide_resnet50_2",
)  # fmt: skip
_EXAMPLE_ROLE = 256
_CHECKPOINTS = "*.pt *.pth *.safetensors"


class OpenModelDialog(SourceDialog):
    """Asks for a model source and its weights.

    Signals:
        chosen: A `ModelReference`, and a `DataReference` where the model brings its data.

    Args:
        parent: Qt parent.
    """

    chosen = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("openModelDialog", "", "", parent)
        self.setWindowTitle(self.tr("Open model"))
        self.ok.setText(self.tr("Open model"))
        self.ok.setAccessibleName(self.tr("Open model"))
        for text, tip, page in (
            (self.tr("Example"), self.tr("A small network that comes with QGUI."), self._example_page()),
            ("torchvision", self.tr("A model of the torchvision package."), self._torchvision_page()),
            (self.tr("Python code"), self.tr("A function that builds the model."), self._python_page()),
            ("transformers", self.tr("A classifier that save_pretrained wrote."), self._transformers_page()),
            (self.tr("Saved model"), self.tr("A whole model that torch.save wrote."), self._saved_page()),
        ):
            self.add_page(text, tip, page)
        self.finish()
        self.accepted.connect(self._on_accepted)

    def _example_page(self) -> QWidget:
        page = FieldPage(self.tr("Small networks trained on handwritten digits; their data is opened with them."))
        self.example = QListWidget(page)
        self.example.setObjectName("exampleList")
        self.example.setAccessibleName(self.tr("Example"))
        self.example.setToolTip(self.tr("Choose an example."))
        self.example.setWordWrap(True)
        self.example.setSpacing(4)
        for example in examples():
            item = QListWidgetItem(f"{example.title}\n{example.sentence}")
            item.setData(_EXAMPLE_ROLE, example)
            item.setToolTip(example.source)
            self.example.addItem(item)
        self.example.setCurrentRow(0)
        self.example.itemDoubleClicked.connect(self.accept)
        page.form.addRow(self.example)
        return page

    def _torchvision_page(self) -> QWidget:
        page = FieldPage(self.tr("Any classification model of torchvision, by its name."))
        self.torchvision = QComboBox(page)
        self.torchvision.setObjectName("torchvisionName")
        self.torchvision.setAccessibleName(self.tr("Model name"))
        self.torchvision.setToolTip(self.tr("Choose a model or type the name of another one."))
        self.torchvision.setEditable(True)
        self.torchvision.addItems(list(TORCHVISION))
        self.torchvision.setCurrentText("resnet18")
        self.torchvision.editTextChanged.connect(self.check)
        page.add(self.tr("Model"), self.torchvision)
        self.weights_kind = QComboBox(page)
        self.weights_kind.setObjectName("torchvisionWeights")
        self.weights_kind.setAccessibleName(self.tr("Weights"))
        self.weights_kind.setToolTip(self.tr("Random weights are enough to look at latency, not at accuracy."))
        self.weights_kind.addItem(self.tr("Pretrained (DEFAULT, downloaded once)"), "DEFAULT")
        self.weights_kind.addItem(self.tr("From a file"), "file")
        self.weights_kind.addItem(self.tr("Random (latency only)"), "")
        self.weights_kind.currentIndexChanged.connect(self._on_weights_kind)
        page.add(self.tr("Weights"), self.weights_kind)
        self.torchvision_file = self._weights_field("torchvisionFile", page)
        page.add(self.tr("File"), self.torchvision_file)
        self._torchvision_form = page
        self._on_weights_kind()
        return page

    def _python_page(self) -> QWidget:
        page = FieldPage(
            self.tr("A function without arguments that returns a torch.nn.Module. It runs in the engine's process.")
        )
        self.python = PathField(
            "pythonFile",
            self.tr("Python file or module"),
            self.tr("A file such as nets.py, or an importable module such as package.module."),
            self.tr("Python files (*.py)"),
            page,
        )
        self.python.changed.connect(self.check)
        page.add(self.tr("File or module"), self.python)
        self.callable = line_edit(
            "pythonCallable",
            self.tr("Function"),
            self.tr("Name of the function or class to call."),
            self.check,
            "build",
        )
        page.add(self.tr("Function"), self.callable)
        self.python_weights = self._weights_field("pythonWeights", page)
        page.add(self.tr("Weights (optional)"), self.python_weights)
        return page

    def _transformers_page(self) -> QWidget:
        page = FieldPage(
            self.tr(
                "A classifier of the package transformers in the folder that save_pretrained wrote. The package has to "
                "be installed; nothing is downloaded."
            )
        )
        self.transformers = PathField(
            "transformersFolder",
            self.tr("Model folder"),
            self.tr("The folder with config.json and the weights."),
            "",
            page,
        )
        self.transformers.changed.connect(self.check)
        page.add(self.tr("Folder"), self.transformers)
        return page

    def _saved_page(self) -> QWidget:
        page = FieldPage(
            self.tr("A whole model in a file. A file that needs to run code to open asks for your agreement first.")
        )
        self.saved = PathField(
            "savedFile",
            self.tr("Model file"),
            self.tr("A .pt or .pth file with a whole model."),
            self.tr("PyTorch files (*.pt *.pth)"),
            page,
        )
        self.saved.changed.connect(self.check)
        page.add(self.tr("File"), self.saved)
        return page

    def _weights_field(self, name: str, page: QWidget) -> PathField:
        field = PathField(
            name,
            self.tr("Weights file"),
            self.tr("A state dict as .pt, .pth or .safetensors."),
            self.tr("Weights ({patterns})").format(patterns=_CHECKPOINTS),
            page,
        )
        field.changed.connect(self.check)
        return field

    def offer_code(self, path: str) -> None:
        """Begin with a Python file."""
        self.python.set_path(path)
        self.kinds.setCurrentRow(2)

    def _on_weights_kind(self) -> None:
        shown = self.weights_kind.currentData() == "file"
        self._torchvision_form.form.setRowVisible(self.torchvision_file, shown)
        self.check()

    def _example(self) -> Example | None:
        example = self.example.currentItem().data(_EXAMPLE_ROLE) if self.example.currentRow() >= 0 else None
        return example if isinstance(example, Example) else None

    def reference(self) -> ModelReference:
        """Return what is chosen."""
        match self.pages.currentIndex():
            case 0:
                example = self._example()
                return ModelReference(example.source if example else "")
            case 1:
                kind = self.weights_kind.currentData()
                weights = self.torchvision_file.path if kind == "file" else kind
                return ModelReference(f"torchvision:{self.torchvision.currentText().strip()}", weights)
            case 2:
                function = self.callable.text().strip() or self.callable.placeholderText()
                return ModelReference(f"{self.python.path}:{function}", self.python_weights.path)
            case 3:
                return ModelReference(f"transformers:{self.transformers.path}")
            case _:
                return ModelReference(self.saved.path)

    def missing(self) -> str:
        page = self.pages.currentIndex()
        if page == 1 and not self.torchvision.currentText().strip():
            return self.tr("Choose a model.")
        if page == 1 and self.weights_kind.currentData() == "file" and not Path(self.torchvision_file.path).is_file():
            return self.tr("Choose the weights file.")
        if page == 2 and not self.python.path:
            return self.tr("Choose a Python file, or type the name of a module.")
        if page == 2 and self.python.path.endswith(".py") and not Path(self.python.path).is_file():
            return self.tr("There is no file {path}.").format(path=self.python.path)
        if page == 2 and self.python_weights.path and not Path(self.python_weights.path).is_file():
            return self.tr("There is no file {path}.").format(path=self.python_weights.path)
        if page == 3 and not (Path(self.transformers.path or "?") / "config.json").is_file():
            return self.tr("Choose the folder that save_pretrained wrote, with config.json in it.")
        if page == 4 and not Path(self.saved.path).is_file():
            return self.tr("Choose the model file.")
        return ""

    def preview(self) -> str:
        reference = self.reference()
        weights = f" --weights {reference.weights}" if reference.weights else ""
        return self.tr("On the command line: {text}").format(text=f"{reference.source}{weights}")

    def _on_accepted(self) -> None:
        example = self._example() if self.pages.currentIndex() == 0 else None
        self.chosen.emit(self.reference(), DataReference(example.data) if example is not None else None)
