"""What samples look like: true colours of image folders, stretched pixels of arrays, nothing of what is no image."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from sessions import QUIET

from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import DataReference
from qgui.engine import data, thumbnails
from qgui.engine.data import Data
from qgui.engine.progress import Progress


def folder_of_colours(folder: Path) -> DataReference:
    for name, colour in (("blue", (10, 20, 200)), ("red", (200, 30, 10))):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (40, 30), colour).save(folder / name / "a.png")
    return DataReference(f"folder:{folder}", resize=24, crop=24, calibrate=1)


def arrays(tmp_path: Path, x: np.ndarray, y: np.ndarray | None = None) -> Data:
    path = tmp_path / "data.npz"
    np.savez(path, **({"x": x} if y is None else {"x": x, "y": y}))
    return data.open_data(DataReference(str(path), calibrate=1))


def test_an_image_of_a_folder_has_its_own_colours_class_and_file(tmp_path: Path) -> None:
    opened = data.open_data(folder_of_colours(tmp_path / "photos"))
    blue, red = thumbnails.describe(opened, [0, 1], tmp_path / "out", QUIET)
    assert (red.index, red.label, red.class_name) == (1, 1, "red")
    assert red.file == str(tmp_path / "photos" / "red" / "a.png")
    with Image.open(red.picture) as image:
        assert image.size == (24, 24)
        assert np.allclose(np.asarray(image)[12, 12], (200, 30, 10), atol=1)
    assert blue.class_name == "blue"


def test_pixels_of_arrays_are_stretched_from_least_to_greatest(tmp_path: Path) -> None:
    x = np.linspace(-3, 5, 2 * 64, dtype=np.float32).reshape(2, 1, 8, 8)
    (shown,) = thumbnails.describe(arrays(tmp_path, x, np.array([4, 7])), [1], tmp_path, QUIET)
    assert (shown.label, shown.class_name, shown.file) == (7, "", "")
    with Image.open(shown.picture) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (8, 8)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_large_picture_becomes_small(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 700, 500)).astype(np.float32)
    (shown,) = thumbnails.describe(arrays(tmp_path, x), [0], tmp_path, QUIET)
    with Image.open(shown.picture) as image:
        assert max(image.size) == 320
        assert image.size[1] / image.size[0] == pytest.approx(1.4, abs=0.02)


@pytest.mark.parametrize("shape", [(2, 16), (2, 8, 8), (2, 5, 16, 16), (2, 3, 2, 2)])
def test_what_is_no_image_has_no_picture(shape: tuple[int, ...], tmp_path: Path) -> None:
    (shown,) = thumbnails.describe(arrays(tmp_path, np.ones(shape, np.float32)), [0], tmp_path, QUIET)
    assert shown.picture == ""
    assert shown.problem == ""


def test_a_constant_or_unfinite_image_is_drawn_all_the_same(tmp_path: Path) -> None:
    x = np.zeros((2, 1, 8, 8), np.float32)
    x[1, 0, 0, 0], x[1, 0, 1, 1], x[1, 0, 2, 2] = np.nan, np.inf, 3.0
    constant, broken = thumbnails.describe(arrays(tmp_path, x), [0, 1], tmp_path, QUIET)
    assert Path(constant.picture).is_file()
    with Image.open(broken.picture) as image:
        assert [np.asarray(image)[i, i] for i in range(3)] == [0, 255, 255]


def test_a_file_that_is_gone_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    opened = data.open_data(folder_of_colours(tmp_path / "photos"))
    (tmp_path / "photos" / "blue" / "a.png").unlink()
    blue, red = thumbnails.describe(opened, [0, 1], tmp_path / "out", QUIET)
    assert "a.png" in blue.problem
    assert blue.picture == ""
    assert Path(red.picture).is_file()


def test_a_sample_of_other_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="no sample 9 among the 2"):
        thumbnails.describe(arrays(tmp_path, np.ones((2, 4), np.float32)), [9], tmp_path, QUIET)


def test_reading_samples_can_be_cancelled(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        thumbnails.describe(
            arrays(tmp_path, np.ones((2, 4), np.float32)), [0], tmp_path, Progress(cancelled=lambda: True)
        )


def test_a_target_that_is_no_class_has_no_label(tmp_path: Path) -> None:
    opened = arrays(tmp_path, np.ones((2, 4), np.float32), np.array([0.5, 1.5]))
    (shown,) = thumbnails.describe(opened, [0], tmp_path, QUIET)
    assert msgspec.json.encode(shown) == b'{"index":0}'
    assert isinstance(opened.first.target, torch.Tensor)
