"""What to try where int8 loses accuracy, in the order in which it pays."""

from __future__ import annotations

from collections.abc import Callable

from qgui.core import legality
from qgui.core.adviser.matter import Known, Piece, Section
from qgui.core.adviser.proposals import Proposal
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, Rule, Step

#: An output SQNR from which on int8 answers nearly as float does, in dB.
GOOD_DB = 20.0


def accuracy_section(known: Known) -> Section:
    """Return what the model lost, as far as it is measured, and what to try about it."""
    pieces = [
        _worst_piece(known),
        _step_piece(
            known,
            "correct_bias",
            say("Bias correction"),
            say(
                "The bias takes up the mean error of the rounded weight. It takes a moment and costs no speed: "
                "try it first."
            ),
        ),
        _step_piece(
            known,
            "adaround",
            say("AdaRound"),
            say(
                "Learns for each weight whether to round up or down, from the layer's inputs. "
                "It takes seconds per layer."
            ),
        ),
        _equalize_piece(known),
        _training_piece(known),
    ]
    title = say("What to try where accuracy drops")
    return Section("accuracy", title, _verdict(known), tuple(piece for piece in pieces if piece is not None))


def _verdict(known: Known) -> str:
    comparison = known.comparison
    if comparison is None:
        return say("Not measured yet: compare with the float model, then the numbers of this model stand here.")
    told = []
    delta, before = comparison.accuracy_delta, comparison.float_accuracy
    if delta is not None and before is not None:
        scale, unit = (100.0, say(" points")) if before.top1 is not None else (1.0, "")
        told.append(
            say(
                "Measured on {samples} samples: {value:+.2f}{unit} against float "
                "(95 % interval {low:+.2f} to {high:+.2f}).",
                samples=before.samples,
                value=scale * delta.value,
                unit=unit,
                low=scale * delta.low,
                high=scale * delta.high,
            )
        )
        if delta.low <= 0.0 <= delta.high:
            told.append(say("These samples show no difference."))
    elif comparison.agreement is not None:
        told.append(say("Measured: the same best class as float on {share:.1f} %.", share=100 * comparison.agreement))
    if comparison.output_sqnr_db is not None:
        told.append(say("Output SQNR: {db:.1f} dB.", db=comparison.output_sqnr_db))
        if comparison.output_sqnr_db < GOOD_DB:
            told.append(say("Below {good:.0f} dB answers may differ: try the following, in this order.", good=GOOD_DB))
    if not known.model.pretrained:
        told.append(say("The weights are random, so this says nothing about accuracy."))
    if known.comparison_stale:
        told.append(say("The decisions have changed since."))
    return " ".join(told) or say("Measured, but the data has no labels and the outputs could not be compared.")


def _worst_piece(known: Known) -> Piece:
    title = say("Leave the worst layer float")
    if known.comparison is None:
        text = say("Which layer that is, the comparison with the float model tells.")
        return Piece("worst", title, text, job="compare")
    quantized = {
        result.name: result
        for result in known.comparison.layers
        if result.mode is not Mode.FLOAT and known.recipe.rule(result.name).mode is not Mode.FLOAT
    }
    added = {name: noise for name, noise in known.added_noise.items() if name in quantized and noise > 0}
    if added:
        name = max(added, key=lambda name: added[name])
        share = 100 * added[name] / sum(added.values())
        text = say(
            "Of all layers, {name} adds most to the error: {share:.0f} % of what they add together, as measured.",
            name=name,
            share=share,
        )
    else:
        ratios = {name: result.sqnr_db for name, result in quantized.items() if result.sqnr_db is not None}
        if not ratios:
            return Piece("worst", title, say("No layer is int8, or none could be measured."))
        name = min(ratios, key=lambda name: ratios[name] or 0.0)
        text = say("{name} has the lowest SQNR, as measured; it holds the error of all layers before it.", name=name)
    result, figures = quantized[name], []
    if result.sqnr_db is not None:
        figures.append(say("SQNR {db:.1f} dB", db=result.sqnr_db))
    if result.float_ms is not None and result.quantized_ms is not None:
        figures.append(
            say("{float:.3g} ms in float, {int8:.3g} ms in int8", float=result.float_ms, int8=result.quantized_ms)
        )
    return Piece("worst", title, text, " · ".join(figures), Proposal("mode", (name,), mode=Mode.FLOAT))


def _step_piece(known: Known, step: Step, title: str, text: str) -> Piece | None:
    able, missing = _layers_for(known, lambda layer, rule: not _why_not_step(known, layer, rule, step), step)
    if not able:
        return None
    figures = say("possible for 1 layer") if able == 1 else say("possible for {count} layers", count=able)
    effects = [
        effect.after_db - effect.before_db
        for result in (known.comparison.layers if known.comparison is not None else ())
        for effect in result.effects
        if effect.step == step
    ]
    if effects:
        gain = sum(effects) / len(effects)
        figures = " · ".join((figures, say("measured: {gain:+.1f} dB on average", gain=gain)))
    done = "" if missing else say("In use for every layer that may have it.")
    return Piece(step, title, text, figures, Proposal("step", missing, step=step) if missing else None, done)


def _why_not_step(known: Known, layer: Layer, rule: Rule, step: Step) -> str:
    return legality.step_reasons(layer, rule, known.recipe.backend)[step]


def _equalize_piece(known: Known) -> Piece | None:
    depthwise = sum(layer.depthwise for layer in known.model.layers)
    text = say("Scales the channels of neighbours against each other, which changes nothing in float.")
    if depthwise:
        more = say(
            "It helps most where depthwise convolutions ({count} here) have channels of unlike size.", count=depthwise
        )
        text = f"{text} {more}"
    return _step_piece(known, "equalize", say("Cross-layer equalization"), text)


def _training_piece(known: Known) -> Piece | None:
    def trainable(layer: Layer, rule: Rule) -> bool:
        return rule.mode in (Mode.STATIC, Mode.QAT) and not legality.mode_reasons(layer, known.recipe.backend)[Mode.QAT]

    able, missing = _layers_for(known, trainable, Mode.QAT)
    if not able:
        return None
    text = say(
        "The weights learn to live with rounding, over minutes to hours and with labelled samples: try it last. "
        "Train then in the Training panel."
    )
    figures = say("possible for 1 layer") if able == 1 else say("possible for {count} layers", count=able)
    return Piece(
        "qat",
        say("Quantization-aware training (QAT)"),
        text,
        figures,
        Proposal("mode", missing, mode=Mode.QAT) if missing else None,
        done="" if missing else say("Every layer that can be trained is in mode qat."),
        job="" if missing else "train",
    )


def _layers_for(
    known: Known, possible: Callable[[Layer, Rule], bool], wished: Step | Mode
) -> tuple[int, tuple[str, ...]]:
    """Return how many layers may have something, and which of them do not have it yet."""
    able, missing = 0, []
    for layer in known.model.layers:
        rule = known.recipe.rule(layer.name)
        if layer.head and layer.kind != "input" and possible(layer, rule):
            able += 1
            has = rule.mode is wished if isinstance(wished, Mode) else getattr(rule, wished)
            if not has:
                missing.append(layer.name)
    return able, tuple(missing)
