"""Reading and writing recipes as versioned JSON, atomically."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import RECIPE_VERSION, Recipe


class _Header(msgspec.Struct):
    version: int


def encode(recipe: Recipe) -> bytes:
    """Return a recipe as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(recipe, order="sorted"), indent=2) + b"\n"


def decode(content: bytes, name: str = say("the recipe")) -> Recipe:
    """Return the recipe in a JSON text, in the present version.

    Raises:
        QguiError: The text is not a recipe, or one of a newer version.
    """
    what = say("Could not read {name}", name=name)
    try:
        version = msgspec.json.decode(content, type=_Header).version
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise QguiError(
            what, say("it is not a recipe ({error})", error=error), say("Choose a file that QGUI saved.")
        ) from error
    if version > RECIPE_VERSION:
        why = say(
            "it has format version {version} and this program knows up to {recipe_version}",
            version=version,
            recipe_version=RECIPE_VERSION,
        )
        raise QguiError(what, why, say("Open it with a newer QGUI."))
    try:
        recipe = msgspec.json.decode(content, type=Recipe)
    except msgspec.DecodeError as error:
        raise QguiError(
            what, say("a value is wrong ({error})", error=error), say("Correct the file or choose another one.")
        ) from error
    return msgspec.structs.replace(recipe, version=RECIPE_VERSION)


def load(path: Path) -> Recipe:
    """Return the recipe in a file.

    Raises:
        QguiError: The file cannot be read or is not a recipe.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise QguiError(
            say("Could not open {path}", path=path),
            error.strerror or str(error),
            say("Check the path and its permissions."),
        ) from error
    return decode(content, str(path))


def save(recipe: Recipe, path: Path) -> None:
    """Write a recipe so that the file is either the old one or the whole new one.

    Raises:
        QguiError: The file cannot be written; an earlier file is untouched.
    """
    write_atomically(path, encode(recipe))


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes beside the target, then rename.

    Raises:
        QguiError: The target cannot be written; an earlier file is untouched.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        why = error.strerror or str(error)
        raise QguiError(
            say("Could not write {path}", path=path), why, say("Choose another place or free some space.")
        ) from error
