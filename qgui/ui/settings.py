"""What the program remembers about the person's wishes between runs, each with its type and default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import platformdirs
from PySide6.QtCore import QByteArray, QSettings

T = TypeVar("T", str, int, bool)


@dataclass(frozen=True)
class Option(Generic[T]):
    """A setting: its key, its default and thereby its type."""

    key: str
    default: T


THEME = Option("window/theme", "system")
#: As in `qgui.core.language.LANGUAGES`; empty for that of the system.
LANGUAGE = Option("window/language", "")
THREADS = Option("compare/threads", 1)
BATCH_SIZE = Option("compare/batch_size", 1)
RUNS = Option("compare/runs", 30)
LOGARITHMIC = Option("ranges/logarithmic", True)
BENCHMARKS = Option("benchmarks/settings", "{}")
EXPORT_FOLDER = Option("export/folder", "")
LAST_FOLDER = Option("files/last_folder", "")
#: Backend of newly opened models; empty for the one that is advised.
BACKEND = Option("engine/backend", "")
#: Memory that the engine's process may use, in GiB; 0 for as much as there is.
MEMORY_LIMIT = Option("engine/memory_limit", 0)

_GEOMETRY = "window/geometry"
_STATE = "window/state"
_RECENT = "files/recent"
_TRUSTED = "files/trusted"
RECENT_LIMIT = 10


class RecentEntry(msgspec.Struct, frozen=True):
    """A model or recipe that was open.

    Attributes:
        kind: `recipe` (a file) or `model` (a model source).
        text: The path or the source.
        weights: Weights of a model source.
    """

    kind: str
    text: str
    weights: str = ""

    @property
    def missing(self) -> bool:
        """Whether it names a file that is no longer there."""
        if self.kind == "recipe":
            return not Path(self.text).is_file()
        source = Path(self.text.rpartition(":")[0] if ".py:" in self.text else self.text)
        return source.suffix in {".py", ".pt", ".pth"} and not source.is_file()


class Settings:
    """The stored options.

    Args:
        path: The file, by default in the person's configuration folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(platformdirs.user_config_dir("qgui", appauthor=False)) / "settings.ini"
        self._store = QSettings(str(self._path), QSettings.Format.IniFormat)

    def get(self, option: Option[T]) -> T:
        """Return the value of an option, its default where nothing or nonsense is stored."""
        stored = self._store.value(option.key)
        if stored is None:
            return option.default
        kind = type(option.default)
        try:
            if kind is bool:
                return kind(str(stored).lower() == "true")
            return kind(stored)
        except (TypeError, ValueError):
            return option.default

    def set(self, option: Option[T], value: T) -> None:
        """Store the value of an option."""
        self._store.setValue(option.key, value)

    def window(self) -> tuple[QByteArray, QByteArray] | None:
        """Return the stored geometry and state of the main window, None in the first run."""
        geometry, state = self._store.value(_GEOMETRY), self._store.value(_STATE)
        if isinstance(geometry, QByteArray) and isinstance(state, QByteArray):
            return geometry, state
        return None

    def set_window(self, geometry: QByteArray, state: QByteArray) -> None:
        """Store geometry and state of the main window."""
        self._store.setValue(_GEOMETRY, geometry)
        self._store.setValue(_STATE, state)

    def recent(self) -> list[RecentEntry]:
        """Return what was open lately, newest first, without files that are gone."""
        stored = self._store.value(_RECENT)
        try:
            entries = msgspec.json.decode(str(stored or "[]"), type=list[RecentEntry])
        except msgspec.DecodeError:
            return []
        return [entry for entry in entries if not entry.missing]

    def add_recent(self, entry: RecentEntry) -> None:
        """Put an entry at the top of what was open lately."""
        entries = [entry, *(other for other in self.recent() if other != entry)][:RECENT_LIMIT]
        self._store.setValue(_RECENT, msgspec.json.encode(entries).decode())

    def clear_recent(self) -> None:
        """Forget what was open."""
        self._store.remove(_RECENT)

    def trusted(self) -> list[str]:
        """Return the folders whose files are opened without asking, although they run code."""
        try:
            return msgspec.json.decode(str(self._store.value(_TRUSTED) or "[]"), type=list[str])
        except msgspec.DecodeError:
            return []

    def set_trusted(self, folders: list[str]) -> None:
        """Store the trusted folders, each once."""
        self._store.setValue(_TRUSTED, msgspec.json.encode(sorted(set(folders))).decode())

    def trusts(self, path: str) -> bool:
        """Whether a file lies in a trusted folder, or in one inside it; links are followed."""
        place = Path(path).resolve()
        return any(place.is_relative_to(Path(folder).resolve()) for folder in self.trusted())

    def sync(self) -> None:
        """Write everything to the file."""
        self._store.sync()
