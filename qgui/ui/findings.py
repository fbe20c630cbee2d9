"""What the jobs found out about the decisions of a recipe, and what of it belongs to earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from qgui.core import calibration
from qgui.core.layers import ModelDescription
from qgui.core.recipe import Mode, Recipe
from qgui.core.results import BackendTiming, Comparison, ExportResult, LayerResult, QuantizeResult

if TYPE_CHECKING:
    from qgui.core.measured import MeasuredActivations, MeasuredRatios
    from qgui.core.plan import ActivationRanges
    from qgui.core.statistics import CalibrationRecord


class _LayerResults:
    """Finds the results of layers by their names."""

    def __init__(self) -> None:
        self._source: QuantizeResult | Comparison | None = None
        self._by_name: Mapping[str, LayerResult] = {}

    def of(self, source: QuantizeResult | Comparison | None, name: str) -> LayerResult | None:
        """Return the result of a layer in a source."""
        if source is not self._source:
            self._source = source
            self._by_name = {entry.name: entry for entry in source.layers} if source is not None else {}
        return self._by_name.get(name)


class Findings(QObject):
    """Statistics, results and measurements beside the recipe to which they are held.

    Signals:
        statistics_changed: A calibration finished or became void.
        results_changed: A result arrived, or became stale.
    """

    statistics_changed = Signal()
    results_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.recipe = Recipe()
        self.model: ModelDescription | None = None
        self.ranges: ActivationRanges | None = None
        self.result: QuantizeResult | None = None
        self.comparison: Comparison | None = None
        self.measured: MeasuredActivations | None = None
        self.exports: tuple[ExportResult, ...] = ()
        self.timings: tuple[BackendTiming, ...] = ()
        self._timed_modes: dict[str, Mode] = {}
        self._exported = ""
        self._digest: str | None = None
        self._void = False
        self._unfinite = False
        self._outcomes, self._measurements = _LayerResults(), _LayerResults()

    def set_statistics(self, record: CalibrationRecord) -> None:
        """Take the statistics of a calibration pass.

        Raises:
            QguiError: They belong to another model.
        """
        # numpy is not imported before the first paint.
        from qgui.core.plan import ActivationRanges

        if self.model is None:
            return
        self.ranges = ActivationRanges(self.model, record)
        self._unfinite = bool(record.unfinite)
        self._void = self.result is not None
        self.statistics_changed.emit()
        self.results_changed.emit()

    def set_result(self, result: QuantizeResult) -> None:
        """Take what quantizing made."""
        self.result = result
        if self.comparison is not None and self.comparison.recipe_hash == result.recipe_hash and self._void:
            self.comparison = None
        if self.measured is not None and (self._void or self.measured.recipe_hash != result.recipe_hash):
            self.measured = None
        self._void = False
        self.results_changed.emit()

    def set_comparison(self, comparison: Comparison) -> None:
        """Take a measured comparison."""
        self.comparison = comparison
        self.results_changed.emit()

    def set_measured(self, measured: MeasuredActivations) -> None:
        """Take what the activations of the quantized model became; of another quantized model it is of no use."""
        if self.result is not None and measured.recipe_hash == self.result.recipe_hash and not self._void:
            self.measured = measured
            self.results_changed.emit()

    def set_exports(self, exports: tuple[ExportResult, ...]) -> None:
        """Take the list of exported files; they hold the quantized model as it is now."""
        self.exports = exports
        self._exported = self.result.recipe_hash if self.result is not None else self.digest
        self.results_changed.emit()

    def set_timings(self, timings: tuple[BackendTiming, ...], recipe: Recipe) -> None:
        """Take what the backends took for a recipe."""
        self.timings = timings
        self._timed_modes = recipe.modes
        self.results_changed.emit()

    @property
    def timings_stale(self) -> bool:
        """Whether backends were measured with other modes of layers."""
        return bool(self.timings) and self._timed_modes != self.recipe.modes

    @property
    def digest(self) -> str:
        """Hash of the recipe as it is now."""
        if self._digest is None:
            self._digest = self.recipe.digest()
        return self._digest

    @property
    def statistics_stale(self) -> str:
        """Why the statistics are not those that these decisions ask for; empty where they are, or where none are."""
        if self.ranges is None or self.model is None:
            return ""
        record = self.ranges.record
        wished = calibration.settings_of(self.recipe, self.model.layers)
        return calibration.why_stale(record.settings, wished, record.samples, self._unfinite)

    @property
    def equalized(self) -> tuple[calibration.Pair, ...]:
        """The pairs of layers whose weights these decisions equalize."""
        return calibration.equalized_pairs(self.recipe, self.model.layers) if self.model is not None else ()

    @property
    def must_calibrate(self) -> bool:
        """Whether quantizing with these decisions takes a calibration first."""
        return self.needs_calibration and (self.ranges is None or bool(self.statistics_stale))

    @property
    def result_stale(self) -> bool:
        """Whether a quantized model exists that these decisions would not make."""
        return self.result is not None and (self._void or self.result.recipe_hash != self.digest)

    @property
    def comparison_stale(self) -> bool:
        """Whether a comparison exists of a model that these decisions would not make."""
        return self.comparison is not None and (self._void or self.comparison.recipe_hash != self.digest)

    @property
    def exports_stale(self) -> bool:
        """Whether files were exported of a model that these decisions would not make."""
        return bool(self.exports) and (self._void or self._exported != self.digest)

    @property
    def measured_stale(self) -> bool:
        """Whether activations were measured of a model that these decisions would not make."""
        return self.measured is not None and (self._void or self.measured.recipe_hash != self.digest)

    def measured_ratios(self, name: str) -> MeasuredRatios | None:
        """Return how far a layer's output is from the float one, None where that was not measured."""
        entry = self.measured.layers.get(name) if self.measured is not None else None
        return entry.ratios if entry is not None else None

    def outcome(self, name: str) -> LayerResult | None:
        """Return what became of a layer in the quantized model, None where there is none."""
        return self._outcomes.of(self.result, name)

    def measurement(self, name: str) -> LayerResult | None:
        """Return what was measured of a layer, None where nothing was compared."""
        return self._measurements.of(self.comparison, name)

    @property
    def needs_calibration(self) -> bool:
        """Whether a layer is static or QAT, whose activations need ranges from data."""
        return any(rule.needs_statistics for rule in self.recipe.rules.values())

    def _drop_statistics(self) -> None:
        self.ranges = None
        self.result = None
        self.comparison = None
        self.measured = None
        self.exports = ()
        self.timings = ()
        self._void = False

    def _set_recipe(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._digest = None
