"""Folders of images: one directory per class, read and normalized one image at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import DataReference
from qgui.engine.batch import Batch

WHAT = say("Could not open the data")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})


class ImageFiles:
    """Image files with their labels.

    Args:
        images: Each file with its label.
        classes: Class names in the order of the labels.
        reference: How images become tensors.
    """

    labelled = True

    def __init__(self, images: Sequence[tuple[Path, int]], classes: tuple[str, ...], reference: DataReference) -> None:
        self.classes = classes
        self._images = images
        self.notes: tuple[str, ...] = ()
        if reference.crop > reference.resize:
            sides = say(
                "the crop of {crop} pixels is wider than images resized to {resize}",
                crop=reference.crop,
                resize=reference.resize,
            )
            self.notes = (say("The images have black edges: {sides}.", sides=sides),)
        self._transform = transform_of(reference)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Batch:
        """Return one image as a batch of one.

        Raises:
            QguiError: The file is no readable image.
        """
        from PIL import Image, UnidentifiedImageError

        path, label = self._images[index]
        try:
            with Image.open(path) as image:
                tensor = self._transform(image.convert("RGB"))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise QguiError(
                say("Could not read {path}", path=path), str(error), say("Remove or replace the image.")
            ) from error
        return Batch((tensor.unsqueeze(0),), torch.tensor([label]), [index])

    def path(self, index: int) -> Path:
        """Return the file of an image."""
        return self._images[index][0]


class ImageFolder(ImageFiles):
    """The images below a folder.

    Where `classes.txt` lies in the folder, the order of its lines gives the labels, so that a subset of the classes
    keeps its indices; else the sorted directory names do.

    Args:
        folder: Holds one directory per class.
        reference: How images become tensors.

    Raises:
        QguiError: The folder is missing or holds no images.
    """

    def __init__(self, folder: Path, reference: DataReference) -> None:
        if not folder.is_dir():
            raise QguiError(WHAT, say("there is no folder {folder}", folder=folder), say("Check the path."))
        directories = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        classes = _listed_classes(folder / "classes.txt") or tuple(path.name for path in directories)
        labels = {name: index for index, name in enumerate(classes)}
        images: list[tuple[Path, int]] = []
        strangers = [path.name for path in directories if path.name not in labels]
        if strangers:
            why = say("classes.txt does not list {strangers}", strangers=", ".join(strangers[:3]))
            raise QguiError(WHAT, why, say("Add the names to classes.txt, or remove that file."))
        for directory in directories:
            images.extend((path, labels[directory.name]) for path in images_in(directory))
        if not images:
            hint = say("Choose a folder with one directory per class and images in each.")
            loose = sum(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
            where = say(" in directories, only beside them") if loose else ""
            raise QguiError(WHAT, say("{folder} holds no images{where}", folder=folder, where=where), hint)
        super().__init__(images, classes, reference)


def images_in(directory: Path) -> list[Path]:
    """Return the image files of a directory, sorted; hidden ones are left out."""
    return sorted(p for p in directory.iterdir() if not p.name.startswith(".") and p.suffix.lower() in SUFFIXES)


def _listed_classes(listing: Path) -> tuple[str, ...]:
    """Return the class names in the order of their labels; none where there is no list."""
    if not listing.is_file():
        return ()
    try:
        lines = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise QguiError(
            WHAT,
            say("{listing} cannot be read ({error})", listing=listing, error=error),
            say("Save it as UTF-8 text, a name a line."),
        ) from error
    names = tuple(line for line in lines if line)
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise QguiError(
            WHAT,
            say("{listing} lists {twice} twice", listing=listing, twice=twice[0]),
            say("Let every line name another class."),
        )
    return names


def transform_of(reference: DataReference):  # type: ignore[no-untyped-def]
    """Return the torchvision transform that a data reference describes: resize, central crop, scale, normalize."""
    from torchvision import transforms

    if not all(math.isfinite(value) for value in (*reference.mean, *reference.std)) or 0.0 in reference.std:
        why = say(
            "images cannot be normalized with mean {mean} and deviation {std}", mean=reference.mean, std=reference.std
        )
        raise QguiError(WHAT, why, say("Give finite numbers, and deviations other than 0."))
    modes = {
        "bilinear": transforms.InterpolationMode.BILINEAR,
        "bicubic": transforms.InterpolationMode.BICUBIC,
        "nearest": transforms.InterpolationMode.NEAREST,
    }
    return transforms.Compose(
        [
            transforms.Resize(reference.resize, interpolation=modes[reference.interpolation]),
            transforms.CenterCrop(reference.crop),
            transforms.ToTensor(),
            transforms.Normalize(reference.mean, reference.std),
        ]
    )
