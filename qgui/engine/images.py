"""Folders of images: one directory per class, read and normalized one image at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from qgui.core.errors import QguiError
from qgui.core.recipe import DataReference

if TYPE_CHECKING:
    from qgui.engine.data import Batch

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})


class ImageFolder:
    """The images below a folder.

    Where `classes.txt` lies in the folder, the order of its lines gives the labels, so that a subset of the classes
    keeps its indices; else the sorted directory names do.

    Args:
        folder: Holds one directory per class.
        reference: How images become tensors.

    Raises:
        QguiError: The folder is missing or holds no images.
    """

    labelled = True

    def __init__(self, folder: Path, reference: DataReference) -> None:
        if not folder.is_dir():
            raise QguiError("Could not open the data", f"there is no folder {folder}", "Check the path.")
        directories = sorted(path for path in folder.iterdir() if path.is_dir())
        listing = folder / "classes.txt"
        lines = [line.strip() for line in listing.read_text().splitlines()] if listing.is_file() else []
        self.classes = tuple(line for line in lines if line) or tuple(path.name for path in directories)
        labels = {name: index for index, name in enumerate(self.classes)}
        self._images: list[tuple[Path, int]] = []
        strangers = [path.name for path in directories if path.name not in labels]
        if strangers:
            why = f"classes.txt does not list {', '.join(strangers[:3])}"
            raise QguiError("Could not open the data", why, "Add the names to classes.txt, or remove that file.")
        for directory in directories:
            files = sorted(p for p in directory.iterdir() if p.suffix.lower() in SUFFIXES)
            self._images.extend((path, labels[directory.name]) for path in files)
        if not self._images:
            hint = "Choose a folder with one directory per class and images in each."
            raise QguiError("Could not open the data", f"{folder} holds no images", hint)
        self.notes: tuple[str, ...] = ()
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

        from qgui.engine.data import Batch

        path, label = self._images[index]
        try:
            with Image.open(path) as image:
                tensor = self._transform(image.convert("RGB"))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise QguiError(f"Could not read {path}", str(error), "Remove or replace the image.") from error
        return Batch((tensor.unsqueeze(0),), torch.tensor([label]), [index])

    def path(self, index: int) -> Path:
        """Return the file of an image."""
        return self._images[index][0]


def transform_of(reference: DataReference):  # type: ignore[no-untyped-def]
    """Return the torchvision transform that a data reference describes: resize, central crop, scale, normalize."""
    from torchvision import transforms

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
