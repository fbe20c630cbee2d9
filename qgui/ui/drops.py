"""Files and folders dropped onto the window: what they are good for, told while they hover, done when they fall."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, QRect, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from qgui.core.language import say
from qgui.ui.document import SUFFIX


class DropKind(enum.Enum):
    """What a dropped file or folder is taken for."""

    RECIPE = "recipe"
    MODEL = "model"
    CODE = "code"
    FOLDER = "folder"
    ARRAYS = "arrays"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Drop:
    """What would happen if something fell now.

    Attributes:
        kind: What it is taken for; `NOTHING` where it is of no use now.
        path: Where it lies; empty where it is nothing on this machine.
        sentence: What will be done with it, or why nothing can.
    """

    kind: DropKind
    path: str
    sentence: str

    @property
    def useful(self) -> bool:
        """Whether it can be dropped."""
        return self.kind is not DropKind.NOTHING


_KINDS = {
    SUFFIX: DropKind.RECIPE,
    ".json": DropKind.RECIPE,
    ".pt": DropKind.MODEL,
    ".pth": DropKind.MODEL,
    ".py": DropKind.CODE,
    ".npz": DropKind.ARRAYS,
}


def judged(paths: Sequence[str], why_no_model: str, why_no_data: str) -> Drop:
    """Return what dropped files and folders are good for.

    Args:
        paths: Local paths; where there are several, the first that is of use counts.
        why_no_model: Why no model can be opened now; empty where one can.
        why_no_data: Why no data can be opened now; empty where it can.
    """
    found = [_judged_one(path, why_no_model, why_no_data) for path in paths if path]
    nothing = Drop(DropKind.NOTHING, "", say("Only files and folders of this machine can be dropped here."))
    return next((drop for drop in found if drop.useful), found[0] if found else nothing)


def _judged_one(path: str, why_no_model: str, why_no_data: str) -> Drop:
    place = Path(path)
    suffix = place.suffix.lower()
    kind = DropKind.FOLDER if place.is_dir() else _KINDS.get(suffix, DropKind.NOTHING)
    why = why_no_data if kind in {DropKind.FOLDER, DropKind.ARRAYS} else why_no_model
    if kind is DropKind.NOTHING:
        sentence = say(
            "{name} cannot be opened. Drop a model (.pt, .pth, .py), a recipe ({recipe}), an image folder or {npz}."
        )
        if suffix == ".safetensors":
            sentence = say("{name} holds weights only. Choose Open model, and give this file as the weights.")
        return Drop(kind, path, sentence.format(name=place.name, recipe=SUFFIX, npz=".npz"))
    if why:
        sentence = say("{name} cannot be opened now. {why}")
        return Drop(DropKind.NOTHING, path, sentence.format(name=place.name, why=why))
    sentence = {
        DropKind.RECIPE: say("Drop to open the recipe {name}."),
        DropKind.MODEL: say("Drop to open the model {name}."),
        DropKind.CODE: say("Drop to choose the function in {name} that builds the model."),
        DropKind.FOLDER: say("Drop to open the images in {name} as data."),
        DropKind.ARRAYS: say("Drop to open {name} as data."),
    }[kind]
    return Drop(kind, path, sentence.format(name=place.name))


class DropHint(QWidget):
    """A box over the middle of the window that says what will happen.

    Args:
        parent: The window.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("dropHint")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.text = QLabel(self)
        self.text.setObjectName("dropHintText")
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        font = self.text.font()
        font.setPointSizeF(font.pointSizeF() * 1.4)
        self.text.setFont(font)
        column = QVBoxLayout(self)
        column.addWidget(self.text)
        self.hide()

    def tell(self, drop: Drop) -> None:
        """Show what will happen."""
        self.setProperty("useful", drop.useful)
        self.style().unpolish(self)
        self.style().polish(self)
        self.text.setText(drop.sentence if drop.useful else f"✕ {drop.sentence}")
        self.setAccessibleName(drop.sentence)
        parent = self.parentWidget()
        if parent is not None:
            width = parent.width() * 3 // 5
            box = QRect(0, 0, width, max(self.heightForWidth(width), self.fontMetrics().height() * 7))
            box.moveCenter(parent.rect().center())
            self.setGeometry(box)
        self.show()
        self.raise_()


class Drops(QObject):
    """Takes what is dragged over the window.

    Signals:
        dropped: A `Drop` that is of use.

    Args:
        window: The window; it is made to accept drops.
        judge: Returns what paths are good for now.
    """

    dropped = Signal(object)

    def __init__(self, window: QWidget, judge: Callable[[Sequence[str]], Drop]) -> None:
        super().__init__(window)
        self._judge = judge
        self._hovering: Drop | None = None
        self.hint = DropHint(window)
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        match event:
            case QDragEnterEvent():
                self._hovering = self._judge(_paths(event.mimeData()))
                self.hint.tell(self._hovering)
                # Also what is of no use is let in: otherwise Qt would not say when it leaves.
                event.acceptProposedAction()
            case QDragMoveEvent():
                event.setAccepted(self._hovering is not None and self._hovering.useful)
            case QDropEvent():
                self._fall(event)
            case _ if event.type() is QEvent.Type.DragLeave:
                self._end()
            case _:
                return False
        return True

    def _fall(self, event: QDropEvent) -> None:
        self._end()
        drop = self._judge(_paths(event.mimeData()))
        event.setAccepted(drop.useful)
        if drop.useful:
            self.dropped.emit(drop)

    def _end(self) -> None:
        self._hovering = None
        self.hint.hide()


def _paths(data: QMimeData) -> list[str]:
    return [url.toLocalFile() for url in data.urls()]
