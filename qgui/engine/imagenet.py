"""ImageNet's validation images, in the two forms in which people have them, with the labels that torchvision uses.

Labels are the places of the synsets in sorted order. One directory per synset needs nothing else. The flat form, as the
images come from image-net.org, has its labels in the development kit, in a numbering of its own that the kit's
`meta.mat` translates (Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import DataReference
from qgui.core.resources import resources
from qgui.engine.images import WHAT, ImageFiles, ImageFolder, images_in

CLASSES = 1000
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_FLAT = re.compile(r"ILSVRC2012_val_(\d{8})\.jpe?g", re.IGNORECASE)
_SYNSET = re.compile(r"n\d{8}")
_KITS = ("", "data", "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12/data")


@cache
def synsets() -> tuple[str, ...]:
    """Return the thousand synsets of ILSVRC 2012 in the order of their labels."""
    return tuple((resources() / "imagenet_synsets.txt").read_text(encoding="ascii").split())


def open_validation(folder: Path, reference: DataReference) -> ImageFiles:
    """Return ImageNet's validation images of a folder.

    Args:
        folder: Holds a directory per class (synsets such as `n01440764`; other names need `classes.txt` with all
            thousand in the order of the labels), or the images themselves with the development kit beside them.
        reference: How images become tensors.

    Raises:
        QguiError: It is no such folder, or its labels are missing or do not fit.
    """
    if not folder.is_dir():
        raise QguiError(
            WHAT,
            say("there is no folder {folder}", folder=folder),
            say("Choose the folder of ImageNet's validation images."),
        )
    flat = sorted(path for path in folder.iterdir() if _FLAT.fullmatch(path.name))
    if flat:
        return ImageFiles(_flat_labelled(folder, flat), synsets(), reference)
    directories = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if not directories:
        hint = say("Choose the folder with a directory per class, or with files such as ILSVRC2012_val_00000001.JPEG.")
        raise QguiError(WHAT, say("{folder} holds no validation images of ImageNet", folder=folder), hint)
    if (folder / "classes.txt").is_file() or len(directories) == CLASSES:
        found = ImageFolder(folder, reference)
        if len(found.classes) != CLASSES:
            why = say(
                "classes.txt in {folder} lists {count} classes, and ImageNet has {classes}",
                folder=folder,
                count=len(found.classes),
                classes=CLASSES,
            )
            raise QguiError(WHAT, why, say("List all, in the order of the labels, also those without images."))
        return found
    return ImageFiles(_by_synset(folder, directories), synsets(), reference)


def _by_synset(folder: Path, directories: list[Path]) -> list[tuple[Path, int]]:
    labels = {name: label for label, name in enumerate(synsets())}
    strangers = sorted(path.name for path in directories if path.name not in labels)
    if strangers:
        kind = (
            say("no synset of ILSVRC 2012") if _SYNSET.fullmatch(strangers[0]) else say("no synset such as n01440764")
        )
        hint = say(
            "Name the directories by synset, or add classes.txt with all thousand names in the order of the labels."
        )
        raise QguiError(
            WHAT,
            say("the directory {stranger} in {folder} is {kind}", stranger=strangers[0], folder=folder, kind=kind),
            hint,
        )
    pairs = [(path, labels[directory.name]) for directory in sorted(directories) for path in images_in(directory)]
    if not pairs:
        raise QguiError(
            WHAT, say("the directories in {folder} hold no images", folder=folder), say("Copy the images there.")
        )
    return pairs


def _flat_labelled(folder: Path, images: list[Path]) -> list[tuple[Path, int]]:
    kit = next((p / k for p in (folder, folder.parent) for k in _KITS if (p / k / GROUND_TRUTH).is_file()), None)
    if kit is None:
        hint = say(
            "Put the development kit (ILSVRC2012_devkit_t12, with {ground_truth} and meta.mat) into that folder.",
            ground_truth=GROUND_TRUTH,
        )
        raise QguiError(
            WHAT,
            say(
                "the images in {folder} have no labels: there is no {ground_truth}",
                folder=folder,
                ground_truth=GROUND_TRUTH,
            ),
            hint,
        )
    translated = _labels_by_number(kit)
    try:
        numbers = [int(line) for line in (kit / GROUND_TRUTH).read_text().split()]
        labels = [translated[number] for number in numbers]
    except (OSError, ValueError, KeyError) as error:
        why = say(
            "{kit} holds something else than numbers from 1 to {classes} ({error})",
            kit=kit / GROUND_TRUTH,
            classes=CLASSES,
            error=error,
        )
        raise QguiError(WHAT, why, say("Unpack the development kit again.")) from error
    places = [int(_FLAT.fullmatch(path.name)[1]) - 1 for path in images]  # type: ignore[index]
    if not 0 <= min(places) <= max(places) < len(labels):
        why = say(
            "{ground_truth} has {count} labels, and there is an image number {places}",
            ground_truth=GROUND_TRUTH,
            count=len(labels),
            places=max(places) + 1,
        )
        raise QguiError(WHAT, why, say("Take the kit of ILSVRC 2012, whose images these are."))
    return [(path, labels[place]) for path, place in zip(images, places, strict=True)]


def _labels_by_number(kit: Path) -> dict[int, int]:
    """Return the label of each number that the development kit uses."""
    from scipy.io import loadmat

    file = kit / "meta.mat"
    hint = say("Unpack the whole development kit (ILSVRC2012_devkit_t12) again.")
    if not file.is_file():
        raise QguiError(
            WHAT,
            say(
                "{file} is missing, which says what the numbers in {ground_truth} mean",
                file=file,
                ground_truth=GROUND_TRUTH,
            ),
            hint,
        )
    try:
        rows = np.atleast_1d(loadmat(file, squeeze_me=True)["synsets"])
        numbers = {str(row["WNID"]): int(row["ILSVRC2012_ID"]) for row in rows if int(row["num_children"]) == 0}
    except Exception as error:  # A damaged file raises whatever its first wrong byte leads to.
        raise QguiError(WHAT, say("{file} cannot be read ({error})", file=file, error=error), hint) from error
    missing = [name for name in synsets() if name not in numbers]
    if missing:
        raise QguiError(WHAT, say("{file} lacks the synset {missing}", file=file, missing=missing[0]), hint)
    return {numbers[name]: label for label, name in enumerate(synsets())}
