"""What a model starts with, by its family."""

from collections.abc import Callable

import msgspec
import pytest

from qgui.core import advice
from qgui.core.layers import Family, Layer, ModelDescription
from qgui.core.recipe import Mode
from qgui.core.results import MachineDescription

MACHINE = MachineDescription("cpu", 2, 2, ("x86", "onednn"), "x86", {"x86": False, "onednn": False}, "AVX512", "2.9")


def rows(*types: str, parameters: int = 100) -> tuple[Layer, ...]:
    return tuple(
        Layer(f"{kind.lower()}{i}", kind, "module", node=f"n{i}", parameters=parameters) for i, kind in enumerate(types)
    )


FAMILIES = {
    Family.CNN: rows("Conv2d", "BatchNorm2d", "ReLU", "Linear"),
    Family.RECURRENT: rows("Embedding", "LSTM", "Linear"),
    Family.TRANSFORMER: rows("Embedding", "Linear", "softmax", "LayerNorm", "Linear"),
    Family.MLP: rows("Linear", "ReLU", "Linear"),
    Family.OTHER: rows("ReLU", "add"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_tell_the_family(family: Family) -> None:
    assert advice.family_of(FAMILIES[family]) is family


def test_attention_in_a_leaf_makes_a_transformer() -> None:
    assert advice.family_of(rows("TransformerEncoderLayer", "Linear")) is Family.TRANSFORMER


def test_attention_in_a_function_makes_a_transformer() -> None:
    types = ("Conv2d", "LayerNorm", "shifted_window_attention", "Linear")
    assert advice.family_of(rows(*types)) is Family.TRANSFORMER


def test_a_small_recurrent_head_leaves_a_convolutional_network_one() -> None:
    assert advice.family_of((*rows("Conv2d", parameters=10**6), *rows("LSTM"))) is Family.CNN


@pytest.mark.parametrize(
    ("family", "mode"),
    [
        (Family.CNN, Mode.STATIC),
        (Family.RECURRENT, Mode.DYNAMIC),
        (Family.TRANSFORMER, Mode.DYNAMIC),
        (Family.MLP, Mode.STATIC),
        (Family.OTHER, Mode.STATIC),
    ],
)
def test_each_family_starts_as_pytorch_s_guide_says(
    family: Family, mode: Mode, described: Callable[..., ModelDescription]
) -> None:
    model = msgspec.structs.replace(described(FAMILIES[family]), family=family)
    found, reason = advice.advised_mode(model)
    assert found is mode
    assert reason.endswith(".")


def test_a_model_that_does_not_trace_starts_dynamic(described: Callable[..., ModelDescription]) -> None:
    assert advice.advised_mode(described(FAMILIES[Family.CNN], traced=False))[0] is Mode.DYNAMIC


def test_embeddings_start_float_and_every_other_head_in_the_wished_mode(
    described: Callable[..., ModelDescription],
) -> None:
    model = described((*FAMILIES[Family.RECURRENT], Layer("relu", "ReLU", "module", group="linear2")))
    found = advice.advised_rules(model, Mode.DYNAMIC, "x86")
    assert {name: rule.mode for name, rule in found.items()} == {
        "embedding0": Mode.FLOAT,
        "lstm1": Mode.DYNAMIC,
        "linear2": Mode.DYNAMIC,
    }


def test_seven_bits_are_advised_only_where_the_processor_needs_them(
    described: Callable[..., ModelDescription],
) -> None:
    model = described(FAMILIES[Family.CNN])
    for narrow in (False, True):
        found = advice.advised_rules(model, Mode.STATIC, "x86", narrow)
        assert {rule.activation.reduce_range for rule in found.values()} == {narrow}


def test_a_model_with_wide_depthwise_convolutions_gets_an_engine_that_adds_in_32_bits(
    described: Callable[..., ModelDescription],
) -> None:
    usual = Layer("conv", "Conv2d", "module", node="conv")
    wide = msgspec.structs.replace(usual, feeds_depthwise=200)
    assert advice.advised_backend(described((usual,)), MACHINE)[0] == "x86"
    assert advice.advised_backend(described((wide,)), MACHINE)[0] == "onednn"
    weak = msgspec.structs.replace(MACHINE, reduce_range={"x86": True, "onednn": True})
    assert advice.advised_backend(described((wide,)), weak)[0] == "x86"
