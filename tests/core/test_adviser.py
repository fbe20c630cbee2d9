"""The adviser explains its choice with the numbers of the model, and says what was measured."""

from collections.abc import Callable

import msgspec
import pytest

from qgui.core import advice, decisions
from qgui.core.adviser.explained import explain
from qgui.core.adviser.kinds import LayerKind, kinds_of
from qgui.core.adviser.matter import Known, Piece, Section
from qgui.core.layers import Family, Layer, ModelDescription, Tensor
from qgui.core.measured import MeasuredRatios
from qgui.core.recipe import Mode, Recipe
from qgui.core.results import (
    Accuracy,
    BackendTiming,
    Comparison,
    Interval,
    Latency,
    LayerResult,
    MachineDescription,
    StepEffect,
)

MACHINE = MachineDescription(
    "A processor", 2, 2, ("x86", "onednn", "fbgemm"), "x86", dict.fromkeys(("x86", "onednn", "fbgemm"), False),
    "AVX512", "2.14",
)  # fmt: skip


def conv(name: str, channels: int = 16, groups: int = 1, kernel: int = 3, parameters: int = 100) -> Layer:
    return Layer(
        name, "Conv2d", "module", node=name, tensor=name, parameters=parameters, convolution_groups=groups,
        weight_shape=(channels, channels // groups, kernel, kernel), stride=(1, 1), padding=(kernel // 2, kernel // 2),
        dilation=(1, 1),
    )  # fmt: skip


LAYERS = (
    Layer("x", "Input", "input", node="x", tensor="x"),
    conv("first"),
    Layer("norm", "BatchNorm2d", "module", node="norm", parameters=10, group="first"),
    conv("deep", channels=200, groups=200),
    conv("odd", channels=200, groups=200, kernel=7),
    Layer("add", "add", "function", node="add", tensor="add"),
    Layer("gelu", "GELU", "module", node="gelu", tensor="gelu"),
    Layer("up", "ConvTranspose2d", "module", node="up", tensor="up", parameters=50, weight_shape=(16, 16, 2, 2)),
    Layer("head", "Linear", "module", node="head", tensor="head", parameters=90, weight_shape=(10, 16)),
)


@pytest.fixture
def model(described: Callable[..., ModelDescription]) -> ModelDescription:
    made = described(LAYERS, tuple(Tensor(row.name, row.name) for row in LAYERS if row.tensor))
    return msgspec.structs.replace(made, family=Family.CNN, parameters=450)


def recipe_of(model: ModelDescription, backend: str = "x86") -> Recipe:
    mode = advice.advised_mode(model)[0]
    return Recipe(backend=backend, rules=advice.advised_rules(model, mode, backend))


def known(model: ModelDescription, **facts: object) -> Known:
    return Known(**{"model": model, "recipe": recipe_of(model), "machine": MACHINE, **facts})  # type: ignore[arg-type]


def sections(found: Known) -> dict[str, Section]:
    return {section.key: section for section in explain(found)}


def piece(found: Known, section: str, key: str) -> Piece:
    return next(piece for piece in sections(found)[section].pieces if piece.key == key)


def comparison(*results: LayerResult, delta: Interval | None = None, sqnr: float | None = 15.0) -> Comparison:
    scores = (Accuracy(400, 0.9), Accuracy(400, 0.88)) if delta else (None, None)
    latencies = (Latency("float", "eager", 4.0, 4.1, 3.9, 9), Latency("quantized", "eager", 2.0, 2.1, 1.9, 9))
    return Comparison(
        recipe_hash="", backend="x86", threads=1, batch_size=1, float_accuracy=scores[0], quantized_accuracy=scores[1],
        accuracy_delta=delta, agreement=None, output_sqnr_db=sqnr, latencies=latencies, speedup=2.0,
        speedup_same_runtime={}, float_bytes=4, quantized_bytes=1, layers=results,
    )  # fmt: skip


MEASURED = comparison(
    LayerResult("first", "Conv2d", Mode.STATIC, sqnr_db=30.0, float_ms=3.0, quantized_ms=1.0),
    LayerResult("deep", "Conv2d", Mode.STATIC, sqnr_db=12.0, float_ms=1.0, quantized_ms=2.0),
    LayerResult("head", "Linear", Mode.STATIC, sqnr_db=20.0, float_ms=0.5, quantized_ms=0.2),
    delta=Interval(-0.02, -0.03, -0.01),
)


def test_that_kinds_count_layers_and_share_parameters_with_what_is_fused(model: ModelDescription) -> None:
    found = {share.kind: share for share in kinds_of(model)}
    assert found[LayerKind.CONVOLUTION].names == ("first",)
    assert found[LayerKind.CONVOLUTION].parameters == 110
    assert found[LayerKind.DEPTHWISE].names == ("deep", "odd")
    assert sum(share.parameter_share for share in found.values()) == pytest.approx(1.0)
    assert found[LayerKind.LINEAR].float_ms is None


def test_that_a_module_that_stays_whole_and_what_lies_inside_are_counted_once(
    described: Callable[..., ModelDescription],
) -> None:
    layers = (
        Layer("block", "Block", "module", node="block", parameters=100, leaf_reason="control flow"),
        Layer("block.fc", "Linear", "inside", parameters=80, inside="block", weight_shape=(8, 10)),
    )
    found = {share.kind: share.parameters for share in kinds_of(described(layers))}
    assert found == {LayerKind.WHOLE: 20, LayerKind.LINEAR: 80}


def test_that_measured_times_are_shared_among_the_kinds(model: ModelDescription) -> None:
    found = {share.kind: share for share in kinds_of(model, MEASURED)}
    assert found[LayerKind.CONVOLUTION].float_ms == 3.0
    assert found[LayerKind.DEPTHWISE].time_share == pytest.approx(1.0 / 4.5)
    assert "22 % of the time" in piece(known(model, comparison=MEASURED), "layers", "depthwise").figures


def test_that_depthwise_convolutions_are_told_with_their_numbers_and_kernels(model: ModelDescription) -> None:
    told = piece(known(model), "layers", "depthwise").text
    assert told.startswith("2 of 3 convolutions are depthwise")
    assert "Without a fast kernel on x86: 1 of them (odd)" in told
    measured = piece(known(model, comparison=MEASURED), "layers", "depthwise").text
    assert "Slower in int8 than in float, as measured: 1 of them" in measured


def test_that_what_is_decided_otherwise_than_advised_can_be_taken_back(model: ModelDescription) -> None:
    asis = known(model)
    assert piece(asis, "layers", "convolution").proposal is None
    assert piece(asis, "layers", "convolution").done
    decided = decisions.decide(model, asis.recipe, ["first"], decisions.mode_edit(Mode.FLOAT, "x86"))
    proposal = piece(known(model, recipe=asis.recipe.with_rules(decided.rules)), "layers", "convolution").proposal
    assert proposal is not None
    assert (proposal.layers, proposal.mode) == (("first",), Mode.STATIC)
    assert proposal.text == "Make 1 layer static"


def test_that_layers_without_an_int8_kernel_are_told_together(model: ModelDescription) -> None:
    found = sections(known(model))["float"]
    assert found.text.startswith("Advised to stay float: 1 of 7 layers")
    assert [entry.title for entry in found.pieces] == ["No int8 kernel: GELU"]


def test_that_a_recurrent_model_hears_of_dynamic_layers_and_of_its_embedding(
    described: Callable[..., ModelDescription],
) -> None:
    layers = (
        Layer("words", "Embedding", "module", node="words", parameters=10**6, weight_shape=(10**4, 100)),
        Layer("rnn", "LSTM", "module", node="rnn", parameters=10**6, weight_shape=(64, 16)),
        Layer("norm", "LayerNorm", "module", node="norm", tensor="norm"),
    )
    asis = known(msgspec.structs.replace(described(layers), family=Family.RECURRENT))
    assert "save 3 MB" in piece(asis, "layers", "embedding").text
    kept = sections(asis)["float"].pieces
    assert [entry.title.partition(":")[0] for entry in kept] == ["Embeddings", "Layers and operations between"]
    assert kept[0].proposal is not None
    assert kept[0].proposal.mode is Mode.DYNAMIC
    assert "one scale per tensor for LSTM" in piece(asis, "ranges", "weights").text
    assert "No layer needs calibration" in sections(asis)["ranges"].text


def test_that_without_measuring_the_processor_is_the_ground_and_measuring_is_offered(model: ModelDescription) -> None:
    timing = piece(known(model), "backend", "timing")
    assert timing.job == "backends"
    assert timing.proposal is None
    assert "VNNI" in piece(known(model), "backend", "processor").text
    weak = msgspec.structs.replace(MACHINE, vnni=False, reduce_range={"x86": True})
    assert "no VNNI" in piece(known(model, machine=weak), "backend", "processor").text
    assert "seven bits" in piece(known(model, machine=weak), "backend", "bits").text


def test_that_what_feeds_depthwise_kernels_that_add_in_16_bits_is_counted(
    described: Callable[..., ModelDescription],
) -> None:
    wide = msgspec.structs.replace(conv("wide"), feeds_depthwise=200)
    found = piece(known(described((wide,))), "backend", "bits")
    assert "seven bits" in found.text
    assert found.figures == "activations with seven bits: 1 (wide)"


def test_that_the_fastest_measured_engine_is_proposed_only_where_it_computes_rightly(model: ModelDescription) -> None:
    timings = (
        BackendTiming("fbgemm", "eager", 1.0, 5.0),
        BackendTiming("onednn", "eager", 2.0, 30.0),
        BackendTiming("x86", "eager", 4.0, 30.0),
    )
    found = piece(known(model, timings=timings), "backend", "timing")
    assert found.proposal is not None
    assert found.proposal.backend == "onednn"
    assert "2.00 times as fast as x86" in found.text
    assert "further from float" in found.text
    used = piece(known(model, timings=timings, recipe=recipe_of(model, "onednn")), "backend", "timing")
    assert used.proposal is None
    assert used.done
    assert piece(known(model, timings=timings, timings_stale=True), "backend", "timing").job == "backends"


def test_that_accuracy_is_told_as_measured_and_the_worst_layer_is_named(model: ModelDescription) -> None:
    asis = known(model, comparison=MEASURED)
    told = sections(asis)["accuracy"].text
    assert "-2.00 points against float (95 % interval -3.00 to -1.00)" in told
    assert "Below 20 dB" in told
    worst = piece(asis, "accuracy", "worst")
    assert worst.proposal is not None
    assert worst.proposal.layers == ("deep",)
    assert "lowest SQNR" in worst.text


def test_that_random_weights_are_said_to_tell_nothing_of_accuracy(model: ModelDescription) -> None:
    told = sections(known(msgspec.structs.replace(model, pretrained=False), comparison=MEASURED))["accuracy"].text
    assert "The weights are random" in told


def test_that_noise_a_layer_adds_itself_counts_more_than_what_it_inherits(model: ModelDescription) -> None:
    ratios = [
        MeasuredRatios("first", "first", 1.0, 0, 256, sqnr_db=20.0),
        MeasuredRatios("deep", "deep", 1.0, 0, 256, sqnr_db=19.0, inherited_db=20.0),
    ]
    added = {entry.layer: entry.added_noise for entry in ratios}
    assert added["deep"] == pytest.approx(10**-1.9 - 10**-2)
    worst = piece(known(model, comparison=MEASURED, added_noise=added), "accuracy", "worst")
    assert worst.proposal is not None
    assert worst.proposal.layers == ("first",)
    assert "79 % of what they add together" in worst.text


def test_that_before_comparing_nothing_is_called_the_worst(model: ModelDescription) -> None:
    assert "Not measured yet" in sections(known(model))["accuracy"].text
    assert piece(known(model), "accuracy", "worst").job == "compare"


def test_that_no_difference_within_the_interval_is_said_to_be_none(model: ModelDescription) -> None:
    even = comparison(delta=Interval(0.0, -0.01, 0.01), sqnr=30.0)
    assert "These samples show no difference." in sections(known(model, comparison=even))["accuracy"].text


def test_that_steps_are_proposed_for_the_layers_that_may_have_them_with_measured_effects(
    model: ModelDescription,
) -> None:
    effect = LayerResult("first", "Conv2d", Mode.STATIC, effects=(StepEffect("correct_bias", 20.0, 23.0),))
    asis = known(model, comparison=comparison(effect))
    bias = piece(asis, "accuracy", "correct_bias")
    assert bias.proposal is not None
    assert bias.proposal.layers == ("first", "deep", "odd", "head")
    assert "+3.0 dB on average" in bias.figures
    decided = decisions.decide(model, asis.recipe, bias.proposal.layers, bias.proposal.edit("x86"))
    assert decided.skipped == {}
    after = piece(known(model, recipe=asis.recipe.with_rules(decided.rules)), "accuracy", "correct_bias")
    assert after.proposal is None
    assert after.done


def test_that_training_is_proposed_for_static_layers_and_then_started(model: ModelDescription) -> None:
    asis = known(model)
    training = piece(asis, "accuracy", "qat")
    assert training.proposal is not None
    assert "labelled" in training.text
    decided = decisions.decide(model, asis.recipe, training.proposal.layers, training.proposal.edit("x86"))
    after = piece(known(model, recipe=asis.recipe.with_rules(decided.rules)), "accuracy", "qat")
    assert after.job == "train"


def test_that_every_text_is_a_whole_sentence_and_every_key_stands_once(model: ModelDescription) -> None:
    for section in explain(known(model, comparison=MEASURED, calibrated=True)):
        assert section.text.endswith(".")
        assert len({entry.key for entry in section.pieces}) == len(section.pieces)
        for entry in section.pieces:
            assert entry.text.endswith((".", ")"))
