"""What a report tells of: everything that is known of a model, its recipe and what the jobs found out."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from qgui.core.layers import ModelDescription
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import Recipe
from qgui.core.results import Comparison, DataDescription, ExportResult, MachineDescription
from qgui.core.runtimes import RuntimeTable
from qgui.core.slowness import Explanation
from qgui.core.training_run import TrainingOutcome


def dated() -> str:
    """Return date and time of now, as a person reads them."""
    return datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()


@dataclass(frozen=True)
class Picture:
    """A picture in a report.

    Attributes:
        caption: What it shows.
        address: Its content as a `data:` address.
    """

    caption: str
    address: str


@dataclass(frozen=True, eq=False)
class ReportContent:
    """What a report tells of; what is None or empty was not done, and the report says so.

    Attributes:
        model: The model.
        recipe: The decisions.
        made: When the report is made, as a person reads it.
        version: Version of QGUI.
        data: The data.
        machine: Where it was measured.
        ranges: Ranges of all activations, from the statistics.
        comparison: What was measured.
        explanation: Which layers are slower in int8, and why.
        runtimes: The model in every runtime.
        training: What a training came to.
        exports: What was exported.
        stale: Why the numbers are not those of the recipe; empty where they are.
        pictures: Pictures of the window.
    """

    model: ModelDescription
    recipe: Recipe
    made: str
    version: str
    data: DataDescription | None = None
    machine: MachineDescription | None = None
    ranges: ActivationRanges | None = None
    comparison: Comparison | None = None
    explanation: Explanation | None = None
    runtimes: RuntimeTable | None = None
    training: TrainingOutcome | None = None
    exports: tuple[ExportResult, ...] = ()
    stale: str = ""
    pictures: tuple[Picture, ...] = ()
