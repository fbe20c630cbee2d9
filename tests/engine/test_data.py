"""Every form of data source, its split and its batches, and every way in which it can be bad."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sessions import NETWORKS

from qgui.core.errors import QguiError
from qgui.core.recipe import DataReference
from qgui.engine import data, python_data
from qgui.engine.data import Data

PYTHON_DATA = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler

print("a library that talks")

class Pairs(Dataset):
    classes = ["even", "odd"]
    def __len__(self): return 10
    def __getitem__(self, i): return torch.full((2, 3), float(i)), i % 2

class Broken(Pairs):
    def __getitem__(self, i):
        if i == 7: raise OSError("sector 7")
        return super().__getitem__(i)

class Stream(IterableDataset):
    def __iter__(self): yield from (Pairs()[i] for i in range(10))

class Counting(Pairs):
    reads = 0
    def __getitem__(self, i):
        Counting.reads += 1
        return super().__getitem__(i)

def dataset(): return Pairs()
def counting(): return DataLoader(Counting(), batch_size=4, shuffle=True)
def stream(): return Stream()
def stream_loader(): return DataLoader(Stream(), batch_size=4)
def subset(): return DataLoader(Pairs(), batch_size=4, sampler=SubsetRandomSampler([7, 3, 5]))
def own_batches(): return DataLoader(Pairs(), batch_sampler=[[9, 1], [4]])
def two_tensors(): return torch.arange(12.0).reshape(6, 2), torch.arange(6)
def one_array(): return np.zeros((4, 2))
def doubles(): return [(np.zeros((3, 2)), np.array([0.5, 1.0, 2.0]))]
def rows(): return [(torch.zeros(3, 2), torch.arange(12).reshape(3, 4))]
def fewer_labels(): return [(torch.zeros(3, 2), torch.tensor([0, 1]))]
def flag(): return [({"a": torch.zeros(3, 2), "b": torch.tensor(1)}, torch.zeros(3))]
def mapping(): return {"x": torch.zeros(3, 2)}
def ends(): exit(3)
def breaks_off():
    yield from batches()
    raise OSError("cable pulled")
def endless():
    while True: yield torch.zeros(100, 2)
def broken(): return Broken()
def loader(): return DataLoader(Pairs(), batch_size=4)
def batches(): return [(torch.zeros(3, 2), torch.tensor([0, 1, 2])), (torch.ones(1, 2), torch.tensor([3]))]
def generator(): yield from batches()
def unlabelled(): return [torch.zeros(3, 2), torch.ones(2, 2)]
def arrays(): return [(np.zeros((3, 2), np.float32), np.array([0, 1, 2]))]
def keywords(): return [({"a": torch.zeros(3, 2), "b": torch.ones(3, dtype=torch.long)}, torch.zeros(3))]
def pairs(): return [((torch.zeros(3, 2), torch.ones(3, 4)), None)]
def nothing(): return []
def number(): return 3
def texts(): return [(["a", "b"], None)]
def fails(): raise ValueError("no disk")
"""


def opened(source: str, **options: object) -> Data:
    return data.open_data(DataReference(source, **{"calibrate": 2, **options}))  # type: ignore[arg-type]


@pytest.fixture
def python(tmp_path: Path) -> str:
    """The start of sources that name a function of a Python file."""
    file = tmp_path / "my_data.py"
    file.write_text(PYTHON_DATA)
    return f"{file}:"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three images in each of two classes."""
    folder = tmp_path / "pictures"
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((20 + i, 30, 3), 60 * number + 20 * i, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    (folder / "cat" / "notes.txt").write_text("not an image")
    return folder


@given(st.integers(2, 300), st.integers(1, 299), st.integers(0, 300), st.integers(0, 2**31))
def test_calibration_and_evaluation_samples_are_disjoint_and_seeded(
    count: int, calibrate: int, evaluate: int, seed: int
) -> None:
    reference = DataReference(calibrate=min(calibrate, count - 1), evaluate=evaluate, seed=seed)
    first, second = data.split(count, reference)
    assert not set(first) & set(second)
    assert len(first) == reference.calibrate
    assert len(second) == (min(evaluate, count - len(first)) or count - len(first))
    assert set(first) | set(second) <= set(range(count))
    assert (first, second) == data.split(count, reference)


def test_another_seed_gives_another_split() -> None:
    splits = [data.split(100, DataReference(calibrate=10, seed=seed))[0] for seed in range(5)]
    assert len({tuple(s) for s in splits}) == 5


def test_overlap_gives_all_samples_to_evaluation() -> None:
    first, second = data.split(10, DataReference(calibrate=10, overlap=True))
    assert first == second == list(range(10))


def test_using_up_all_samples_for_calibration_is_told() -> None:
    with pytest.raises(QguiError, match="none is left to evaluate"):
        data.split(10, DataReference(calibrate=10))


def test_too_few_samples_are_halved_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "few.npz"
    np.savez(path, x=np.zeros((7, 3), np.float32))
    found = opened(str(path), calibrate=100)
    assert (len(found.calibration), len(found.evaluation)) == (3, 4)
    assert "There are 7 samples: 3 of them calibrate" in found.describe().notes[-1]


def test_calibrating_with_no_sample_is_told() -> None:
    with pytest.raises(QguiError, match="at least one sample"):
        data.split(10, DataReference(calibrate=0))


def test_the_example_is_evaluated_on_samples_that_no_training_saw() -> None:
    digits = opened("example:digits", calibrate=50, evaluate=100)
    held_out = digits.samples.held_out  # type: ignore[attr-defined]
    assert max(digits.evaluation) < held_out <= min(digits.calibration)
    described = digits.describe()
    assert (described.samples, described.calibration, described.evaluation) == (1797, 50, 100)
    assert described.input_shapes == ((1, 1, 8, 8),)
    assert described.classes == tuple("0123456789")


def test_a_folder_of_images_gives_labels_by_sorted_names(pictures: Path) -> None:
    found = opened(f"folder:{pictures}", resize=16, crop=12)
    assert found.samples.classes == ("cat", "dog")
    assert [int(found.samples[i].target) for i in range(6)] == [0, 0, 0, 1, 1, 1]  # type: ignore[arg-type]
    assert found.first.tensors[0].shape == (1, 3, 12, 12)


def test_classes_txt_keeps_the_indices_of_a_subset(pictures: Path) -> None:
    (pictures / "classes.txt").write_text("ant\ncat\nbee\ndog\n\n")
    found = opened(f"folder:{pictures}", resize=16, crop=12)
    assert found.samples.classes == ("ant", "cat", "bee", "dog")
    assert {int(found.samples[i].target) for i in range(6)} == {1, 3}  # type: ignore[arg-type]


def test_a_class_that_classes_txt_does_not_know_is_told(pictures: Path) -> None:
    (pictures / "classes.txt").write_text("cat\n")
    with pytest.raises(QguiError, match=r"classes.txt does not list dog"):
        opened(f"folder:{pictures}")


def test_hidden_directories_and_files_are_no_classes_and_no_images(pictures: Path) -> None:
    (pictures / ".cache").mkdir()
    (pictures / "cat" / "._0.png").write_bytes(b"a resource fork")
    assert len(opened(f"folder:{pictures}", resize=16, crop=12).samples) == 6
    (pictures / "classes.txt").write_text("cat\ndog\n")
    assert opened(f"folder:{pictures}", resize=16, crop=12).samples.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "why"), [(b"\xff\xfecat", "cannot be read"), (b"cat\ndog\ncat\n", "lists cat twice")]
)
def test_a_list_of_classes_that_is_none_is_told(content: bytes, why: str, pictures: Path) -> None:
    (pictures / "classes.txt").write_bytes(content)
    with pytest.raises(QguiError, match=why):
        opened(f"folder:{pictures}")


def test_a_folder_below_the_home_directory_may_be_written_short(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(pictures.parent))
    assert len(opened("folder:~/pictures", resize=16, crop=12).samples) == 6


@pytest.mark.parametrize("options", [{"std": (0.0, 1.0, 1.0)}, {"mean": (float("nan"), 0.0, 0.0)}])
def test_a_normalization_that_is_none_is_told(options: dict[str, object], pictures: Path) -> None:
    with pytest.raises(QguiError, match="cannot be normalized"):
        opened(f"folder:{pictures}", **options)


def test_a_crop_wider_than_the_images_is_said(pictures: Path) -> None:
    found = opened(f"folder:{pictures}", resize=16, crop=24)
    assert "black edges" in found.describe().notes[0]
    assert found.first.tensors[0].shape == (1, 3, 24, 24)


def test_images_are_normalized_as_the_reference_says(pictures: Path) -> None:
    options = {"resize": 16, "crop": 12, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.25, 0.5)}
    value = opened(f"folder:{pictures}", **options).samples[2].tensors[0]  # type: ignore[arg-type]
    expected = (40 / 255 - 0.5) / torch.tensor([0.5, 0.25, 0.5])
    assert torch.allclose(value.mean((0, 2, 3)), expected, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n and no more"])
def test_a_broken_image_is_named(content: bytes, pictures: Path) -> None:
    broken = pictures / "dog" / "1.png"
    broken.write_bytes(content)
    found = opened(f"folder:{pictures}", resize=16, crop=12)
    with pytest.raises(QguiError, match=r"Could not read .*dog/1.png"):
        list(found.batches(range(6)))


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="holds no images"):
        opened(f"folder:{tmp_path}")
    (tmp_path / "cat").mkdir()
    with pytest.raises(QguiError, match="holds no images"):
        opened(f"folder:{tmp_path}")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="there is no folder"):
        opened(f"folder:{tmp_path / 'nowhere'}")


def test_arrays_of_an_npz_are_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(6))
    found = opened(f"{tmp_path / 'd.npz'}")
    assert found.samples[4].tensors[0].dtype == torch.float32
    assert np.allclose(found.samples[4].tensors[0].numpy(), x[4:5])
    assert found.samples[4].target.tolist() == [4]  # type: ignore[union-attr]


def test_arrays_without_labels_are_samples_without_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(12).reshape(6, 2))
    found = opened(f"{tmp_path / 'd.npz'}")
    assert not found.samples.labelled
    assert found.first.target is None
    assert found.first.tensors[0].dtype == torch.int64


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"inputs": np.zeros((3, 2))}, "but no array x"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(4)}, "3 inputs and 4 labels"),
        ({"x": np.zeros((0, 2))}, "holds no samples"),
        ({"x": np.array([{}], dtype=object)}, "is damaged"),
        ({"x": np.float32(3)}, "x in .* is a single number"),
        ({"x": np.zeros((3, 2)), "y": np.int64(1)}, "y in .* is a single number"),
        ({"x": np.array(["a", "b"])}, "x in .* holds <U1, not numbers"),
        ({"x": np.zeros((2, 2)), "y": np.array(["cat", "dog"])}, "y in .* holds <U3, not numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_told(arrays: dict[str, np.ndarray], why: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(QguiError, match=why):
        opened(f"{tmp_path / 'd.npz'}")


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04truncated"])
def test_a_damaged_npz_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(QguiError, match=r"is damaged or no .npz"):
        opened(f"{tmp_path / 'd.npz'}")


def test_an_npz_with_a_wrong_byte_is_told(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(20, 8)))
    content = bytearray(path.read_bytes())
    content[150:350] = b"\x55" * 200
    path.write_bytes(content)
    with pytest.raises(QguiError, match=r"is damaged or no .npz"):
        opened(str(path))


def test_arrays_in_another_byte_order_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(6.0).reshape(3, 2).astype(">f8"))
    assert opened(str(tmp_path / "d.npz")).samples[2].tensors[0].tolist() == [[4.0, 5.0]]


def test_a_missing_npz_is_told(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="there is no file"):
        opened(f"{tmp_path / 'nowhere.npz'}")


def test_random_numbers_are_the_same_each_time_and_say_what_they_are() -> None:
    found = opened("random:4x3x5x6", calibrate=8)
    assert found.first.tensors[0].shape == (1, 3, 5, 6)
    assert torch.equal(found.samples[3].tensors[0], opened("random:4x3x5x6").samples[3].tensors[0])
    assert not found.samples.labelled
    assert "mean nothing" in found.describe().notes[0]


def test_random_numbers_are_enough_whatever_is_asked_for() -> None:
    found = opened("random:1x4", calibrate=100)
    assert found.calibration
    assert found.evaluation
    assert not set(found.calibration) & set(found.evaluation)
    assert found.reference.calibrate == 100


@pytest.mark.parametrize("shape", ["", "3", "1x0x4", "1xax3", "1,3,4"])
def test_a_shape_that_is_none_is_told(shape: str) -> None:
    with pytest.raises(QguiError, match="is no shape"):
        opened(f"random:{shape}")


@pytest.mark.parametrize(
    ("name", "count", "labelled"),
    [
        ("dataset", 10, True),
        ("loader", 10, True),
        ("batches", 4, True),
        ("generator", 4, True),
        ("unlabelled", 5, False),
        ("arrays", 3, True),
        ("keywords", 3, True),
        ("pairs", 3, False),
        ("stream", 10, True),
        ("stream_loader", 10, True),
        ("subset", 3, True),
        ("own_batches", 3, True),
        ("two_tensors", 6, True),
        ("one_array", 4, False),
        ("doubles", 3, True),
    ],
)
def test_python_may_give_data_in_every_usual_form(name: str, count: int, labelled: bool, python: str) -> None:
    found = opened(python + name)
    assert len(found.samples) == count
    assert found.samples.labelled is labelled
    sample = found.samples[1]
    assert all(len(tensor) == 1 for tensor in sample.tensors)
    assert sample.indices == [1]
    if labelled:
        assert sample.target is not None
        assert len(sample.target) == 1


def test_samples_of_a_dataset_are_those_of_the_dataset(python: str) -> None:
    found = opened(python + "dataset")
    assert found.samples.classes == ("even", "odd")
    assert found.samples[7].tensors[0].unique().tolist() == [7.0]
    assert int(found.samples[7].target) == 1  # type: ignore[arg-type]


def test_a_loader_is_read_sample_by_sample_in_the_order_of_the_data_set(python: str) -> None:
    found = opened(python + "counting", calibrate=3)
    reads = found.samples._dataset  # type: ignore[attr-defined]
    assert type(reads).reads == 1
    assert [float(found.samples[i].tensors[0].max()) for i in range(10)] == [float(i) for i in range(10)]
    assert type(reads).reads == 11


def test_a_loader_s_sampler_chooses_the_samples(python: str) -> None:
    found = opened(python + "subset")
    assert [float(found.samples[i].tensors[0].max()) for i in range(3)] == [3.0, 5.0, 7.0]


def test_an_iterable_data_set_gives_samples_and_no_batches(python: str) -> None:
    found = opened(python + "stream")
    assert found.samples[4].tensors[0].shape == (1, 2, 3)
    assert found.samples[4].target.tolist() == [0]  # type: ignore[union-attr]


def test_targets_keep_their_shape(python: str) -> None:
    found = opened(python + "rows")
    (batch,) = found.batches([0, 1, 2])
    assert batch.target is not None
    assert torch.equal(batch.target, torch.arange(12).reshape(3, 4))


def test_arrays_of_doubles_become_floats(python: str) -> None:
    assert opened(python + "doubles").first.tensors[0].dtype == torch.float32


def test_of_more_than_fits_the_first_samples_are_held_and_that_is_said(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_data, "HELD_BYTES", 10_000)
    found = opened(python + "endless")
    assert len(found.samples) == 1300
    assert "the first 1,300 samples are held" in found.describe().notes[-1]


def test_keyword_inputs_stay_keywords(python: str) -> None:
    found = opened(python + "keywords")
    (batch,) = found.batches([0, 1, 2])
    assert isinstance(batch.inputs, dict)
    assert {key: value.shape[0] for key, value in batch.inputs.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "holds no samples"),
        ("number", "returned a int"),
        ("texts", "gave a"),
        ("fails", "raised ValueError: no disk"),
        ("ends", "raised SystemExit: 3"),
        ("breaks_off", r"raised OSError: cable pulled \(my_data.py, line"),
        ("mapping", "returned a dict"),
        ("fewer_labels", "3 inputs with 2 labels"),
        ("flag", "have the shapes 3x2, a single number"),
        ("absent", "has no callable 'absent'"),
    ],
)
def test_python_that_gives_no_data_is_told(name: str, why: str, python: str) -> None:
    with pytest.raises(QguiError, match=why):
        opened(python + name)


def test_a_sample_that_cannot_be_read_is_named(python: str) -> None:
    found = opened(python + "broken")
    with pytest.raises(QguiError, match=r"Could not read sample 7.*sector 7"):
        list(found.batches(range(10)))


@pytest.mark.parametrize("source", ["", "nonsense", "example:letters", "/nowhere/at/all"])
def test_what_is_no_source_is_told(source: str) -> None:
    with pytest.raises(QguiError, match=r"is no data source|there is no example data"):
        opened(source)


def test_batches_have_the_wished_size_and_keep_indices_and_order(python: str) -> None:
    found = opened(python + "dataset")
    batches = list(found.batches([9, 1, 4, 3, 0], batch_size=2))
    assert [batch.indices for batch in batches] == [[9, 1], [4, 3], [0]]
    assert [float(t) for b in batches for t in b.tensors[0][:, 0, 0]] == [9.0, 1.0, 4.0, 3.0, 0.0]


def test_samples_of_unlike_shapes_go_into_batches_of_their_own() -> None:
    batches = [(torch.zeros(2, 3), torch.zeros(2)), (torch.zeros(1, 5), torch.zeros(1)), (torch.zeros(1, 3), None)]
    samples = python_data.ListedSamples([python_data.as_batch(item, "made") for item in batches])
    found = Data(DataReference("made", calibrate=1, batch_size=8), samples)
    assert [[t.shape[1] for t in batch.tensors] for batch in found.batches(range(4))] == [[3], [5], [3]]
    assert not samples.labelled


def test_the_reference_is_kept_for_the_recipe() -> None:
    reference = DataReference(f"{NETWORKS}:images", calibrate=5, seed=9)
    assert data.open_data(reference).reference == msgspec.structs.replace(reference)


def test_samples_left_out_do_not_calibrate_and_the_evaluation_stays() -> None:
    whole = opened("random:1x3", calibrate=6)
    gone = whole.calibration[1]
    less = opened("random:1x3", calibrate=6, excluded=(gone,))
    assert less.calibration == [index for index in whole.calibration if index != gone]
    assert less.evaluation == whole.evaluation
    assert less.notes == whole.notes


def test_the_same_samples_under_another_reference_leave_others_out() -> None:
    whole = opened("random:1x3", calibrate=6)
    first = whole.calibration[0]
    less = whole.under(msgspec.structs.replace(whole.reference, excluded=(first,), finite_only=True))
    assert less.samples is whole.samples
    assert first not in less.calibration
    assert less.reference.finite_only
    assert less.under(whole.reference).calibration == whole.calibration


def test_a_sample_that_is_left_out_without_taking_part_is_told() -> None:
    idle = opened("random:1x3", calibrate=6).evaluation[0]
    found = opened("random:1x3", calibrate=6, excluded=(idle,))
    assert len(found.calibration) == 6
    assert str(idle) in found.notes[-1]


@pytest.mark.parametrize("index", [-1, 64, 1000])
def test_a_sample_that_does_not_exist_cannot_be_left_out(index: int) -> None:
    with pytest.raises(QguiError, match=f"there is no sample {index}; the data holds 64.*0 to 63"):
        opened("random:1x3", calibrate=6, excluded=(index,))


def test_all_samples_cannot_be_left_out() -> None:
    every = tuple(opened("random:1x3", calibrate=6).calibration)
    with pytest.raises(QguiError, match=r"all 6 calibration samples are left out.*Take at least one back"):
        opened("random:1x3", calibrate=6, excluded=every)
