"""Files that are made aside and put in place all together, so that a failure leaves every earlier file as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Staging:
    """A hidden folder beside the places where its files will go.

    Attributes:
        folder: Where the files go.
        scratch: For what is needed on the way only.
        ready: What lies here is put in place by `commit`.
    """

    folder: Path
    scratch: Path
    ready: Path

    def commit(self, gone: Collection[str] = ()) -> None:
        """Rename everything that is ready into place; what stood there before, and what shall be gone, is removed.

        Args:
            gone: Names in the folder that shall not be there any more, unless they are ready again.

        Raises:
            OSError: Something cannot be written or renamed; everything is as it was before.
        """
        for path in self.ready.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        before = self.scratch / "before"
        before.mkdir()
        names = [path.name for path in self.ready.iterdir()]
        moved: list[tuple[Path, Path]] = []
        try:
            for name in (*names, *(name for name in gone if name not in names)):
                if os.path.lexists(self.folder / name):
                    _move(self.folder / name, before / name, moved)
            for name in names:
                _move(self.ready / name, self.folder / name, moved)
        except OSError:
            for source, target in reversed(moved):
                target.rename(source)
            raise


def _move(source: Path, target: Path, moved: list[tuple[Path, Path]]) -> None:
    source.rename(target)
    moved.append((source, target))


@contextmanager
def staged(folder: Path) -> Iterator[Staging]:
    """Make a staging folder in a folder, which is made too where it is missing, and remove it afterwards.

    Raises:
        OSError: It cannot be made.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".qgui-export-", dir=folder))
        try:
            ready = scratch / "ready"
            ready.mkdir()
            yield Staging(folder, scratch, ready)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
