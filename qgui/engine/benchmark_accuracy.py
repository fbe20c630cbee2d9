"""Accuracy rows of the published tables: pretrained weights, the models' own transforms, float and int8 on one pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from qgui.core.benchmarks import AccuracyFigures, BenchmarkSettings, share_interval
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.published import BERT_TOKENS, PublishedRow
from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe
from qgui.core.report import sentences
from qgui.core.results import Accuracy, Interval
from qgui.core.training import DISTILL, Training
from qgui.core.training_run import TrainingUpdate
from qgui.engine import mrpc, pretrained, score
from qgui.engine.data import Data
from qgui.engine.progress import Progress
from qgui.engine.session import Session

#: Told sentences while a row runs.
Tell = Callable[[str], None]


def transform_of(model: str) -> dict[str, object]:
    """Return how images become the tensors that a torchvision model was trained on, as fields of `DataReference`."""
    import torchvision

    preset = torchvision.models.get_model_weights(model)[pretrained.PUBLISHED].transforms()
    return {
        "resize": preset.resize_size[0],
        "crop": preset.crop_size[0],
        "mean": tuple(preset.mean),
        "std": tuple(preset.std),
        "interpolation": preset.interpolation.value,
    }


def measure(
    row: PublishedRow, settings: BenchmarkSettings, weights: Path | None, progress: Progress, tell: Tell
) -> tuple[AccuracyFigures, tuple[str, ...]]:
    """Quantize the pretrained model of a row as it was published, and score float and int8 on the same samples.

    Args:
        row: A row of the accuracy table.
        settings: Where the data is, and how many samples are wanted.
        weights: The file of torchvision's weights; None for BERT.
        progress: Told after every batch.
        tell: Told what is done and how long it will take.

    Returns:
        The figures, and what the person should know.

    Raises:
        QguiError: Model or data cannot be opened, or the model cannot be quantized.
        Cancelled: The person asked to stop.
    """
    progress.step(say("Opening the model"), 0, 0)
    trains = row.mode is Mode.QAT and settings.training_images > 0
    mode = row.mode if trains or row.mode is not Mode.QAT else Mode.STATIC
    session = Session()
    notes = _open_text(session, settings) if row.is_text else _open_images(session, row, settings, weights, trains)
    recipe = session.advised_recipe(mode=mode)
    if row.mode is Mode.QAT and not trains:
        notes.append(say("Static, not trained: the published int8 figure is of quantization-aware training."))
    if mode is not Mode.DYNAMIC:
        session.calibrate(progress, recipe=recipe)
    if trains:
        recipe = msgspec.structs.replace(recipe, training=Training(loss=DISTILL, seed=settings.seed))
        notes.append(_train(session, recipe, progress, tell))
    else:
        notes.extend(session.quantize(recipe, progress).notes)
    opened = session.opened_data
    tell(say("Evaluating {count} samples, float and int8.", count=len(opened.evaluation)))
    found = score.score(
        session.opened_model.loaded.module,
        session.run_quantized,
        opened.batches(opened.evaluation),
        len(opened.evaluation),
        opened.reference.metric,
        progress,
    )
    before, after = found.float_accuracy, found.quantized_accuracy
    if before is None or after is None:
        raise QguiError(
            say("Could not score {title}", title=row.title),
            say("the samples have no labels"),
            say("Choose labelled data."),
        )
    figures = AccuracyFigures(
        float_value=_value(before),
        int8_value=_value(after),
        float_interval=_interval(before),
        int8_interval=_interval(after),
        delta=found.delta,
        samples=before.samples,
        mode=mode.value,
        backend=recipe.backend,
        output_sqnr_db=found.sqnr_db,
    )
    return figures, (*notes, *found.notes, *opened.notes)


def _value(accuracy: Accuracy) -> float:
    value = accuracy.top1 if accuracy.top1 is not None else accuracy.metric
    assert value is not None
    return value


def _interval(accuracy: Accuracy) -> Interval | None:
    if accuracy.top1 is None:
        return None
    return share_interval(round(accuracy.top1 * accuracy.samples), accuracy.samples)


def _open_images(
    session: Session, row: PublishedRow, settings: BenchmarkSettings, weights: Path | None, trains: bool
) -> list[str]:
    session.open_model(ModelReference(f"torchvision:{row.name}", str(weights)))
    calibrate = max(settings.calibrate, settings.training_images) if trains else settings.calibrate
    reference = msgspec.convert(
        {
            "source": f"imagenet:{settings.images}",
            **transform_of(row.name),
            "calibrate": calibrate,
            "evaluate": settings.limit,
            "seed": settings.seed,
        },
        DataReference,
    )
    session.open_data(reference)
    opened = session.opened_data
    used = say("calibrate and train") if trains else say("calibrate")
    return [
        say("{count} of the validation images {used} and are not evaluated.", count=len(opened.calibration), used=used)
    ]


def _open_text(session: Session, settings: BenchmarkSettings) -> list[str]:
    folder, file = Path(settings.bert).expanduser(), Path(settings.mrpc).expanduser()
    session.open_model(ModelReference(f"transformers:{folder}"))
    samples = mrpc.TokenizedPairs(mrpc.read_pairs(file), mrpc.tokenizer(folder), BERT_TOKENS)
    # Dynamic quantization needs no calibration, so that no sample has to be kept from the evaluation.
    reference = DataReference(
        source=f"mrpc:{file}",
        calibrate=1,
        evaluate=settings.limit,
        seed=settings.seed,
        overlap=True,
        metric=mrpc.METRIC,
    )
    session.use_data(Data(reference, samples))
    return []


def _train(session: Session, recipe: Recipe, progress: Progress, tell: Tell) -> str:
    """Train with distillation from the float model, saying beforehand how long it takes, and return what was done."""
    estimate = session.trainer(recipe, progress).estimate()
    tell(
        say(
            "Training {epochs} epochs on {samples} images with distillation from the float model: about {minutes} min.",
            epochs=estimate.settings.epochs,
            samples=estimate.samples,
            minutes=max(round(estimate.seconds / 60), 1),
        )
    )

    def listen(update: TrainingUpdate) -> None:
        for line in sentences.training_lines(update):
            tell(line)

    outcome, _ = session.train(recipe, progress, listener=listen)
    epochs, minutes = outcome.settings.epochs, outcome.seconds / 60
    return say(
        "Trained {epochs} epochs on {samples} images in {minutes:.1f} min, with distillation from float.",
        epochs=epochs,
        samples=outcome.samples,
        minutes=minutes,
    )
