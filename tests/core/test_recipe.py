"""Recipes: values, their hash, their file."""

import errno
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.core.recipe import (
    ActivationSetting,
    DataReference,
    Mode,
    ModelReference,
    Observer,
    ObserverKind,
    Recipe,
    Rule,
    WeightSetting,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
observers = st.builds(
    Observer, st.sampled_from(ObserverKind), averaging_constant=numbers, percentile=numbers, low=numbers, high=numbers
)
weights = st.builds(
    WeightSetting,
    st.sampled_from(["qint8", "quint8", "float16"]),
    st.sampled_from(
        ["per_tensor_symmetric", "per_tensor_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"]
    ),
    observers,
)
activations = st.builds(
    ActivationSetting,
    st.just("quint8"),
    st.sampled_from(["per_tensor_affine", "per_tensor_symmetric"]),
    observers,
    st.booleans(),
)
rules = st.builds(Rule, st.sampled_from(Mode), weights, activations)
triples = st.tuples(numbers, numbers, numbers)
data = st.builds(
    DataReference,
    source=st.text(),
    resize=st.integers(1, 4096),
    crop=st.integers(1, 4096),
    mean=triples,
    std=triples,
    interpolation=st.sampled_from(["bilinear", "bicubic", "nearest"]),
    calibrate=st.integers(1, 10**6),
    evaluate=st.integers(0, 10**6),
    seed=st.integers(0, 2**31),
    overlap=st.booleans(),
    batch_size=st.integers(1, 1024),
    metric=st.text(),
)
recipes = st.builds(
    Recipe,
    backend=st.sampled_from(["x86", "onednn", "fbgemm", "qnnpack"]),
    model=st.builds(ModelReference, st.text(), st.text()),
    data=data,
    rules=st.dictionaries(st.text(), rules, max_size=5),
)

A_RECIPE = Recipe(
    backend="onednn",
    model=ModelReference("torchvision:resnet18"),
    rules={
        "conv1": Rule(Mode.STATIC, activation=ActivationSetting(observer=Observer(ObserverKind.PERCENTILE))),
        "fc": Rule(Mode.DYNAMIC, WeightSetting(qscheme="per_tensor_symmetric")),
    },
)


@given(recipes)
def test_a_recipe_survives_its_file(recipe: Recipe) -> None:
    assert recipe_file.decode(recipe_file.encode(recipe)) == recipe


@given(recipes)
def test_the_hash_depends_on_values_alone(recipe: Recipe) -> None:
    again = recipe_file.decode(recipe_file.encode(recipe))
    turned = msgspec.structs.replace(recipe, rules=dict(reversed(recipe.rules.items())))
    assert recipe.digest() == again.digest() == turned.digest()


def test_the_hash_is_the_same_in_every_version_of_the_program() -> None:
    assert A_RECIPE.digest() == "0b1a0748bc6c9500"


@pytest.mark.parametrize(
    "changed",
    [
        msgspec.structs.replace(A_RECIPE, backend="x86"),
        A_RECIPE.with_rules({"fc": Rule(Mode.FLOAT)}),
        A_RECIPE.with_rules({"new": Rule(Mode.STATIC)}),
        msgspec.structs.replace(A_RECIPE, data=DataReference(seed=1)),
    ],
)
def test_the_hash_tells_different_decisions_apart(changed: Recipe) -> None:
    assert changed.digest() != A_RECIPE.digest()


def test_changing_rules_leaves_the_earlier_recipe_as_it_was() -> None:
    before = A_RECIPE.digest()
    changed = A_RECIPE.with_rules({"conv1": Rule(Mode.QAT)})
    assert changed.rule("conv1").mode is Mode.QAT
    assert changed.rule("fc") == A_RECIPE.rule("fc")
    assert A_RECIPE.digest() == before


def test_a_layer_without_a_rule_stays_float() -> None:
    assert A_RECIPE.rule("nowhere").mode is Mode.FLOAT


def test_the_file_is_readable_json_with_a_version() -> None:
    content = msgspec.json.decode(recipe_file.encode(A_RECIPE))
    assert content["version"] == 2
    assert content["rules"]["conv1"]["mode"] == "static"


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"[1, 2]", b"{}", b'{"version": "one"}', b"\xff\xfe{}"])
def test_what_is_no_recipe_is_refused(content: bytes) -> None:
    with pytest.raises(QguiError, match="it is not a recipe") as caught:
        recipe_file.decode(content, "garbage.json")
    assert "garbage.json" in caught.value.what
    assert caught.value.next_step


@pytest.mark.parametrize(
    "content", [b'{"version": 1, "rules": {"a": {"mode": "int3"}}}', b'{"version": 1, "backend": 7}']
)
def test_a_wrong_value_is_named(content: bytes) -> None:
    with pytest.raises(QguiError, match="a value is wrong"):
        recipe_file.decode(content)


def test_a_recipe_of_a_newer_program_is_refused_whatever_it_holds() -> None:
    with pytest.raises(QguiError, match="format version 99"):
        recipe_file.decode(b'{"version": 99, "rules": "of another kind"}')


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="No such file"):
        recipe_file.load(tmp_path / "nowhere.qgui")


def test_saving_and_loading_give_the_same_recipe(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "r.qgui"
    recipe_file.save(A_RECIPE, path)
    assert recipe_file.load(path) == A_RECIPE
    assert [p.name for p in path.parent.iterdir()] == ["r.qgui"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace", "tempfile.mkstemp"])
def test_a_full_disk_leaves_the_earlier_file_and_nothing_beside_it(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.qgui"
    recipe_file.save(A_RECIPE, path)
    monkeypatch.setattr(broken, _refuse)
    with pytest.raises(QguiError, match="No space left"):
        recipe_file.save(A_RECIPE.with_rules({"new": Rule(Mode.QAT)}), path)
    monkeypatch.undo()
    assert recipe_file.load(path) == A_RECIPE
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("I am a file")
    with pytest.raises(QguiError, match="Could not write"):
        recipe_file.save(A_RECIPE, file / "r.qgui")
    assert file.read_text() == "I am a file"
