"""Every form of model source, and every way in which one can be bad."""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - to make a file that wants to run code
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sessions import NETWORKS
from torch import nn

from qgui.core.errors import NeedsTrust, QguiError
from qgui.core.recipe import ModelReference
from qgui.engine import python_source, sources
from qgui.engine.sources import LoadedModel


def opened(source: str | Path, weights: str | Path = "", trust: bool = False) -> LoadedModel:
    return sources.open_model(ModelReference(str(source), str(weights)), trust)


def small() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


@pytest.fixture
def builder(tmp_path: Path) -> str:
    """A Python file that builds `small` with other weights, as a source."""
    file = tmp_path / "build_small.py"
    file.write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))\n"
        "def number():\n    return 42\n"
        "def fails():\n    raise RuntimeError('no such wheel')\n"
        "value = 3\n"
        "def ends():\n    raise SystemExit(3)\n"
        "def wants(width):\n    return nn.Linear(width, 2)\n"
    )
    return f"{file}:build"


class Evil:
    """Writes a file while it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", sources.EXAMPLES)
def test_the_examples_open(name: str) -> None:
    loaded = opened(f"example:{name}")
    assert not loaded.module.training
    assert loaded.pretrained
    assert loaded.module(torch.zeros(loaded.input_shape)).shape == (1, 10)


def test_a_torchvision_model_opens_with_random_weights_and_says_so() -> None:
    loaded = opened("torchvision:squeezenet1_1")
    assert loaded.input_shape == (1, 3, 224, 224)
    assert not loaded.pretrained
    assert "random" in loaded.notes[0]
    again = opened("torchvision:squeezenet1_1")
    assert all(torch.equal(a, b) for a, b in zip(loaded.module.parameters(), again.module.parameters(), strict=True))


def test_opening_without_weights_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    assert not opened("torchvision:lraspp_mobilenet_v3_large").pretrained


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.DEFAULT"])
def test_named_weights_of_torchvision_are_asked_for(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = opened("torchvision:squeezenet1_1").module.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    loaded = opened("torchvision:squeezenet1_1", weights)
    assert loaded.pretrained
    assert not loaded.notes


def test_an_unknown_name_of_weights_is_told_with_the_known_ones() -> None:
    with pytest.raises(QguiError, match="knows no weights 'NOPE'") as caught:
        opened("torchvision:squeezenet1_1", "NOPE")
    assert "DEFAULT, IMAGENET1K_V1" in caught.value.next_step


def test_a_video_model_knows_its_shape() -> None:
    assert sources._input_shape("r3d_18") == (1, 3, 16, 112, 112)


def test_a_module_in_a_file_is_a_model_itself(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("from torch import nn\nmodel = nn.Linear(4, 2)\n")
    assert isinstance(opened(f"{tmp_path / 'made.py'}:model").module, nn.Linear)


def test_a_package_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets_of_mine").mkdir()
    (tmp_path / "nets_of_mine" / "__init__.py").write_text("")
    (tmp_path / "nets_of_mine" / "small.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Linear(4, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert isinstance(opened("nets_of_mine.small:build").module, nn.Linear)
    assert python_source.folder_of_package("nets_of_mine.small") == tmp_path
    assert python_source.folder_of_package("torch.nn") is None
    assert python_source.folder_of_package("json") is None
    for name in ("nets_of_mine.small", "nets_of_mine"):
        del sys.modules[name]


def test_a_function_in_a_file_builds_a_model(builder: str) -> None:
    loaded = opened(builder)
    assert loaded.title == "build"
    assert isinstance(loaded.module, nn.Sequential)


def test_a_class_of_a_package_builds_a_model() -> None:
    assert isinstance(opened("torch.nn:Identity").module, nn.Identity)


def test_a_whole_model_in_a_file_needs_trust_and_opens_with_it(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(small(), path)
    with pytest.raises(NeedsTrust, match="holds Python code that would run"):
        opened(path)
    loaded = opened(path, trust=True)
    assert loaded.title == "model"
    assert torch.equal(loaded.module(torch.ones(1, 4)), small()(torch.ones(1, 4)))


def test_code_in_a_file_does_not_run_before_the_person_trusts_it(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pt", tmp_path / "it-ran"
    torch.save({"weight": Evil(mark)}, path)
    with pytest.raises(NeedsTrust):
        opened(path)
    with pytest.raises(NeedsTrust):
        sources.load_weights(small(), path)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_weights_does_not_run_for_a_model_of_one_s_own(builder: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "it-ran"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(QguiError):
        opened(builder, path)
    assert not mark.exists()


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_found_however_they_were_saved(wrapped: str, prefix: str, builder: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = {prefix + key: value for key, value in small().state_dict().items()}
    torch.save({wrapped: state, "epoch": 3} if wrapped else state, path)
    loaded = opened(builder, path)
    assert torch.equal(loaded.module(torch.ones(1, 4)), small()(torch.ones(1, 4)))
    assert loaded.pretrained


def test_weights_may_be_safetensors(builder: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(small().state_dict(), path)
    assert torch.equal(opened(builder, path).module(torch.ones(1, 4)), small()(torch.ones(1, 4)))


def test_weights_take_away_the_note_on_random_ones(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(opened("torchvision:squeezenet1_1").module.state_dict(), path)
    loaded = opened("torchvision:squeezenet1_1", path)
    assert loaded.pretrained
    assert not loaded.notes


def _content(kind: str) -> bytes:
    buffer = io.BytesIO()
    torch.save(small().state_dict(), buffer)
    whole = buffer.getvalue()
    return {"empty": b"", "truncated": whole[: len(whole) // 2], "garbage": b"no checkpoint at all" * 9}[kind]


@pytest.mark.parametrize("kind", ["empty", "truncated", "garbage"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_file_is_told(kind: str, suffix: str, builder: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(_content(kind))
    with pytest.raises(QguiError, match=r"is empty|is damaged|holds") as caught:
        opened(builder, path)
    assert not isinstance(caught.value, NeedsTrust)
    assert str(path) in str(caught.value)
    assert caught.value.next_step
    if suffix == ".pt":
        with pytest.raises(QguiError):
            opened(path)


@pytest.mark.parametrize("name", ["nowhere.pt", "nowhere.pth"])
def test_a_missing_file_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="there is no file"):
        opened(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_missing_weights_are_told(suffix: str, builder: str, tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="there is no file"):
        opened(builder, tmp_path / f"nowhere{suffix}")


def test_weights_that_do_not_fit_leave_the_model_as_it_was(tmp_path: Path) -> None:
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {"0.weight": torch.zeros(3, 5), "0.bias": torch.zeros(3), "stranger": torch.zeros(1)}
    path = tmp_path / "w.pt"
    torch.save(state, path)
    with pytest.raises(QguiError, match="does not fit the model") as caught:
        sources.load_weights(model, path)
    told = str(caught.value)
    assert "2 keys missing (2.weight, 2.bias)" in told
    assert "1 keys unexpected (stranger)" in told
    assert "1 keys of another shape" in told
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_state_dict_alone_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(small().state_dict(), path)
    with pytest.raises(QguiError, match="holds a state dict, not a model"):
        opened(path)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(2), {"a": 1}])
def test_what_is_no_state_dict_is_told(content: object, builder: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(content, path)
    with pytest.raises(QguiError, match="holds no state dict"):
        opened(builder, path)


def test_a_torchscript_program_is_told(builder: str, tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(small(), torch.ones(1, 4)), path)
    assert zipfile.is_zipfile(path)
    for source, weights in ((path, ""), (builder, path)):
        with pytest.raises(QguiError, match="TorchScript program") as caught:
            opened(source, weights)
        assert not isinstance(caught.value, NeedsTrust)


def test_a_model_whose_class_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("module_that_goes")
    exec("from torch import nn\nclass Net(nn.Module):\n    pass\nNet.__module__ = 'module_that_goes'", module.__dict__)
    monkeypatch.setitem(sys.modules, "module_that_goes", module)
    path = tmp_path / "m.pt"
    torch.save(module.Net(), path)
    monkeypatch.delitem(sys.modules, "module_that_goes")
    with pytest.raises(QguiError, match="a class that"):
        opened(path, trust=True)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("example:nothing", "there is no example 'nothing'"),
        ("torchvision:resnet999", "torchvision has no model 'resnet999'"),
        ("resnet18", "is no model source"),
        ("", "is no model source"),
        ("model.onnx", "there is no file model.onnx"),
        ("no_such_package.models:build", "there is no module no_such_package"),
        ("torch.nn:NoSuchClass", "has no callable 'NoSuchClass'"),
        ("nowhere.py:build", "there is no file nowhere.py"),
        (f"{NETWORKS}:nothing", "has no callable 'nothing'"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(source: str, why: str) -> None:
    with pytest.raises(QguiError, match=why) as caught:
        opened(source)
    assert caught.value.what == sources.WHAT
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("number", "returned a int"),
        ("fails", r"raised RuntimeError: no such wheel \(build_small.py, line 7\)"),
        ("ends", r"raised SystemExit: 3 \(build_small.py, line 10\)"),
        ("wants", r"missing 1 required positional argument: 'width'\."),
        ("value", "has no callable 'value'"),
    ],
)
def test_a_function_that_builds_no_model_is_told(name: str, why: str, builder: str) -> None:
    with pytest.raises(QguiError, match=why):
        opened(builder.replace(":build", f":{name}"))


@pytest.mark.parametrize(("text", "why"), [("1 /", "SyntaxError"), ("import nowhere_at_all", "nowhere_at_all")])
def test_a_file_that_python_cannot_run_is_told(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(QguiError, match=why):
        opened(f"{file}:build")
