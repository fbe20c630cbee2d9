"""Which observer and which weight scheme are the default, and why."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from qgui.core import legality
from qgui.core.adviser.matter import Known, Piece, Section, named
from qgui.core.language import say
from qgui.core.recipe import Mode, ObserverKind, Rule, observer_name


def ranges_section(known: Known) -> Section:
    """Return how ranges are chosen by default, and why."""
    decided = [known.recipe.rule(layer.name) for layer in known.model.layers if layer.head]
    ranged = [rule for rule in decided if rule.mode in (Mode.STATIC, Mode.QAT)]
    pieces = []
    if ranged:
        observers = Counter(rule.activation.observer.kind for rule in ranged)
        default = Rule().activation.observer.kind
        told = ", ".join(f"{count} {_observer_name(kind)}" for kind, count in observers.most_common())
        text = say(
            "{default} is the default: of all ranges it takes the one with the least expected squared error, so a few "
            "outliers do not cost every other value its precision.",
            default=_observer_name(default),
        )
        job: Literal["observers", "calibrate"] = "observers" if known.calibrated else "calibrate"
        more = (
            say("The statistics tell for each layer which observer is best.")
            if known.calibrated
            else say("Calibrate, and every observer's range is known for every layer.")
        )
        pieces.append(Piece("observer", say("Observer of activations"), f"{text} {more}", told, job=job))
    pieces.append(_weight_piece(known))
    text = (
        say("Layers with ranges fixed by calibration: {count}.", count=len(ranged))
        if ranged
        else say("No layer needs calibration: dynamic layers find the range of what they read at each call.")
    )
    return Section("ranges", say("Ranges and weights"), text, tuple(pieces))


def _weight_piece(known: Known) -> Piece:
    weights = {
        layer.name: (layer, known.recipe.rule(layer.name).weight)
        for layer in known.model.layers
        if layer.head and legality.has_weight(layer) and known.recipe.rule(layer.name).mode is not Mode.FLOAT
    }
    title = say("Weights")
    if not weights:
        return Piece("weights", title, say("No weight is quantized."))
    channels = sum(setting.per_channel for _, setting in weights.values())
    tensors = [layer for layer, setting in weights.values() if not setting.per_channel]
    text = say("Per channel is the default: each output channel has a scale of its own, which costs no time.")
    forced = {layer.type for layer in tensors if legality.weight_schemes(layer, Mode.STATIC)["per_channel_symmetric"]}
    recurrent = {layer.type for layer in tensors if layer.type in legality.RECURRENT}
    if forced | recurrent:
        why = say("PyTorch has one scale per tensor for {types}.", types=named(sorted(forced | recurrent)))
        text = f"{text} {why}"
    figures = say("{channels} per channel, {tensors} per tensor", channels=channels, tensors=len(tensors))
    return Piece("weights", title, text, figures)


def _observer_name(kind: ObserverKind) -> str:
    return say("fixed range") if kind is ObserverKind.FIXED else observer_name(kind)
