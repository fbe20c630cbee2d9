"""ImageNet's validation images: both forms, their labels, and the models' own transforms."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat

from qgui.core.errors import QguiError
from qgui.core.recipe import DataReference
from qgui.engine import benchmark_accuracy, data, imagenet, images

SMALL = DataReference(resize=8, crop=8, calibrate=1)


def picture(path: Path, shade: int = 100, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 10, 200)).save(path, format="JPEG")


def labels(folder: Path) -> list[int]:
    found = imagenet.open_validation(folder, SMALL)
    return [int(found[i].target) for i in range(len(found))]  # type: ignore[arg-type]


def development_kit(folder: Path, truth: list[int], synsets: tuple[str, ...] | None = None) -> None:
    """Write a kit whose numbers are the synsets in reverse order, with an inner node as the real one has."""
    names = [*reversed(synsets or imagenet.synsets()), "n00001740"]
    kind = np.dtype([("ILSVRC2012_ID", "f8"), ("WNID", object), ("num_children", "f8")])
    rows = np.array([(i + 1, name, 3 if name == "n00001740" else 0) for i, name in enumerate(names)], dtype=kind)
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "meta.mat", {"synsets": rows})
    (folder / imagenet.GROUND_TRUTH).write_text("".join(f"{number}\n" for number in truth))


def test_that_the_synsets_are_a_thousand_in_sorted_order() -> None:
    names = imagenet.synsets()
    assert len(set(names)) == 1000
    assert list(names) == sorted(names)
    assert names[0] == "n01440764"


def test_that_directories_named_by_synset_keep_their_labels_in_a_subset(tmp_path: Path) -> None:
    picture(tmp_path / "n15075141" / "a.JPEG")
    picture(tmp_path / "n01440764" / "b.JPEG")
    picture(tmp_path / "n01440764" / ".hidden.JPEG")
    assert labels(tmp_path) == [0, 999]


def test_that_classes_txt_gives_the_labels_of_other_names(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(1000)]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    picture(tmp_path / "class 7" / "a.png")
    assert labels(tmp_path) == [7]


def test_that_classes_txt_must_list_all_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\n")
    picture(tmp_path / "cat" / "a.png")
    with pytest.raises(QguiError, match="lists 1 classes, and ImageNet has 1000"):
        labels(tmp_path)


def test_that_other_names_without_classes_txt_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "a.png")
    with pytest.raises(QguiError, match=r"cat in .* is no synset such as n01440764\. Name the directories by synset"):
        labels(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "n00000001")
    with pytest.raises(QguiError, match="no synset of ILSVRC 2012"):
        labels(tmp_path)


@pytest.mark.parametrize("place", ["", "ILSVRC2012_devkit_t12/data", "../ILSVRC2012_devkit_t12/data"])
def test_that_flat_images_take_their_labels_from_the_development_kit(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "val"
    for number in (3, 1):
        picture(folder / f"ILSVRC2012_val_{number:08d}.JPEG")
    development_kit(folder / place, [1000, 5, 1])
    # In this kit number 1 is the last synset and number 1000 the first one.
    assert labels(folder) == [0, 999]


def test_that_flat_images_without_labels_say_what_to_put_where(tmp_path: Path) -> None:
    picture(tmp_path / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(QguiError, match=r"have no labels.*Put the development kit"):
        labels(tmp_path)
    development_kit(tmp_path, [1])
    (tmp_path / "meta.mat").unlink()
    with pytest.raises(QguiError, match=r"meta\.mat is missing"):
        labels(tmp_path)
    (tmp_path / "meta.mat").write_bytes(b"nonsense")
    with pytest.raises(QguiError, match=r"meta\.mat cannot be read"):
        labels(tmp_path)


def test_that_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "ILSVRC2012_val_00000002.JPEG")
    development_kit(tmp_path, [1])
    with pytest.raises(QguiError, match="has 1 labels, and there is an image number 2"):
        labels(tmp_path)
    development_kit(tmp_path, [1, 1001])
    with pytest.raises(QguiError, match="something else than numbers from 1 to 1000"):
        labels(tmp_path)
    development_kit(tmp_path, [1, 1], imagenet.synsets()[1:])
    with pytest.raises(QguiError, match="lacks the synset n01440764"):
        labels(tmp_path)


def test_that_a_folder_without_images_says_what_to_choose(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="holds no validation images"):
        labels(tmp_path)
    with pytest.raises(QguiError, match="there is no folder"):
        labels(tmp_path / "missing")
    (tmp_path / "n01440764").mkdir()
    with pytest.raises(QguiError, match="hold no images"):
        labels(tmp_path)


def test_that_imagenet_is_a_data_source(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "n01440764" / f"{number}.JPEG")
    opened = data.open_data(DataReference(source=f"imagenet:{tmp_path}", resize=8, crop=8, calibrate=1))
    assert (len(opened.calibration), len(opened.evaluation)) == (1, 2)
    assert opened.describe().labelled


@pytest.mark.parametrize("model", ["resnet50", "inception_v3", "shufflenet_v2_x1_0"])
def test_that_images_are_transformed_as_the_weights_were_evaluated(model: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (320, 400, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    reference = DataReference(**benchmark_accuracy.transform_of(model))  # type: ignore[arg-type]
    preset = torchvision.models.get_model_weights(model).IMAGENET1K_V1.transforms()
    assert reference.crop == (299 if model == "inception_v3" else 224)
    torch.testing.assert_close(images.transform_of(reference)(image), preset(image))
