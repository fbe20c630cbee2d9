"""What a training tells while it runs and leaves when it ends: points, epochs, curves of bounded size, checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import Recipe
from qgui.core.training import Training

CHECKPOINT = "training.json"
CHECKPOINT_VERSION = 1

ScoreName = Literal["accuracy", "agreement", "SQNR"]


def score_name(name: ScoreName) -> str:
    """Return how a score is called in the language of this process, in the middle of a sentence."""
    return {"accuracy": say("accuracy"), "agreement": say("agreement"), "SQNR": "SQNR"}[name]


def told_score(name: ScoreName, value: float) -> str:
    """Return a score with its unit."""
    return say("{value:.1f} dB", value=value) if name == "SQNR" else f"{100 * value:.1f} %"


class StepPoint(msgspec.Struct, frozen=True, array_like=True):
    """One step of the optimizer.

    Attributes:
        step: Its number, from 1.
        loss: Loss of its batch.
        gradient_norm: Euclidean norm of all gradients before clipping.
        learning_rate: Learning rate used.
        score: Share of the batch that the fake-quantized model gets right (or alike with the float model); None where
            outputs are not class scores.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    score: float | None = None


class EpochRecord(msgspec.Struct, frozen=True):
    """What the validation samples say after an epoch; epoch 0 is the start.

    Attributes:
        epoch: Epochs done.
        step: Optimizer steps done.
        loss: Mean training loss of the epoch; that of the validation samples for epoch 0.
        validation_loss: Loss on the validation samples.
        score: Accuracy or agreement with the float model (0 to 1), or SQNR of the outputs in dB.
        sqnr_db: SQNR of the outputs against the float model in dB.
        seconds: Duration.
        memory_bytes: Resident memory of the process at its end.
    """

    epoch: int
    step: int
    loss: float
    validation_loss: float
    score: float
    sqnr_db: float
    seconds: float = 0.0
    memory_bytes: int = 0


class References(msgspec.Struct, frozen=True):
    """The two lines that a training is held against, on the validation samples.

    Attributes:
        name: What is scored.
        samples: Number of validation samples.
        float_score: Of the float model; None for SQNR, which has no end.
        static_score: Of the int8 model without training; None where it could not be made.
        static_sqnr_db: SQNR of that int8 model's outputs in dB.
    """

    name: ScoreName
    samples: int
    float_score: float | None
    static_score: float | None
    static_sqnr_db: float | None = None


class TrainingUpdate(msgspec.Struct, frozen=True):
    """What happened since the update before; told at most ten times a second.

    Attributes:
        step: Optimizer steps done.
        total: Optimizer steps in all.
        epoch: Epochs done.
        epochs: Epochs in all.
        settings: The settings in numbers; given once at the beginning and after each steering.
        references: Given once at the beginning.
        points: New steps.
        records: New epochs; all epochs so far in the first update of a resumed run.
        ranges: Low and high end of the range of tensors whose range moves.
        best: Epoch of the best state so far.
        paused: Whether the training rests.
        seconds_left: Estimate, None where there is none yet.
    """

    step: int
    total: int
    epoch: int
    epochs: int
    settings: Training | None = None
    references: References | None = None
    points: tuple[StepPoint, ...] = ()
    records: tuple[EpochRecord, ...] = ()
    ranges: dict[str, tuple[float, float]] = {}
    best: int = 0
    paused: bool = False
    seconds_left: float | None = None


class LayerDifference(msgspec.Struct, frozen=True):
    """A layer whose int8 output is far from the fake-quantized one.

    Attributes:
        name: Layer path.
        sqnr_db: Ratio of the fake-quantized output to the difference, in dB.
        own_db: The same where the int8 layer is given the fake-quantized inputs: what the layer itself adds.
        cause: Why, as a sentence; empty above the threshold.
    """

    name: str
    sqnr_db: float
    own_db: float
    cause: str = ""


class ConversionCheck(msgspec.Struct, frozen=True):
    """The int8 model held against the fake-quantized one on the validation samples.

    Attributes:
        samples: Number of samples.
        name: What is scored.
        simulated: Score of the fake-quantized model.
        converted: Score of the int8 model.
        agreement: Share of samples with the same best class; None where outputs are not class scores.
        output_db: Ratio of the fake-quantized output to the difference, in dB.
        layers: Every compared layer, in execution order.
        causes: What the person should know where the two differ.
    """

    samples: int
    name: ScoreName
    simulated: float
    converted: float
    agreement: float | None
    output_db: float
    layers: tuple[LayerDifference, ...] = ()
    causes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What came out, as a sentence."""
        same = (
            say(", the same class on {agreement:.1f} %", agreement=100 * self.agreement)
            if self.agreement is not None
            else ""
        )
        return say(
            "Converted: {name} {converted} in int8, {simulated} fake-quantized{same} of {samples} validation samples.",
            name=score_name(self.name),
            converted=told_score(self.name, self.converted),
            simulated=told_score(self.name, self.simulated),
            same=same,
            samples=self.samples,
        )


class TrainingOutcome(msgspec.Struct, frozen=True):
    """What a training came to.

    Attributes:
        key: What was trained (`training_key` of the recipe).
        settings: The settings in numbers.
        references: The two lines.
        records: Every epoch, the start first.
        best: Epoch whose state was taken.
        step: Optimizer steps done.
        samples: Samples trained on.
        seconds: Duration.
        complete: Whether every epoch was done.
        check: The converted model against the fake-quantized one; None before conversion.
    """

    key: str
    settings: Training
    references: References
    records: tuple[EpochRecord, ...]
    best: int
    step: int
    samples: int
    seconds: float
    complete: bool
    check: ConversionCheck | None = None


class TrainingEstimate(msgspec.Struct, frozen=True):
    """How long a training will take, from a few measured steps.

    Attributes:
        settings: The settings in numbers.
        samples: Samples trained on.
        validation: Samples that validate.
        steps: Optimizer steps in all.
        seconds_per_step: Median duration of a step.
        seconds: Duration of the whole training.
    """

    settings: Training
    samples: int
    validation: int
    steps: int
    seconds_per_step: float
    seconds: float


class Checkpoint(msgspec.Struct, frozen=True):
    """The readable half of a checkpoint; tensors lie beside it in the files it names.

    Attributes:
        version: Version of the format.
        run: What is trained, without what may be changed on the way (`run_key` of the recipe).
        recipe: The decisions.
        model: Fingerprint of the float weights.
        settings: The settings in numbers.
        references: The two lines.
        records: Every epoch, the start first.
        points: Curve of the steps, thinned.
        epoch: Epochs done.
        step: Optimizer steps done.
        best: Epoch of the best state.
        state: File of the present state.
        best_state: File of the best state.
        samples: Samples trained on.
        seconds: Time trained so far.
        saved: When it was written, as ISO 8601.
    """

    version: int
    run: str
    recipe: Recipe
    model: str
    settings: Training
    references: References
    records: tuple[EpochRecord, ...]
    points: tuple[StepPoint, ...]
    epoch: int
    step: int
    best: int
    state: str
    best_state: str
    samples: int
    seconds: float
    saved: str

    @property
    def complete(self) -> bool:
        """Whether every epoch is done."""
        return self.epoch >= self.settings.epochs


class _Header(msgspec.Struct):
    version: int


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the readable half of the checkpoint in a folder, None where there is none.

    Raises:
        QguiError: It is damaged or of a newer version.
    """
    path = folder / CHECKPOINT
    what = say("Could not read the checkpoint {path}", path=path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise QguiError(what, error.strerror or str(error), say("Check the path and its permissions.")) from error
    try:
        version = msgspec.json.decode(content, type=_Header).version
        if version > CHECKPOINT_VERSION:
            why = say(
                "it has format version {version} and this program knows up to {checkpoint_version}",
                version=version,
                checkpoint_version=CHECKPOINT_VERSION,
            )
            raise QguiError(what, why, say("Resume it with a newer QGUI."))
        return msgspec.json.decode(content, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise QguiError(
            what, say("it is damaged ({error})", error=error), say("Remove the folder and train anew.")
        ) from error


def existing_checkpoint(folder: Path) -> Checkpoint:
    """Return the readable half of the checkpoint in a folder.

    Raises:
        QguiError: There is none, it is damaged or of a newer version.
    """
    found = read_checkpoint(folder)
    if found is None:
        hint = say("Name the folder in which a training was interrupted.")
        raise QguiError(say("Could not resume the training"), say("{folder} holds no checkpoint", folder=folder), hint)
    return found


def training_key(recipe: Recipe) -> str:
    """Return a hash of everything that decides the trained weights: 16 hexadecimal digits of SHA-256."""
    content = (recipe.model, recipe.data, recipe.rules, recipe.training)
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:16]


def run_key(recipe: Recipe) -> str:
    """Return the hash of a recipe by which a checkpoint knows its run; what was changed while paused is left out."""
    return training_key(msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, steering=())))


class Thinned:
    """Points of any number in bounded memory: of the many, every second is left out, and again.

    Args:
        capacity: Points at the most.
    """

    def __init__(self, capacity: int = 2048) -> None:
        self._capacity = capacity
        self._stride = 1
        self.kept: list[StepPoint] = []

    def add(self, point: StepPoint) -> None:
        """Keep a point, if it is one of those that are kept."""
        if point.step % self._stride:
            return
        self.kept.append(point)
        if len(self.kept) > self._capacity:
            self._stride *= 2
            self.kept = [p for p in self.kept if p.step % self._stride == 0]


class Curve:
    """A curve of any number of steps in bounded memory: buckets of neighbouring steps with mean, minimum and maximum.

    Args:
        capacity: Buckets at the most; when they are full, neighbours become one.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = max(capacity, 2)
        self._width = 1
        self._filled = 0
        self.steps: list[float] = []
        self.means: list[float] = []
        self.lows: list[float] = []
        self.highs: list[float] = []

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: float, value: float) -> None:
        """Append a value; steps come in rising order."""
        if self.steps and self._filled < self._width:
            self._filled += 1
            share = 1.0 / self._filled
            self.steps[-1] = step
            self.means[-1] += (value - self.means[-1]) * share
            self.lows[-1] = min(self.lows[-1], value)
            self.highs[-1] = max(self.highs[-1], value)
            return
        if len(self.steps) >= self._capacity:
            self._halve()
        self._filled = 1
        for values, fresh in ((self.steps, step), (self.means, value), (self.lows, value), (self.highs, value)):
            values.append(fresh)

    def extend(self, points: Iterable[tuple[float, float]]) -> None:
        """Append several values."""
        for step, value in points:
            self.add(step, value)

    def scaled(self, factor: float) -> Curve:
        """Return the curve with every value multiplied, for instance to read shares in percent."""
        curve = Curve(self._capacity)
        curve.steps = list(self.steps)
        for name in ("means", "lows", "highs"):
            setattr(curve, name, [value * factor for value in getattr(self, name)])
        return curve

    def _halve(self) -> None:
        whole = len(self.steps) // 2 * 2
        pairs = range(0, whole, 2)
        rest = [values[whole:] for values in (self.steps, self.means, self.lows, self.highs)]
        self.steps = [self.steps[i + 1] for i in pairs] + rest[0]
        self.means = [(self.means[i] + self.means[i + 1]) / 2 for i in pairs] + rest[1]
        self.lows = [min(self.lows[i], self.lows[i + 1]) for i in pairs] + rest[2]
        self.highs = [max(self.highs[i], self.highs[i + 1]) for i in pairs] + rest[3]
        self._width *= 2
