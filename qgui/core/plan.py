"""Which scale and zero point every tensor gets under a recipe, from the statistics of one calibration pass."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from qgui.core import ranges, statistics
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import ModelDescription, Tensor
from qgui.core.qparams import QParams, activation_grid, fixed_qparams
from qgui.core.ranges import Assessment, Distribution
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ActivationSetting, Observer, ObserverKind, Recipe
from qgui.core.statistics import CalibrationRecord, TensorStatistics

#: Ranges that differ by less than this in predicted SQNR, in dB, are equally good.
AS_GOOD_DB = 0.1


@dataclass(frozen=True, eq=False)
class Choice:
    """What an observer chooses for a tensor.

    Attributes:
        observer: The observer.
        qparams: Scale and zero point.
        cost: What the range costs in rounding and clipping.
    """

    observer: Observer
    qparams: QParams
    cost: Assessment

    @property
    def sqnr_db(self) -> float:
        """Predicted signal to quantization noise ratio in dB."""
        return self.cost.sqnr_db

    @property
    def clipped(self) -> float:
        """Share of elements outside the range, 0 to 1."""
        return self.cost.clipped

    def is_as_good_as(self, other: Choice) -> bool:
        """Whether it loses nothing that counts against another choice for the same tensor."""
        return self.cost.error <= other.cost.error * 10 ** (AS_GOOD_DB / 10)


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
                say("Could not use the statistics"),
                say("they hold nothing for {missing}", missing=missing[0]),
                say("Calibrate this model again."),
            )
        self._statistics: dict[str, TensorStatistics] = {}
        self._distributions: dict[str, Distribution] = {}
        self._qparams: dict[tuple[str, ActivationSetting], QParams] = {}
        self._choices: dict[tuple[str, ActivationSetting], Choice] = {}

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
        """Return what a setting's observer chooses for a tensor, and what that costs.

        Raises:
            QguiError: The tensor holds no finite value, or the fixed range is empty.
        """
        key = (self.owner(tensor).name, setting)
        if key not in self._choices:
            qparams = self.qparams(tensor, setting)
            self._choices[key] = Choice(setting.observer, qparams, ranges.assess(self.distribution(tensor), qparams))
        return self._choices[key]

    def knows(self, tensor: str, setting: ActivationSetting) -> bool:
        """Whether `choice` would answer at once."""
        return (self.owner(tensor).name, setting) in self._choices

    def choice_of_bounds(self, tensor: str, setting: ActivationSetting, low: float, high: float) -> Choice:
        """Return what a range set by hand makes of a tensor; nothing is remembered, as ranges are while dragged.

        Raises:
            QguiError: The range is empty or not finite.
        """
        distribution = self.distribution(tensor)
        observer = Observer(ObserverKind.FIXED, low=low, high=high)
        qparams = ranges.chosen_qparams(observer, distribution, activation_grid(setting))
        return Choice(observer, qparams, ranges.assess(distribution, qparams))

    def candidates(self, tensor: str, setting: ActivationSetting) -> list[ActivationSetting]:
        """Return the settings among which a person chooses: every automatic observer, and the one that is set.

        The set one keeps its parameters. There is one only where the operation prescribes scale and zero point.
        """
        if self.owner(tensor).fixed is not None:
            return [setting]
        observers = {kind: Observer(kind) for kind in AUTOMATIC_OBSERVERS}
        observers[setting.observer.kind] = setting.observer
        return [msgspec.structs.replace(setting, observer=observer) for observer in observers.values()]

    def best(self, tensor: str, setting: ActivationSetting) -> Choice:
        """Return the candidate of the least predicted error; the one that is set where none is better.

        Raises:
            QguiError: The tensor holds no finite value, or the fixed range is empty.
        """
        present = self.choice(tensor, setting)
        choices = [self.choice(tensor, candidate) for candidate in self.candidates(tensor, setting)]
        best = min(choices, key=lambda choice: choice.cost.error)
        return best if best.cost.error < present.cost.error else present

    def choices(self, tensor: str, setting: ActivationSetting) -> list[Choice]:
        """Return what every automatic observer would choose, in their order; the set one with its parameters."""
        present = setting.observer
        observers = [present if present.kind is kind else Observer(kind) for kind in AUTOMATIC_OBSERVERS]
        return [self.choice(tensor, msgspec.structs.replace(setting, observer=observer)) for observer in observers]
