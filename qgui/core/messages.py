"""What window and worker say to each other: tagged, typed, framed by their length.

Every command carries a number; every event of the job it starts carries the same number. A frame is the length of its
JSON body as four bytes, most significant first, then the body. Large arrays travel as files whose paths are named.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

import msgspec

from qgui.core.benchmarks import BenchmarkResult, BenchmarkSettings, RowState
from qgui.core.graphs import GraphFile, GraphKind
from qgui.core.layers import ModelDescription
from qgui.core.recipe import DataReference, ModelReference, Recipe
from qgui.core.results import (
    BackendTiming,
    Comparison,
    DataDescription,
    ExportResult,
    MachineDescription,
    QuantizeResult,
    SampleDescription,
)
from qgui.core.runtimes import RuntimeTable
from qgui.core.slowness import WayOut, WayOutEffect
from qgui.core.training import Steering
from qgui.core.training_run import TrainingEstimate, TrainingOutcome, TrainingUpdate

_LENGTH = struct.Struct(">I")
#: A longer frame is a broken stream, not a message.
MAX_FRAME = 256 * 1024 * 1024


class Command(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Something the worker is asked to do.

    Attributes:
        job: Number that the answers carry.
    """

    job: int = 0


class OpenModel(Command, frozen=True):
    """Load and trace a model.

    Attributes:
        model: Where it comes from.
        trust: Whether the person agreed to run code that a pickle file holds.
    """

    model: ModelReference
    trust: bool = False


class OpenData(Command, frozen=True):
    """Open data and split it."""

    data: DataReference
    trust: bool = False


class Calibrate(Command, frozen=True):
    """Run the calibration samples once and write the statistics to a file.

    Attributes:
        path: Where the statistics are to be written.
        threads: Threads to use, 0 for torch's default.
        recipe: Says which samples are left out, whether only finite values count, and what is equalized; None for the
            data as it was opened and the weights as they are.
    """

    path: str
    threads: int = 0
    recipe: Recipe | None = None


class UseStatistics(Command, frozen=True):
    """Take over statistics that an earlier process wrote."""

    path: str


class Quantize(Command, frozen=True):
    """Convert the model as a recipe says (training its `qat` layers first)."""

    recipe: Recipe


class Train(Command, frozen=True):
    """Train the `qat` layers of a recipe, convert, and check the conversion.

    Attributes:
        recipe: The decisions.
        folder: Where a checkpoint is written after each epoch.
        resume: Whether to go on from the checkpoint in that folder.
    """

    recipe: Recipe
    folder: str
    resume: bool = False


class KeepTraining(Command, frozen=True):
    """Take the best state of a checkpoint, convert, and check the conversion.

    Attributes:
        recipe: The decisions.
        folder: Where the checkpoint lies.
    """

    recipe: Recipe
    folder: str


class EstimateTraining(Command, frozen=True):
    """Measure a few steps and say how long the training would take."""

    recipe: Recipe


class SteerTraining(Command, frozen=True):
    """Steer the running training; answered at once, not queued.

    Attributes:
        action: `pause`, `resume`, or `finish`: end now and keep the best state.
        change: What holds from the next step on, with `resume`.
    """

    action: Literal["pause", "resume", "finish"]
    change: Steering | None = None


class LimitMemory(Command, frozen=True):
    """Limit what the worker may take; answered at once, without an event.

    Attributes:
        gibibytes: The most memory, in GiB; 0 for as much as there is.
    """

    gibibytes: int


class Compare(Command, frozen=True):
    """Measure float against quantized."""

    threads: int = 1
    batch_size: int = 1
    runs: int = 30


class MeasureActivations(Command, frozen=True):
    """Run float and quantized model on some evaluation samples, and write what each activation became to a file.

    Attributes:
        path: Where the measured activations are to be written (`qgui.core.measured`).
        samples: Number of evaluation samples at most.
    """

    path: str
    samples: int = 16


class MeasureBackends(Command, frozen=True):
    """Convert for every engine of the machine and measure each."""

    recipe: Recipe
    threads: int = 1
    batch_size: int = 1


class MeasureRuntimes(Command, frozen=True):
    """Measure float and the quantized model in every runtime of the machine."""

    threads: int = 1
    batch_size: int = 1
    runs: int = 20


class MeasureWayOut(Command, frozen=True):
    """Measure what a way out of slow int8 comes to, against the model that the recipe makes.

    Attributes:
        recipe: The decisions as they are.
        way: What is tried.
    """

    recipe: Recipe
    way: WayOut
    threads: int = 1
    batch_size: int = 1


class Export(Command, frozen=True):
    """Write files and verify each in a fresh process.

    Attributes:
        folder: Where to write.
        formats: Keys of `core.formats`.
        threads: Threads with which the written files are run.
    """

    folder: str
    formats: tuple[str, ...]
    threads: int = 1


class WeightRanges(Command, frozen=True):
    """Write what each observer would choose for a layer's weight, and its histogram, to a file.

    Attributes:
        layer: Layer path.
        recipe: Says which weights are equalized; None for the weights as they are.
        path: Where the `.npz` is to be written: `minimum` and `maximum` per output channel, `counts` and `edges` of a
            histogram over the whole weight, `granularity/observer` arrays `low`, `high`, and `sqnr` per observer, and
            `whole/...` and `channels/...` arrays `points`, `mass`, `zeros` and `width` of their distributions.
    """

    layer: str
    path: str
    recipe: Recipe | None = None


class ShowSamples(Command, frozen=True):
    """Say what samples are, with a small picture of each that is an image.

    Attributes:
        samples: Their indices in the data set.
        folder: Where the pictures are to be written.
    """

    samples: tuple[int, ...]
    folder: str


class WriteGraph(Command, frozen=True):
    """Write the graph of the float or of the quantized model as a file to look at.

    Attributes:
        kind: Which model.
        path: Where the file is to be written.
    """

    kind: GraphKind
    path: str


class CheckBenchmarks(Command, frozen=True):
    """Say which published rows can be run with some settings, and what the others lack."""

    settings: BenchmarkSettings


class RunBenchmark(Command, frozen=True):
    """Run a published row; what is open stays open.

    Attributes:
        key: Of the row.
        settings: With what it is run.
    """

    key: str
    settings: BenchmarkSettings


class Cancel(Command, frozen=True):
    """Stop the running job at its next batch."""


class Shutdown(Command, frozen=True):
    """Leave."""


class Event(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Something the worker says.

    Attributes:
        job: Number of the command it answers, 0 for none.
    """

    job: int = 0


class Ready(Event, frozen=True):
    """The worker has loaded torch and waits for commands."""

    machine: MachineDescription


class Progress(Event, frozen=True):
    """A job goes on.

    Attributes:
        phase: What is being done, one or two words.
        done: Steps done.
        total: Steps in all, 0 where that is not known.
        seconds_left: Estimate, None where there is none yet.
    """

    phase: str
    done: int
    total: int
    seconds_left: float | None = None


class ModelOpened(Event, frozen=True):
    """The model is loaded."""

    model: ModelDescription
    reference: ModelReference


class DataOpened(Event, frozen=True):
    """The data is open.

    Attributes:
        data: What is known of it.
        reference: Where it comes from.
        model: The open model described again, with the shapes that this data gives; None where none is open.
    """

    data: DataDescription
    reference: DataReference
    model: ModelDescription | None = None


class Calibrated(Event, frozen=True):
    """The statistics lie in a file; `unfinite` names the layers that produced NaN or infinite values."""

    path: str
    samples: int
    seconds: float
    unfinite: tuple[str, ...] = ()


class StatisticsTaken(Event, frozen=True):
    """Earlier statistics are in use."""

    path: str


class Quantized(Event, frozen=True):
    """The quantized model exists in the worker."""

    result: QuantizeResult


class TrainingProgress(Event, frozen=True):
    """A training goes on; at most ten times a second."""

    update: TrainingUpdate


class TrainingEstimated(Event, frozen=True):
    """A few steps are measured."""

    estimate: TrainingEstimate


class Trained(Event, frozen=True):
    """The best state is converted and checked.

    Attributes:
        outcome: What the training came to.
        result: The quantized model.
    """

    outcome: TrainingOutcome
    result: QuantizeResult


class Compared(Event, frozen=True):
    """Float and quantized are measured."""

    comparison: Comparison


class ActivationsMeasured(Event, frozen=True):
    """What the activations became lies in a file."""

    path: str


class BackendsMeasured(Event, frozen=True):
    """Every engine is measured, fastest first."""

    timings: tuple[BackendTiming, ...]


class RuntimesMeasured(Event, frozen=True):
    """Every runtime is measured, fastest first."""

    table: RuntimeTable


class WayOutMeasured(Event, frozen=True):
    """A way out is measured; the quantized model is as it was."""

    effect: WayOutEffect


class Exported(Event, frozen=True):
    """Files are written and verified."""

    exports: tuple[ExportResult, ...]


class WeightRangesWritten(Event, frozen=True):
    """The ranges of a weight lie in a file."""

    layer: str
    path: str


class SamplesShown(Event, frozen=True):
    """What the samples are; their pictures lie in files."""

    samples: tuple[SampleDescription, ...]


class GraphWritten(Event, frozen=True):
    """A graph lies in a file."""

    graph: GraphFile


class BenchmarksChecked(Event, frozen=True):
    """What each published row needs.

    Attributes:
        states: One for each row.
        cpu: The processor, and `versions` those of what figures depend on: kept results of others are stale.
    """

    states: tuple[RowState, ...]
    cpu: str
    versions: dict[str, str]


class BenchmarkRun(Event, frozen=True):
    """A published row was run."""

    result: BenchmarkResult


class Failed(Event, frozen=True):
    """A job failed; everything else is as before.

    Attributes:
        what: What could not be done.
        why: The reason.
        next_step: What the person can do.
        details: Traceback.
        needs_trust: Whether the same command with `trust` would go on.
        file: The file that would have to be trusted.
        needs_consent: Whether calibration would go on with the finite values only.
    """

    what: str
    why: str
    next_step: str = ""
    details: str = ""
    needs_trust: bool = False
    file: str = ""
    needs_consent: bool = False


class Stopped(Event, frozen=True):
    """A job was cancelled."""


class LogLine(Event, frozen=True):
    """A line for the log.

    Attributes:
        level: `debug`, `info`, `warning` or `error`.
        text: The line.
    """

    level: str
    text: str


class Heartbeat(Event, frozen=True):
    """The worker's command loop is alive."""


AnyCommand = (
    OpenModel
    | OpenData
    | Calibrate
    | UseStatistics
    | Quantize
    | Train
    | KeepTraining
    | EstimateTraining
    | SteerTraining
    | LimitMemory
    | Compare
    | MeasureActivations
    | MeasureBackends
    | MeasureRuntimes
    | MeasureWayOut
    | Export
    | WeightRanges
    | ShowSamples
    | WriteGraph
    | CheckBenchmarks
    | RunBenchmark
    | Cancel
    | Shutdown
)
AnyEvent = (
    Ready
    | Progress
    | ModelOpened
    | DataOpened
    | Calibrated
    | StatisticsTaken
    | Quantized
    | TrainingProgress
    | TrainingEstimated
    | Trained
    | Compared
    | ActivationsMeasured
    | BackendsMeasured
    | RuntimesMeasured
    | WayOutMeasured
    | Exported
    | WeightRangesWritten
    | SamplesShown
    | GraphWritten
    | BenchmarksChecked
    | BenchmarkRun
    | Failed
    | Stopped
    | LogLine
    | Heartbeat
)

_command_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def frame(message: Command | Event) -> bytes:
    """Return a message with its length before it."""
    body = msgspec.json.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode_command(body: bytes) -> AnyCommand:
    """Return the command in a frame's body.

    Raises:
        msgspec.DecodeError: The body is no command.
    """
    return _command_decoder.decode(body)


def decode_event(body: bytes) -> AnyEvent:
    """Return the event in a frame's body.

    Raises:
        msgspec.DecodeError: The body is no event.
    """
    return _event_decoder.decode(body)


class FrameReader:
    """Cuts a stream of bytes into frame bodies, whatever the pieces in which it arrives."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the bodies that are complete once `data` is added.

        Raises:
            ValueError: A frame claims to be longer than any message.
        """
        self._pending += data
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > MAX_FRAME:
                raise ValueError(f"a frame of {length} bytes is no message")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            body = bytes(self._pending[_LENGTH.size : end])
            del self._pending[:end]
            yield body
