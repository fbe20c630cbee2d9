"""Does a whole job in a window and prints every text that is not Chinese.

    QGUI_LANGUAGE=zh_CN python tests/ui/chinese_walk.py DIR

Run in a process of its own, since a process speaks one language.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from pyqtgraph import GraphicsScene
from PySide6.QtCore import QAbstractListModel, QEventLoop, QModelIndex, Qt, QTimer
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QGraphicsSimpleTextItem,
    QGraphicsTextItem,
    QGraphicsView,
    QGroupBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QTabBar,
    QWidget,
)

from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.actions import ActionId
from qgui.ui.app import create_application
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName

#: Words that Chinese users of PyTorch write in Latin letters: names of classes, products, units, dtypes, keys.
NAMES = set(
    """
    qgui pytorch torch torchvision torchscript onnx openvino netron runtime qnnpack fbgemm onednn x86 imagenet eager
    int8 qint8 quint8 float32 float16 relu relu6 conv2d linear lstm gru batchnorm2d minmax movingaverage movingavg mse
    kl sqnr db ms mb kb gb gib macs qat p95 top lsq sgd adamw adaround vnni amx avx512 epyc amd intel cpu px mean std
    ctrl shift alt page up down del esc home end ir python c json csv png html npz pt pth py onnxruntime github apache
    license qscheme observer reduce range english mrpc glue bert cosine bilinear bicubic nearest data build alexnet
    dtype resnet mobilenet googlenet inception resnext shufflenet xeon samsung transformer transformers digits cnn
    """.split()  # noqa: SIM905
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_MARKUP = re.compile(r"<[^>]*>|&\w+;|&(?=\w)")
_CODE = re.compile(
    r"\b[\w./~*-]*[._/:=*][\w./:*~=-]*|\b[A-Z]{2,}\w*|\b[a-z]+[A-Z]\w*|\b[A-Z][a-z]+[A-Z0-9]\w*|\w*\d\w*|--[\w-]+|\([A-Z]\)"
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*[A-Za-z]")


def foreign(text: str, data: list[str]) -> list[str]:
    """Return the English words of a text that are neither names nor data of the model."""
    plain = _MARKUP.sub(" ", text)
    for piece in data:
        plain = plain.replace(piece, " ")
    words = [word for word in _WORD.findall(_CODE.sub(" ", plain)) if word.lower() not in NAMES]
    return words if words and (not _HAN.search(text) or len(words) > 3) else []


def texts(root: QWidget) -> Iterator[tuple[str, str]]:
    """Yield every text of a widget and what is in it, with where it stands."""
    for widget in [root, *root.findChildren(QWidget)]:
        place = f"{type(widget).__name__} {widget.objectName()}"
        for text in (widget.toolTip(), widget.accessibleName(), widget.accessibleDescription(), widget.windowTitle()):
            yield place, text
        if isinstance(widget, QLabel | QAbstractButton):
            yield place, widget.text()
        if isinstance(widget, QGroupBox | QMenu):
            yield place, widget.title()
        if isinstance(widget, QLineEdit):
            yield place, widget.placeholderText()
        if isinstance(widget, QAbstractSpinBox):
            yield place, widget.text()
        if isinstance(widget, QPlainTextEdit):
            yield place, widget.placeholderText()
        if isinstance(widget, QComboBox):
            yield from ((place, widget.itemText(row)) for row in range(widget.count()))
        if isinstance(widget, QTabBar):
            yield from (
                (place, text) for tab in range(widget.count()) for text in (widget.tabText(tab), widget.tabToolTip(tab))
            )
        if isinstance(widget, QAbstractItemView) and not isinstance(widget, QHeaderView):
            yield from ((place, text) for text in _cells(widget))
        if isinstance(widget, QGraphicsView):
            for item in widget.scene().items():
                if isinstance(item, QGraphicsTextItem):
                    yield place, item.toPlainText()
                elif isinstance(item, QGraphicsSimpleTextItem):
                    yield place, item.text()
    for action in root.findChildren(QAction):
        if isinstance(action.parent(), GraphicsScene):
            continue  # pyqtgraph makes its menu, which is never shown here
        yield f"QAction {action.objectName()}", action.text()
        yield f"QAction {action.objectName()}", action.toolTip()


def _cells(view: QAbstractItemView) -> Iterator[str]:

    model = view.model()
    if model is None:
        return
    root = QModelIndex()
    columns = 1 if isinstance(model, QAbstractListModel) else model.columnCount(root)
    roles = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole)
    for column in range(columns):
        for role in roles:
            yield str(model.headerData(column, Qt.Orientation.Horizontal, role) or "")
    for row in range(min(model.rowCount(root), 60)):
        for column in range(columns):
            for role in roles:
                value = model.index(row, column).data(role)
                if isinstance(value, str):
                    yield value


class Walk:
    """A job in a window whose texts are gathered."""

    def __init__(self, folder: Path) -> None:
        self.application = create_application()
        settings = Settings(folder / "settings.ini")
        self.window = MainWindow(settings, Theme(ThemeName.LIGHT, self.application), state_folder=folder)
        self.found: dict[str, str] = {}
        self.failed = ""
        self._loop = QEventLoop()
        self.window.workflow.failed.connect(self._fail)
        self.data: list[str] = []

    def _fail(self, failure: object) -> None:
        self.failed = str(failure)
        self._loop.quit()

    def step(self, name: str, begin: object) -> None:
        """Begin something and wait until it is finished."""

        def ended(step: str) -> None:
            if step == name:
                self._loop.quit()

        self.window.workflow.step_finished.connect(ended)
        QTimer.singleShot(80_000, self._loop.quit)
        begin()  # type: ignore[operator]
        if not self.failed:
            self._loop.exec()
        self.window.workflow.step_finished.disconnect(ended)
        if self.failed:
            raise SystemExit(f"{name}: {self.failed}")

    def settle(self, milliseconds: int = 200) -> None:
        """Let the window show what is new."""
        QTimer.singleShot(milliseconds, self._loop.quit)
        self._loop.exec()

    def gather(self, when: str, root: QWidget | None = None) -> None:
        """Note what is not Chinese now."""
        for place, text in texts(root or self.window):
            if text and foreign(text, self.data):
                self.found.setdefault(text, f"{when}: {place}")

    def dialogs(self) -> None:
        """Open the dialogs that the menus offer and look at them."""
        for action, name in (
            (ActionId.OPEN_MODEL, "openModelDialog"),
            (ActionId.OPEN_DATA, "openDataDialog"),
            (ActionId.EXPORT, "exportDialog"),
            (ActionId.PREFERENCES, "preferencesDialog"),
        ):
            self.window.actions_by_id[action].trigger()
            self.settle(50)
            dialog = self.window.findChild(QDialog, name)
            if dialog is None:
                raise SystemExit(f"{name} did not open")
            self.gather(name, dialog)
            dialog.reject()
            self.settle(50)

    def run(self) -> None:
        """Do the job."""
        window, workflow = self.window, self.window.workflow
        window.resize(1280, 800)
        window.show()
        self.settle()
        self.gather("start")
        window.client.start()
        window.build_panels()
        self.step("model", lambda: window.open_model(ModelReference("example:digits-cnn")))
        self.step("data", lambda: workflow.open_data(DataReference("example:digits", calibrate=40, evaluate=40)))
        document = window.document
        assert document.model is not None
        found = {part for layer in document.model.layers for part in (layer.name, layer.type, *layer.name.split("."))}
        self.data = sorted((part for part in found if len(part) > 1), key=len, reverse=True)
        self.gather("opened")
        self.step("calibrate", workflow.calibrate)
        self.step("quantize", workflow.quantize)
        names = [layer.name for layer in document.model.layers if layer.head and layer.weight_shape]
        for name in names[:3]:
            window.layer_panel.select([name])
            self.settle()
            self.gather("quantized")
        self.step("compare", window.compare)
        tabs = window.workbench.tabs
        for place in range(tabs.count()):
            if "graph" in tabs.widget(place).objectName().lower():
                continue
            tabs.setCurrentIndex(place)
            self.settle()
            self.gather(tabs.tabText(place))
        self.dialogs()


def main() -> int:
    """Print what is not Chinese; return 1 where there is any."""
    walk = Walk(Path(sys.argv[1]))
    try:
        walk.run()
    finally:
        walk.window.close_without_asking()
        walk.window.deleteLater()
        QApplication.processEvents()
    for text, place in sorted(walk.found.items(), key=lambda entry: entry[1]):
        print(f"{place}: {text!r}")
    print(f"{len(walk.found)} texts are not Chinese")
    return 1 if walk.found else 0


if __name__ == "__main__":
    raise SystemExit(main())
