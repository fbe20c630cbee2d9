"""Which scale and zero point every tensor gets under a recipe, from the statistics of one calibration pass."""

from __future__ import annotations

from dataclasses import dataclass

from qgui.core import ranges, statistics
from qgui.core.errors import QguiError
from qgui.core.layers import ModelDescription, Tensor
from qgui.core.qparams import QParams, activation_grid, fixed_qparams
from qgui.core.ranges import Distribution
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ActivationSetting, Observer, Recipe
from qgui.core.statistics import CalibrationRecord, TensorStatistics


@dataclass(frozen=True, eq=False)
class Choice:
    """What an observer chooses for a tensor.

    Attributes:
        observer: The observer.
        qparams: Scale and zero point.
        sqnr_db: Predicted signal to quantization noise ratio in dB.
        clipped: Share of elements outside the range, 0 to 1.
    """

    observer: Observer
    qparams: QParams
    sqnr_db: float
    clipped: float


class ActivationRanges:
    """The ranges of all activations of a model, remembered per tensor and setting.

    Args:
        model: The loaded model.
        record: Statistics of one calibration pass over it.

    Raises:
        QguiError: The statistics belong to another model.
    """

    def __init__(self, model: ModelDescription, record: CalibrationRecord) -> None:
        self.model = model
        self.record = record
        self._tensors = {tensor.name: tensor for tensor in model.tensors}
        missing = [s for tensor in model.tensors for s in tensor.sources if s not in record.tensors]
        if missing:
            raise QguiError(
                "Could not use the statistics", f"they hold nothing for {missing[0]}", "Calibrate this model again."
            )
        self._statistics: dict[str, TensorStatistics] = {}
        self._distributions: dict[str, Distribution] = {}
        self._qparams: dict[tuple[str, ActivationSetting], QParams] = {}

    def owner(self, tensor: str) -> Tensor:
        """Return the tensor whose setting decides the range of this one."""
        return self._tensors[self._tensors[tensor].owner]

    def setting(self, tensor: str, recipe: Recipe) -> ActivationSetting:
        """Return the activation setting that decides a tensor's range."""
        return recipe.rule(self.owner(tensor).layer).activation

    def statistics(self, tensor: str) -> TensorStatistics:
        """Return the merged statistics that decide a tensor's range."""
        owner = self.owner(tensor)
        if owner.name not in self._statistics:
            self._statistics[owner.name] = statistics.merge([self.record.tensors[name] for name in owner.sources])
        return self._statistics[owner.name]

    def distribution(self, tensor: str) -> Distribution:
        """Return where the values lie that decide a tensor's range."""
        owner = self.owner(tensor)
        if owner.name not in self._distributions:
            self._distributions[owner.name] = ranges.of_activation(self.statistics(tensor))
        return self._distributions[owner.name]

    def qparams(self, tensor: str, setting: ActivationSetting) -> QParams:
        """Return scale and zero point of a tensor under a setting; prescribed ones where the operation fixes them.

        Raises:
            QguiError: The tensor holds no finite value, or the fixed range is empty.
        """
        owner = self.owner(tensor)
        if owner.fixed is not None:
            return fixed_qparams(*owner.fixed)
        key = (owner.name, setting)
        if key not in self._qparams:
            grid = activation_grid(setting)
            self._qparams[key] = ranges.chosen_qparams(setting.observer, self.distribution(tensor), grid)
        return self._qparams[key]

    def chosen(self, tensor: str, recipe: Recipe) -> QParams:
        """Return scale and zero point of a tensor under a recipe."""
        return self.qparams(tensor, self.setting(tensor, recipe))

    def choice(self, tensor: str, setting: ActivationSetting) -> Choice:
        """Return what a setting's observer chooses for a tensor, and what that costs."""
        qparams = self.qparams(tensor, setting)
        assessment = ranges.assess(self.distribution(tensor), qparams)
        return Choice(setting.observer, qparams, assessment.sqnr_db, assessment.clipped)

    def choices(self, tensor: str, setting: ActivationSetting) -> list[Choice]:
        """Return what every automatic observer would choose, in their order; the set one with its parameters."""
        return [
            self.choice(
                tensor,
                ActivationSetting(
                    setting.dtype,
                    setting.qscheme,
                    setting.observer if setting.observer.kind is kind else Observer(kind),
                    setting.reduce_range,
                ),
            )
            for kind in AUTOMATIC_OBSERVERS
        ]
