"""The table of what a layer may have. That it holds for the real conversion is tested in tests/engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import legality
from qgui.core.layers import Layer
from qgui.core.legality import allowed_modes, corrected, default_rule, mode_reasons, step_reasons
from qgui.core.recipe import (
    STEPS,
    ActivationSetting,
    Mode,
    Observer,
    ObserverKind,
    Rule,
    WeightSetting,
)

BACKENDS = ("x86", "onednn", "fbgemm", "qnnpack")
TYPES = sorted(legality.STATIC_TYPES | legality.DYNAMIC_TYPES | {"RNN", "GELU", "TransformerEncoderLayer", "Unknown"})


def layer(kind: str, **more: object) -> Layer:
    return Layer("a.b", kind, "module", node="a_b", tensor="a_b", weight_shape=(8, 8, 3, 3), **more)  # type: ignore[arg-type]


layers = st.builds(
    layer,
    st.sampled_from(TYPES),
    calls=st.sampled_from([1, 1, 1, 2]),
    leaf_reason=st.sampled_from(["", "", "it branches"]),
    group=st.sampled_from(["", "", "a.b", "head"]),
    feeds_depthwise=st.sampled_from([0, 8, 200]),
)
rules = st.builds(
    Rule,
    st.sampled_from(Mode),
    st.builds(
        WeightSetting,
        st.sampled_from(["qint8", "quint8", "float16"]),
        st.sampled_from(
            ["per_tensor_symmetric", "per_tensor_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"]
        ),
        st.builds(Observer, st.sampled_from(ObserverKind)),
    ),
    st.builds(ActivationSetting, reduce_range=st.booleans()),
    equalize=st.booleans(),
    correct_bias=st.booleans(),
    adaround=st.booleans(),
)
backends = st.sampled_from(BACKENDS)


@given(rules, layers, backends)
def test_correcting_twice_changes_nothing_more(rule: Rule, row: Layer, backend: str) -> None:
    once = corrected(rule, row, backend)
    assert corrected(once, row, backend) == once


@given(rules, layers, backends)
def test_a_corrected_rule_is_legal_in_every_part(rule: Rule, row: Layer, backend: str) -> None:
    found = corrected(rule, row, backend)
    assert found.mode is Mode.FLOAT or found.mode in allowed_modes(row, backend)
    assert not legality.weight_dtypes(row, found.mode, backend)[found.weight.dtype]
    assert not legality.weight_schemes(row, found.mode)[found.weight.qscheme]
    if found.weight.dtype != "float16":
        assert not legality.weight_observers(row, found.weight)[found.weight.observer.kind]
    assert found.activation == rule.activation


@given(layers, st.sampled_from(Mode), backends, st.booleans())
def test_every_default_rule_is_legal(row: Layer, mode: Mode, backend: str, narrow: bool) -> None:
    rule = default_rule(row, mode, backend, narrow)
    assert corrected(rule, row, backend) == rule


@given(layers, backends)
def test_what_is_forbidden_has_a_reason_that_is_a_sentence(row: Layer, backend: str) -> None:
    reasons = mode_reasons(row, backend)
    assert set(reasons) == set(Mode)
    for reason in reasons.values():
        assert not reason or (reason.endswith(".") and len(reason.split()) > 3)


@given(layers, backends)
def test_every_head_may_stay_float(row: Layer, backend: str) -> None:
    if row.head:
        assert Mode.FLOAT in allowed_modes(row, backend)


@pytest.mark.parametrize(
    ("row", "mode", "reason"),
    [
        (layer("LSTM"), Mode.STATIC, "no static int8 kernel"),
        (layer("RNN"), Mode.DYNAMIC, "none for nn.RNN"),
        (layer("LSTM", fusion="proj_size"), Mode.DYNAMIC, "projection"),
        (layer("Conv2d"), Mode.DYNAMIC, "not for Conv2d"),
        (layer("Embedding"), Mode.STATIC, "no input activation"),
        (layer("GELU"), Mode.STATIC, "no int8 kernel for GELU"),
        (layer("add"), Mode.QAT, "for Conv and Linear"),
        (layer("Linear", calls=2), Mode.STATIC, "called 2 times"),
        (layer("Block", leaf_reason="it branches"), Mode.STATIC, "it branches"),
        (Layer("x", "Input", "input", node="x"), Mode.STATIC, "becomes int8 by itself"),
        (Layer("a.fc", "Linear", "inside", inside="a"), Mode.STATIC, "inside a"),
        (Layer("fc", "Linear", "inside"), Mode.STATIC, "only dynamic"),
        (layer("ReLU", group="conv"), Mode.STATIC, "Fused into conv"),
        (layer("NonDynamicallyQuantizableLinear"), Mode.DYNAMIC, "MultiheadAttention"),
    ],
)
def test_the_reason_says_what_stands_in_the_way(row: Layer, mode: Mode, reason: str) -> None:
    assert reason in mode_reasons(row, "x86")[mode]


@pytest.mark.parametrize("kind", ["ConvTranspose3d", "MaxPool3d", "max_pool3d", "clamp"])
def test_what_qnnpack_computes_wrongly_is_forbidden_there_alone(kind: str) -> None:
    assert "QNNPACK" in mode_reasons(layer(kind), "qnnpack")[Mode.STATIC]
    assert not mode_reasons(layer(kind), "x86")[Mode.STATIC]


def test_transposed_convolutions_take_one_scale_per_tensor() -> None:
    reason = legality.weight_schemes(layer("ConvTranspose2d"), Mode.STATIC)["per_channel_symmetric"]
    assert "one scale per tensor" in reason
    assert default_rule(layer("ConvTranspose2d"), Mode.STATIC, "x86").weight.qscheme == "per_tensor_symmetric"


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        (Mode.QAT, "Conv2d", Mode.QAT),
        (Mode.QAT, "add", Mode.STATIC),
        (Mode.QAT, "LSTM", Mode.DYNAMIC),
        (Mode.STATIC, "LSTM", Mode.DYNAMIC),
        (Mode.STATIC, "GELU", Mode.FLOAT),
        (Mode.DYNAMIC, "Conv2d", Mode.FLOAT),
        (Mode.FLOAT, "Conv2d", Mode.FLOAT),
    ],
)
def test_the_nearest_mode_is_the_next_weaker_one(mode: Mode, kind: str, expected: Mode) -> None:
    assert legality.nearest_mode(layer(kind), mode, "x86") is expected


@pytest.mark.parametrize(
    ("groups", "backend", "expected"),
    [(0, "fbgemm", False), (8, "fbgemm", True), (8, "x86", False), (200, "x86", True), (200, "onednn", False)],
)
def test_seven_bits_are_asked_for_where_the_depthwise_kernel_adds_in_sixteen(
    groups: int, backend: str, expected: bool
) -> None:
    row = layer("Conv2d", feeds_depthwise=groups)
    assert legality.needs_reduced_range(row, backend) is expected
    assert default_rule(row, Mode.STATIC, backend).activation.reduce_range is expected


def test_float16_weights_exist_where_the_backend_has_them() -> None:
    half = Rule(Mode.DYNAMIC, WeightSetting("float16"))
    assert corrected(half, layer("Linear"), "x86").weight.dtype == "float16"
    assert corrected(half, layer("Linear"), "onednn").weight.dtype == "qint8"
    assert corrected(Rule(Mode.STATIC, WeightSetting("float16")), layer("Linear"), "x86").weight.dtype == "qint8"


def test_a_fixed_range_belongs_to_one_scale_per_tensor() -> None:
    fixed = Observer(ObserverKind.FIXED, low=-1.0, high=1.0)
    per_channel = Rule(Mode.STATIC, WeightSetting(observer=fixed))
    per_tensor = Rule(Mode.STATIC, WeightSetting(qscheme="per_tensor_symmetric", observer=fixed))
    assert corrected(per_channel, layer("Linear"), "x86").weight.observer == Observer()
    assert corrected(per_tensor, layer("Linear"), "x86") == per_tensor


@given(rules, layers, backends)
def test_a_corrected_rule_has_only_steps_that_the_layer_may_have(rule: Rule, row: Layer, backend: str) -> None:
    found = corrected(rule, row, backend)
    reasons = step_reasons(row, found, backend)
    for step in STEPS:
        assert not (getattr(found, step) and reasons[step])
        assert not getattr(found, step) or getattr(rule, step)


PAIRED = {"equalizable": (("a.b", "c"),)}


@pytest.mark.parametrize(
    ("row", "rule", "words"),
    [
        (layer("Conv2d", group="head", **PAIRED), Rule(Mode.STATIC), "Fused into head"),
        (layer("LSTM", **PAIRED), Rule(Mode.DYNAMIC), "LSTM weights are rounded"),
        (layer("Embedding", **PAIRED), Rule(Mode.DYNAMIC), "Embedding weights are rounded"),
        (layer("ConvTranspose2d", **PAIRED), Rule(Mode.STATIC), "ConvTranspose2d weights are rounded"),
        (layer("add"), Rule(Mode.STATIC), "no weight"),
        (layer("Conv2d", **PAIRED), Rule(Mode.FLOAT), "float layer"),
        (layer("Linear", **PAIRED), Rule(Mode.QAT), "training already"),
        (layer("Linear", **PAIRED), Rule(Mode.DYNAMIC, WeightSetting("float16")), "float16"),
        (layer("Conv2d", calls=2, **PAIRED), Rule(Mode.STATIC), "2 times"),
        (layer("Linear", leaf_reason="it branches", **PAIRED), Rule(Mode.DYNAMIC), "cannot trace"),
        (Layer("a.b", "Linear", "inside", inside="a"), Rule(Mode.DYNAMIC), "cannot trace"),
    ],
)
def test_no_step_where_it_means_nothing_and_why(row: Layer, rule: Rule, words: str) -> None:
    reasons = step_reasons(row, rule, "x86")
    assert all(words in reason for reason in reasons.values()), reasons


@pytest.mark.parametrize(("kind", "mode"), [("Conv2d", Mode.STATIC), ("Linear", Mode.STATIC), ("Linear", Mode.DYNAMIC)])
def test_weights_that_are_rounded_may_have_every_step(kind: str, mode: Mode) -> None:
    assert set(step_reasons(layer(kind, **PAIRED), Rule(mode), "x86").values()) == {""}


def test_a_layer_without_a_neighbour_to_scale_against_says_why() -> None:
    reasons = step_reasons(layer("Conv2d", alone="Two layers read it."), Rule(Mode.STATIC), "x86")
    assert reasons == {"equalize": "Two layers read it.", "correct_bias": "", "adaround": ""}
