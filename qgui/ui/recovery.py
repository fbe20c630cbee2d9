"""Decisions that no file holds yet are kept in the person's state folder, and offered again after a crash."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import platformdirs
from PySide6.QtCore import QLockFile, QObject, QTimer

from qgui.core.errors import QguiError
from qgui.core.recipe import Recipe
from qgui.core.recipe_file import write_atomically
from qgui.ui.document import Document

#: How long decisions rest before they are kept.
_DELAY_MS = 2_000


class Kept(msgspec.Struct, frozen=True):
    """What is written.

    Attributes:
        recipe: The decisions.
        path: The document's file, empty where it has none.
        title: What the window called it.
        saved: When it was written, as ISO 8601.
    """

    recipe: Recipe
    path: str
    title: str
    saved: str


class Leftover:
    """Decisions that a program which ended unexpectedly left behind.

    Args:
        kept: The decisions.
        file: Where they lie.
    """

    def __init__(self, kept: Kept, file: Path) -> None:
        self.recipe = kept.recipe
        self.path = Path(kept.path) if kept.path else None
        self.title = kept.title
        self.time = datetime.fromisoformat(kept.saved).astimezone().strftime("%Y-%m-%d %H:%M")
        self._file = file

    def discard(self) -> None:
        """Remove it."""
        self._file.unlink(missing_ok=True)
        self._file.with_suffix(".lock").unlink(missing_ok=True)


def state_folder() -> Path:
    """Return where decisions are kept."""
    return Path(platformdirs.user_state_dir("qgui", appauthor=False)) / "autosave"


def leftovers(folder: Path | None = None) -> list[Leftover]:
    """Return what programs that no longer run left behind, newest first."""
    found = []
    for file in (folder or state_folder()).glob("*.json"):
        lock = QLockFile(str(file.with_suffix(".lock")))
        lock.setStaleLockTime(0)
        if not lock.tryLock(0):
            continue
        lock.unlock()
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=Kept)
            found.append((kept.saved, Leftover(kept, file)))
        except (OSError, ValueError, msgspec.DecodeError):
            continue
    return [leftover for _, leftover in sorted(found, key=lambda pair: pair[0], reverse=True)]


class Autosave(QObject):
    """Keeps the unsaved decisions of a document.

    Args:
        document: Whose decisions.
        folder: Where to keep them, by default in the person's state folder.
        parent: Qt parent.
    """

    def __init__(self, document: Document, folder: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._file = (folder or state_folder()) / f"{uuid.uuid4().hex}.json"
        self._lock: QLockFile | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.timeout.connect(self.keep)
        document.recipe_changed.connect(self._on_changed)
        document.file_changed.connect(self._on_changed)

    @property
    def file(self) -> Path:
        """Where the decisions are kept."""
        return self._file

    def _on_changed(self) -> None:
        if self._document.modified:
            self._timer.start()
        else:
            self.forget()

    def keep(self) -> None:
        """Write the decisions now."""
        document = self._document
        if not document.modified:
            return
        kept = Kept(
            document.recipe, str(document.path or ""), document.title, datetime.now(UTC).isoformat(timespec="seconds")
        )
        try:
            write_atomically(self._file, msgspec.json.encode(kept))
        except QguiError as error:
            document.notice.emit(self.tr("Decisions could not be kept: {why}").format(why=error.why))
            return
        if self._lock is None:
            self._lock = QLockFile(str(self._file.with_suffix(".lock")))
            self._lock.setStaleLockTime(0)
            self._lock.tryLock(0)

    def forget(self) -> None:
        """Remove what was kept: a file holds the decisions now, or they are given up."""
        self._timer.stop()
        self._file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.unlock()
            self._lock = None
