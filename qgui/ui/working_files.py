"""Where the engine writes what the window reads: a folder for every model that is opened, gone with the model."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from PySide6.QtCore import QLockFile

_PREFIX = "qgui-window-"
_LOCK = "window.lock"


def remove_leftovers() -> None:
    """Remove the working files of this person's windows that were killed; those whose program runs stay."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Where there is no lock yet, a window is just making its folder.
        with suppress(OSError):
            if _is_own(folder) and (folder / _LOCK).is_file() and _lock_in(folder).tryLock(0):
                shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    return not folder.is_symlink() and (not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid())


def _lock_in(folder: Path) -> QLockFile:
    lock = QLockFile(str(folder / _LOCK))
    # It is void when its program is gone, never by its age.
    lock.setStaleLockTime(0)
    return lock


class WorkingFiles:
    """The temporary files of one window."""

    def __init__(self) -> None:
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._lock: QLockFile | None = None
        self._place: Path | None = None
        self._former: list[Path] = []
        self._numbers = itertools.count(1)

    def path(self, name: str) -> Path:
        """Return where a file of the open model belongs; folders are made when the first file needs them."""
        if self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
            self._lock = _lock_in(Path(self._own.name))
            self._lock.tryLock(0)
        if self._place is None:
            self._place = Path(self._own.name) / f"model-{next(self._numbers)}"
            self._place.mkdir()
        return self._place / name

    def new_path(self, kind: str, suffix: str) -> Path:
        """Return where a new file of a kind belongs, beside those of the same kind that are still read."""
        return self.path(f"{kind}-{next(self._numbers)}{suffix}")

    def remove_others(self, path: Path) -> None:
        """Remove the files of the same kind as this one, with what was written beside them."""
        kind = path.stem.rpartition("-")[0]
        for other in path.parent.glob(f"{kind}-*"):
            if not other.name.startswith(f"{path.stem}."):
                with suppress(OSError):
                    other.unlink()

    def leave_model(self) -> None:
        """Begin a new folder; the one before stays until `remove_former`."""
        if self._place is not None:
            self._former.append(self._place)
            self._place = None

    def remove_former(self) -> None:
        """Remove the files of models that are no longer open; nobody may be writing any."""
        for folder in self._former:
            shutil.rmtree(folder, ignore_errors=True)
        self._former.clear()

    def close(self) -> None:
        """Remove everything."""
        self._place = None
        self._former.clear()
        if self._lock is not None:
            self._lock.unlock()
            self._lock = None
        if self._own is not None:
            self._own.cleanup()
            self._own = None
