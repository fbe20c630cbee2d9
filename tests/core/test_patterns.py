"""Rules by pattern: what they match, how they are written, and what they make of a model's layers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgui.core import advice, fitting, patterns, recipe_file
from qgui.core.errors import QguiError
from qgui.core.fitting import fitted
from qgui.core.layers import Family, Layer, ModelDescription
from qgui.core.recipe import (
    ActivationSetting,
    Mode,
    ModelReference,
    Observer,
    ObserverKind,
    PatternRule,
    Recipe,
    Rule,
    WeightSetting,
)


def _conv(name: str, group: str = "") -> Layer:
    return Layer(name, "Conv2d", "module", node=name, tensor=name, group=group, weight_shape=(8, 4, 3, 3), parameters=9)


LAYERS = (
    Layer("x", "input", "input", node="x", tensor="x"),
    _conv("conv1"),
    Layer("bn1", "BatchNorm2d", "module", node="bn1", group="conv1"),
    _conv("layer3.0.conv1"),
    _conv("layer3.0.conv2"),
    Layer("layer3.0.add", "add", "function", node="add", tensor="add"),
    Layer("norm", "LayerNorm", "module", node="norm", tensor="norm"),
    Layer("fc", "Linear", "module", node="fc", tensor="fc", weight_shape=(10, 8), parameters=80),
)
MODEL = ModelDescription("m", "m", Family.CNN, True, "", LAYERS, (), 1, 1)
ADVISED = advice.advised_rules(MODEL, Mode.STATIC, "x86")
START = Recipe(rules=ADVISED, own=frozenset())


def with_rules(*lines: str, recipe: Recipe = START) -> Recipe:
    return msgspec.structs.replace(recipe, patterns=tuple(map(patterns.parsed, lines)))


def modes(recipe: Recipe) -> dict[str, str]:
    return {name: rule.mode.value for name, rule in recipe.rules.items()}


def test_a_glob_matches_paths_over_dots_and_a_type_matches_exactly() -> None:
    assert patterns.matches("layer3.*", LAYERS[3])
    assert not patterns.matches("layer3.*", LAYERS[1])
    assert patterns.matches("Conv2d", LAYERS[1])
    assert not patterns.matches("Conv", LAYERS[1])
    assert not patterns.matches("conv2d", LAYERS[1])
    assert patterns.matches("type:Conv*", LAYERS[1])
    assert patterns.matches("add", LAYERS[5])
    assert not patterns.matches("path:add", LAYERS[5])


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("layer3.*=float", PatternRule("layer3.*", Mode.FLOAT)),
        (" Conv2d = static , observer=mse", PatternRule("Conv2d", Mode.STATIC, Observer(ObserverKind.MSE))),
        ("fc=observer=percentile:99.9", PatternRule("fc", observer=Observer(ObserverKind.PERCENTILE, percentile=99.9))),
        ("fc=observer=fixed:-1:6", PatternRule("fc", observer=Observer(ObserverKind.FIXED, low=-1.0, high=6.0))),
        ("type:Lin*=weight_dtype=qint8,equalize=off", PatternRule("type:Lin*", weight_dtype="qint8", equalize=False)),
    ],
)  # fmt: skip
def test_a_line_becomes_a_rule(line: str, rule: PatternRule) -> None:
    assert patterns.parsed(line) == rule


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("layer3.*", "no '='"),
        ("=float", "no pattern"),
        ("fc=", "sets nothing"),
        ("fc=fast", "float, dynamic, static, qat"),
        ("fc=colour=red", "no setting 'colour'"),
        ("fc=observer=fixed:1", "fixed:low:high"),
        ("fc=observer=mse:3", "takes no number"),
        ("fc=observer=percentile:many", "percentile"),
        ("fc=adaround=yes", "on, off"),
    ],
)
def test_a_line_that_cannot_be_read_says_why_and_what_to_write(line: str, word: str) -> None:
    with pytest.raises(QguiError, match="Could not read the rule") as caught:
        patterns.parsed(line)
    assert word in caught.value.why
    assert "layer3.*=float" in caught.value.next_step


_observers = st.one_of(
    st.builds(Observer, st.sampled_from([ObserverKind.MINMAX, ObserverKind.MSE, ObserverKind.ENTROPY])),
    st.builds(Observer, st.just(ObserverKind.PERCENTILE), percentile=st.floats(50, 100)),
    st.builds(Observer, st.just(ObserverKind.MOVING_AVERAGE), averaging_constant=st.floats(0.001, 1)),
    st.builds(Observer, st.just(ObserverKind.FIXED), low=st.floats(-9, 0), high=st.floats(0.1, 9)),
)
_written = st.builds(
    PatternRule,
    st.text(st.sampled_from("abc.*?[]:019_"), min_size=1),
    st.sampled_from(Mode),
    st.none() | _observers,
    st.none() | st.sampled_from(["per_tensor_affine", "per_tensor_symmetric"]),
    st.none() | st.sampled_from(["qint8", "float16"]),
    st.none() | st.sampled_from(["per_tensor_symmetric", "per_channel_symmetric"]),
    st.none() | _observers,
    st.none() | st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)


@given(_written)
def test_every_rule_can_be_written_in_a_line_and_in_a_file(rule: PatternRule) -> None:
    assert patterns.parsed(patterns.line_of(rule)) == rule
    recipe = Recipe(patterns=(rule,))
    assert recipe_file.decode(recipe_file.encode(recipe)) == recipe


def test_a_pattern_decides_the_layers_it_matches_and_no_others() -> None:
    found = fitted(with_rules("layer3.*=float"), LAYERS)
    assert found.misfits == ()
    assert {name for name, mode in modes(found.recipe).items() if mode == "float"} == {
        "x", "layer3.0.conv1", "layer3.0.conv2", "layer3.0.add",
    }  # fmt: skip
    assert found.recipe.underneath["layer3.0.conv1"] == ADVISED["layer3.0.conv1"]


def test_the_last_pattern_to_name_a_setting_wins_whether_it_is_a_path_or_a_type() -> None:
    there = fitted(with_rules("Conv2d=static,observer=minmax", "layer3.*=float"), LAYERS).recipe
    back = fitted(with_rules("layer3.*=float", "Conv2d=static,observer=minmax"), LAYERS).recipe
    assert there.rule("layer3.0.conv1").mode is Mode.FLOAT
    assert there.rule("layer3.0.conv1").activation.observer == Observer(ObserverKind.MINMAX)
    assert back.rule("layer3.0.conv1").mode is Mode.STATIC
    assert back.rule("layer3.0.add").mode is Mode.FLOAT


def test_a_rule_of_a_single_layer_wins_over_every_pattern() -> None:
    single = START.with_rules({"layer3.0.conv1": Rule(Mode.STATIC)})
    found = fitted(with_rules("layer3.*=float", recipe=single), LAYERS)
    assert found.recipe.rule("layer3.0.conv1").mode is Mode.STATIC
    assert found.recipe.rule("layer3.0.conv2").mode is Mode.FLOAT
    assert found.outcomes[0].kept == ["layer3.0.conv1"]
    assert "layer3.0.conv1 keeps a rule of its own" in found.outcomes[0].kept_sentence
    assert [rule.pattern for rule in fitting.overruled(found.recipe, LAYERS[3])] == ["layer3.*"]


def test_deciding_singly_under_a_pattern_frees_the_layer_and_giving_it_back_binds_it_again() -> None:
    bound = fitted(with_rules("layer3.*=float"), LAYERS).recipe
    freed = fitted(bound.with_rules({"layer3.0.conv1": Rule(Mode.STATIC)}), LAYERS).recipe
    assert freed.rule("layer3.0.conv1").mode is Mode.STATIC
    assert fitting.governing(freed, LAYERS[3]) == ()
    again = fitted(fitting.given_back(freed, ["layer3.0.conv1"], ADVISED), LAYERS).recipe
    assert again == bound


def test_fitting_twice_changes_nothing() -> None:
    once = fitted(with_rules("*=qat,adaround=on", "layer3.*=float", "fc=weight_qscheme=per_tensor_symmetric"), LAYERS)
    assert fitted(once.recipe, LAYERS).recipe == once.recipe


def test_without_its_pattern_a_layer_is_as_it_was_before() -> None:
    bound = fitted(with_rules("Conv2d=float"), LAYERS).recipe
    assert fitted(msgspec.structs.replace(bound, patterns=()), LAYERS).recipe == START


def test_a_pattern_that_matches_nothing_says_so_and_the_rest_applies() -> None:
    found = fitted(with_rules("layer9.*=float", "fc=float"), LAYERS)
    assert [str(misfit) for misfit in found.told] == ["layer9.*: no layer of this model has such a path or type."]
    assert found.recipe.rule("fc").mode is Mode.FLOAT


def test_a_pattern_that_matches_only_fused_layers_names_those_to_decide() -> None:
    found = fitted(with_rules("BatchNorm2d=float"), LAYERS)
    assert "bn1 into conv1" in found.told[0].why
    assert found.recipe == msgspec.structs.replace(START, patterns=found.recipe.patterns)


def test_a_mode_that_a_matched_layer_cannot_have_is_told_and_the_others_get_it() -> None:
    found = fitted(with_rules("*=dynamic"), LAYERS)
    told = [str(misfit) for misfit in found.told]
    assert len(told) == 1
    assert told[0].startswith("*: dynamic is not possible for conv1 and 4 more. Dynamic quantization exists for Linear")
    assert found.recipe.rule("fc").mode is Mode.DYNAMIC
    assert found.recipe.rule("conv1").mode is Mode.STATIC


def test_a_setting_that_means_nothing_for_some_layers_is_told_only_where_none_takes_it() -> None:
    assert fitted(with_rules("layer3.*=weight_qscheme=per_tensor_symmetric"), LAYERS).told == ()
    told = fitted(with_rules("add=weight_qscheme=per_tensor_symmetric"), LAYERS).told
    assert "add has no weight" in told[0].why


def test_a_pattern_gives_layers_of_which_the_recipe_says_nothing_a_whole_rule() -> None:
    found = fitted(with_rules("Conv2d=static", recipe=Recipe(own=frozenset())), LAYERS, reduce_range=True)
    assert modes(found.recipe) == dict.fromkeys(("conv1", "layer3.0.conv1", "layer3.0.conv2"), "static")
    assert found.recipe.rule("conv1").activation.reduce_range


def test_results_stay_valid_however_the_rules_are_written() -> None:
    by_pattern = fitted(with_rules("layer3.*=float"), LAYERS).recipe
    singly = START.with_rules({name: by_pattern.rules[name] for name in by_pattern.underneath})
    assert by_pattern.rules == singly.rules
    assert by_pattern.digest() == singly.digest() != START.digest()
    reordered = fitted(with_rules("nowhere=float", "layer3.*=float"), LAYERS).recipe
    assert reordered.digest() == by_pattern.digest()


def test_a_file_of_version_1_opens_with_the_hash_it_had() -> None:
    old = b'{"version":1,"backend":"onednn","rules":{"fc":{"mode":"dynamic"}}}'
    recipe = recipe_file.decode(old)
    assert recipe.version == 2
    assert recipe.own is None
    assert recipe.digest() == OLD_HASH
    assert recipe_file.decode(recipe_file.encode(recipe)).digest() == OLD_HASH


OLD_HASH = "7b5216fd7904d057"


def test_in_an_older_file_only_what_differs_from_the_advice_counts_as_decided_singly() -> None:
    old = msgspec.structs.replace(START, own=None, rules={**ADVISED, "fc": Rule(Mode.FLOAT)})
    assert fitting.with_own_found(old, ADVISED).own == {"fc"}


def test_in_a_file_written_by_hand_a_named_layer_wins_over_its_patterns() -> None:
    text = b'{"version":2,"rules":{"fc":{"mode":"dynamic"}},"patterns":[{"pattern":"*","mode":"static"}]}'
    recipe = fitted(fitting.with_own_found(recipe_file.decode(text), ADVISED), LAYERS).recipe
    assert recipe.rule("fc").mode is Mode.DYNAMIC
    assert recipe.rule("conv1").mode is Mode.STATIC


def test_on_another_model_what_does_not_fit_is_listed_with_reasons_and_the_rest_applies() -> None:
    bounds = WeightSetting(channel_bounds=((2, 0.5), (900, 0.5)))
    recipe = Recipe(
        rules={
            "gone": Rule(Mode.STATIC),
            "bn1": Rule(Mode.STATIC),
            "conv1": Rule(Mode.DYNAMIC),
            "fc": Rule(Mode.STATIC, bounds),
            "layer3.0.conv1": Rule(Mode.STATIC, WeightSetting("float16")),
            "layer3.0.conv2": Rule(Mode.STATIC, adaround=True),
        }
    )
    found = fitted(recipe, LAYERS)
    told = {misfit.subject: misfit.why for misfit in found.misfits}
    assert set(told) == {"gone", "bn1", "conv1", "fc", "layer3.0.conv1"}
    assert "no such layer" in told["gone"]
    assert "fused into conv1" in told["bn1"]
    assert "cannot be dynamic and is float instead" in told["conv1"]
    assert told["fc"] == "One bound of a single channel is left out: its weight has 10 output channels."
    assert "cannot be float16 and is qint8 instead" in told["layer3.0.conv1"]
    assert found.recipe.rule("fc").weight.channel_bounds == ((2, 0.5),)
    assert found.recipe.rule("layer3.0.conv2").adaround
    assert fitted(found.recipe, LAYERS).misfits == ()


def test_a_recipe_of_another_model_says_so_and_names_its_typed_bounds() -> None:
    fixed = ActivationSetting(observer=Observer(ObserverKind.FIXED, low=0.0, high=6.0))
    recipe = Recipe(model=ModelReference("a", "one.pt"), rules={"fc": Rule(Mode.STATIC, activation=fixed)})
    assert fitting.travel_notes(recipe, ModelReference("a", "one.pt")) == ()
    notes = fitting.travel_notes(recipe, ModelReference("a", "two.pt"))
    assert "made for a with one.pt and is used for a with two.pt" in notes[0]
    assert notes[1].startswith("fc has bounds that were typed")
