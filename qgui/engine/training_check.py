"""No surprise at conversion: the int8 model held against the fake-quantized one, with causes where they differ."""

from __future__ import annotations

import torch

from qgui.core.language import say
from qgui.core.ranges import decibel
from qgui.core.training_run import ConversionCheck, LayerDifference, ScoreName, score_name, told_score
from qgui.engine import machine
from qgui.engine.batch import Batch
from qgui.engine.data import Data
from qgui.engine.fx import agreement, plain
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.opened import OpenedModel
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.training import Result
from qgui.engine.training_loss import Teacher
from qgui.engine.training_score import Scored

#: A difference of the scores that is told, in shares of one for accuracy and in dB for SQNR.
TOLD_SHARE = 0.005
TOLD_DB = 0.5
#: A layer below this ratio is told.
TOLD_LAYER_DB = 30.0
_LAYER_SAMPLES = 32


def check(
    model: OpenedModel, data: Data, result: Result, converted: QuantizedModel, progress: Progress
) -> ConversionCheck:
    """Score the int8 model on the validation samples and compare it with the fake-quantized model, layer by layer.

    Args:
        model: The open model.
        data: The open data.
        result: What training left.
        converted: The int8 model made of it.
        progress: Told after every batch.

    Raises:
        Cancelled: The person asked to stop.
    """
    assert model.graphs is not None
    simulated = result.simulated.to(torch.device("cpu"))
    simulated.evaluate()
    name = result.outcome.references.name
    teacher = Teacher(model.graphs.canonical, simulated.names, torch.device("cpu"))
    sides = Scored(), Scored()
    alike = signal = noise = 0.0
    batch_size, samples = result.outcome.settings.batch_size, result.validation
    with torch.no_grad(), plain.engine(converted.recipe.backend):
        for batch in data.batches(samples, batch_size):
            progress.step(say("Checking the conversion"), sides[0].samples, len(samples))
            inputs = batch.positional(simulated.names)
            reference = teacher.outputs(batch)
            before = main_output(simulated.module(*inputs)).float()
            after = main_output(converted.module(*inputs)).float()
            for side, output in zip(sides, (before, after), strict=True):
                side.add(output, reference, batch.target, 0.0)
            signal += float(before.double().square().sum())
            noise += float((before - after).double().square().sum())
            alike += float((before.argmax(1) == after.argmax(1)).sum()) if sides[0].is_classes else 0.0
    found = agreement.differences(
        model.description, model.graphs, simulated, converted, data.batches(samples[:_LAYER_SAMPLES], batch_size)
    )
    layers = tuple(_difference(layer, own, converted) for layer, own in found.items())
    scores = sides[0].score(name), sides[1].score(name)
    return ConversionCheck(
        samples=len(samples),
        name=name,
        simulated=scores[0],
        converted=scores[1],
        agreement=alike / len(samples) if sides[0].is_classes else None,
        output_db=decibel(signal, noise),
        layers=layers,
        causes=tuple(_causes(name, scores, layers, result, _as_trained(data, result, teacher))),
    )


def _difference(name: str, ratios: tuple[float, float], converted: QuantizedModel) -> LayerDifference:
    free, own = ratios
    if free >= TOLD_LAYER_DB:
        return LayerDifference(name, free, own)
    backend, rule = converted.recipe.backend, converted.recipe.rule(name)
    if own >= TOLD_LAYER_DB:
        cause = say("It computes as simulated; rounding differences of the layers before it add up here.")
    elif machine.needs_reduced_range(backend) and not rule.activation.reduce_range:
        cause = say(
            "Saturation: {backend} adds products in too few bits on this processor; switch reduce range on.",
            backend=backend,
        )
    elif rule.mode.value == "dynamic":
        cause = say("It is dynamic: its input is rounded as each batch needs it, and training computed it in float.")
    else:
        cause = say("The {backend} kernel rounds otherwise than the simulation.", backend=backend)
    return LayerDifference(name, free, own, cause)


def _as_trained(data: Data, result: Result, teacher: Teacher) -> float | None:
    """Return the score with BatchNorm statistics of each batch, as the loss saw it in the last epoch, if it did."""
    settings, simulated = result.outcome.settings, result.simulated
    held = settings.at(result.outcome.step)
    if not simulated.has_batch_norm or held.freeze_batch_norm < settings.epochs:
        return None
    state, scores = simulated.state(), Scored()
    simulated.set_phase(batch_norm_frozen=False, ranges_frozen=True)
    try:
        with torch.no_grad():
            for batch in data.batches(result.validation, settings.batch_size):
                if len(batch.indices) > 1:
                    scores.add(
                        _output(simulated.module, batch, simulated.names), teacher.outputs(batch), batch.target, 0.0
                    )
    finally:
        simulated.evaluate()
        simulated.load_state(state)
    return scores.score(result.outcome.references.name) if scores.samples else None


def _output(module: torch.nn.Module, batch: Batch, names: list[str]) -> torch.Tensor:
    return main_output(module(*batch.positional(names))).float()


def _causes(
    name: ScoreName,
    scores: tuple[float, float],
    layers: tuple[LayerDifference, ...],
    result: Result,
    as_trained: float | None,
) -> list[str]:
    """Return what the person should know, a sentence each."""
    settings = result.outcome.settings
    held = settings.at(result.outcome.step)
    limit = TOLD_DB if name == "SQNR" else TOLD_SHARE
    causes = []
    if as_trained is not None and abs(as_trained - scores[0]) > limit:
        causes.append(
            say(
                "BatchNorm still took its statistics from the batches when the training ended: with them the {name} is "
                "{trained}, with the stored ones {stored}. Freeze it some epochs earlier.",
                name=score_name(name),
                trained=told_score(name, as_trained),
                stored=told_score(name, scores[0]),
            )
        )
    low = [layer for layer in layers if layer.cause]
    if abs(scores[1] - scores[0]) > limit:
        causes.append(
            say(
                "The {name} of the int8 model is {converted}, that of the fake-quantized model was {simulated}.",
                name=score_name(name),
                converted=told_score(name, scores[1]),
                simulated=told_score(name, scores[0]),
            )
        )
        if held.freeze_observers >= settings.epochs:
            causes.append(say("Ranges still moved in the last epoch: freeze the observers earlier."))
    own = [layer for layer in low if layer.own_db < TOLD_LAYER_DB]
    causes += [
        say("{name}: {own_db:.1f} dB. {cause}", name=layer.name, own_db=layer.own_db, cause=layer.cause)
        for layer in own
    ]
    following = [layer for layer in low if layer.own_db >= TOLD_LAYER_DB]
    if following:
        worst = min(following, key=lambda layer: layer.sqnr_db)
        causes.append(
            say(
                "{count} layers are under {told_layer_db:.0f} dB only because rounding differences of the layers "
                "before them add up; the lowest is {name} with {sqnr_db:.1f} dB.",
                count=len(following),
                told_layer_db=TOLD_LAYER_DB,
                name=worst.name,
                sqnr_db=worst.sqnr_db,
            )
        )
    return causes
