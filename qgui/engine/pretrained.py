"""The weights that torchvision publishes for ImageNet: where they lie on this machine, and how they get here."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.engine.progress import Progress

#: The weights to which PyTorch's published accuracies belong.
PUBLISHED = "IMAGENET1K_V1"
WHAT = say("Could not download the weights")
_CHUNK = 1 << 18
_PATIENCE_S = 20.0
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights on PyTorch's server.

    Attributes:
        model: torchvision's name of the model.
        url: Where it lies.
        megabytes: Its size.
    """

    model: str
    url: str
    megabytes: float

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def digest(self) -> str:
        """The first digits of the file's SHA-256, which are part of its name."""
        found = _HASH_IN_NAME.search(self.file)
        return found[1] if found else ""


def published(model: str) -> PublishedWeights:
    """Return the published weights of a torchvision model."""
    import torchvision

    weights = torchvision.models.get_model_weights(model)[PUBLISHED]
    return PublishedWeights(model, weights.url, float(weights.meta["_file_size"]))


def cache() -> Path:
    """Return torch's own folder of downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def find(weights: PublishedWeights, folder: str = "") -> Path | None:
    """Return the file of weights in a folder or in torch's cache; None where it is in neither."""
    places = [*([Path(folder).expanduser()] if folder else []), cache()]
    return next((place / weights.file for place in places if (place / weights.file).is_file()), None)


def check(weights: PublishedWeights, path: Path) -> None:
    """Hold a file against the hash in its published name.

    Raises:
        QguiError: It is another file, or cannot be read.
    """
    if not has_digest(path, weights.digest):
        why = say(
            "{path} is damaged or another file: its SHA-256 does not begin with {digest}",
            path=path,
            digest=weights.digest,
        )
        raise QguiError(say("Could not use the weights"), why, say("Delete it and download it again."))


def has_digest(path: Path, digest: str) -> bool:
    """Whether the SHA-256 of a file begins with these digits.

    Raises:
        QguiError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        why = error.strerror or str(error)
        raise QguiError(
            say("Could not read {path}", path=path), why, say("Check the path and its permissions.")
        ) from error
    return found.startswith(digest)


def is_published(model: str, path: Path) -> bool:
    """Whether a file holds weights that torchvision publishes for a model, whatever it is called."""
    import torchvision

    if not path.is_file():
        return False
    names = [str(weights.url) for weights in torchvision.models.get_model_weights(model)]
    digests = [found[1] for found in map(_HASH_IN_NAME.search, names) if found]
    return any(has_digest(path, digest) for digest in digests)


def download(weights: PublishedWeights, progress: Progress) -> Path:
    """Download weights into torch's cache, where torchvision finds them too; nothing half-written stays.

    Only to be called once the person agreed.

    Raises:
        QguiError: There is no connection, the disk is full, or what came is not what was published.
        Cancelled: The person asked to stop.
    """
    target = cache() / weights.file
    partial = target.with_name(f".{weights.file}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for chunk in _fetched(weights, progress):
                file.write(chunk)
        if not has_digest(partial, weights.digest):
            why = say("what came from {url} has another SHA-256 than its name says", url=weights.url)
            raise QguiError(WHAT, why, say("Try again later; nothing was kept."))
        partial.replace(target)
    except OSError as error:
        full = say("Free some space, or choose another folder for torch's cache (TORCH_HOME).")
        raise QguiError(
            WHAT, say("{target} cannot be written ({reason})", target=target, reason=error.strerror or error), full
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


def _fetched(weights: PublishedWeights, progress: Progress) -> Iterator[bytes]:
    """Yield the content of a file on the server.

    Raises:
        QguiError: There is no connection, or it broke.
    """
    phase = say("Downloading {file}, megabytes", file=weights.file)
    progress.step(phase, 0, 0)
    hint = say("Check the connection, or download {url} elsewhere and choose the folder it lies in.", url=weights.url)
    try:
        with urllib.request.urlopen(weights.url, timeout=_PATIENCE_S) as answer:
            total = int(answer.headers.get("Content-Length") or 0) or round(weights.megabytes * 1e6)
            done = 0
            while chunk := _read(answer, weights, hint):
                yield chunk
                done += len(chunk)
                progress.step(phase, done // 1_000_000, max(total // 1_000_000, 1))
    except urllib.error.URLError as error:
        raise QguiError(
            WHAT, say("{url} cannot be reached ({reason})", url=weights.url, reason=error.reason), hint
        ) from error


def _read(answer: Any, weights: PublishedWeights, hint: str) -> bytes:
    try:
        chunk: bytes = answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        why = say(
            "the connection to {url} broke ({kind}: {error})", url=weights.url, kind=type(error).__name__, error=error
        )
        raise QguiError(WHAT, why, hint) from error
    return chunk
