"""Callables of a person's own Python files and packages."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgui.core.errors import QguiError
from qgui.core.language import say

_PACKAGE = Path(__file__).resolve().parents[1]


def split_callable(source: str) -> tuple[str, str] | None:
    """Return file or module and the name of the callable in `PATH.py:CALLABLE` or `package.module:CALLABLE`."""
    place, colon, name = source.rpartition(":")
    if not colon or not place or not name.isidentifier():
        return None
    return place, name


def load_callable(source: str, what: str) -> Callable[..., Any]:
    """Return the callable that a source names.

    Args:
        source: `PATH.py:CALLABLE` or `package.module:CALLABLE`.
        what: What fails where it cannot be had, for the message.

    Raises:
        QguiError: The file is missing or raises, or holds no such callable.
    """
    parts = split_callable(source)
    if parts is None:
        raise QguiError(
            what,
            say("'{source}' names no callable", source=source),
            say("Write PATH.py:CALLABLE or package.module:CALLABLE."),
        )
    place, name = parts
    module = _file_module(Path(place), what) if place.endswith(".py") else _package_module(place, what)
    found = getattr(module, name, None)
    if not callable(found):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise QguiError(
            what,
            say("{place} has no callable '{name}'", place=place, name=name),
            say("It has: {known}.", known=", ".join(known[:12]) or say("none")),
        )
    return found  # type: ignore[no-any-return]


def call(function: Callable[..., Any], source: str, what: str, *args: Any) -> Any:
    """Return what a person's callable returns.

    Raises:
        QguiError: It raises, or wants to end the program.
    """
    try:
        return function(*args)
    except QguiError:
        raise
    except (Exception, SystemExit) as error:
        why = say(
            "{source} raised {kind}: {error}{place_of}",
            source=source,
            kind=type(error).__name__,
            error=error,
            place_of=_place_of(error),
        )
        raise QguiError(what, why, say("Correct it, then try again."), traceback.format_exc()) from error


def _place_of(error: BaseException) -> str:
    """Return file and line of the innermost code that is neither of this program nor of a library."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    frames = [frame for frame in frames if _PACKAGE not in Path(frame.filename).parents]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return say(" ({name}, line {lineno})", name=Path(own[-1].filename).name, lineno=own[-1].lineno) if own else ""


def folder_of_package(name: str) -> Path | None:
    """Return the folder in which an imported package of the person's lies; None for an installed one."""
    top = sys.modules.get(name.partition(".")[0])
    place = getattr(top, "__file__", None) or next(iter(getattr(top, "__path__", ())), None)
    if place is None:
        return None
    path = Path(place).resolve()
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    return None if {"site-packages", "dist-packages"} & {folder.name} or _is_standard(folder) else folder


def _is_standard(folder: Path) -> bool:
    return folder == Path(sysconfig.get_paths()["stdlib"]).resolve()


def _file_module(path: Path, what: str) -> Any:
    if not path.is_file():
        raise QguiError(what, say("there is no file {path}", path=path), say("Check the path."))
    spec = importlib.util.spec_from_file_location(f"qgui_source_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise QguiError(what, say("{path} is no Python file", path=path), say("Choose a .py file."))
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[spec.name] = module
    call(lambda: spec.loader.exec_module(module), str(path), what)  # type: ignore[union-attr]
    return module


def _package_module(name: str, what: str) -> Any:
    here = str(Path.cwd())
    if not {here, ""} & set(sys.path):
        # An installed program does not look where it was started, `python -m` does; what is installed goes first.
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        hint = say("Install the package, or write PATH.py:CALLABLE for a file.")
        raise QguiError(what, say("there is no module {name}", name=error.name), hint) from error
    except (Exception, SystemExit) as error:
        why = say(
            "importing {name} raised {kind}: {error}{place_of}",
            name=name,
            kind=type(error).__name__,
            error=error,
            place_of=_place_of(error),
        )
        raise QguiError(what, why, say("Correct it, then try again."), traceback.format_exc()) from error
