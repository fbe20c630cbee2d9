"""What an edit of several layers means: the new rule of each, and which layers may not have it and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from qgui.core import legality
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.recipe import (
    ActivationScheme,
    Mode,
    Observer,
    ObserverKind,
    Recipe,
    Rule,
    Step,
    WeightDtype,
    WeightScheme,
)


@dataclass(frozen=True)
class Decision:
    """New rules and the layers that were left as they are.

    Attributes:
        rules: Layer path to its new rule; only layers whose rule changes.
        skipped: Layer path to the reason why the wish is not possible there.
    """

    rules: dict[str, Rule] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


#: Returns the new rule of a layer, or the reason why it cannot have it.
Edit = Callable[[Layer, Rule], Rule | str]


def heads(model: ModelDescription, names: Iterable[str]) -> list[Layer]:
    """Return the layers that carry the rules of the named ones: fused layers lead to their head, each once."""
    known = model.by_name
    found: dict[str, Layer] = {}
    for name in names:
        layer = known.get(name)
        if layer is None:
            continue
        head = layer if layer.head else known.get(layer.group, layer)
        found.setdefault(head.name, head)
    return list(found.values())


def decide(model: ModelDescription, recipe: Recipe, names: Iterable[str], edit: Edit) -> Decision:
    """Return what an edit makes of the named layers."""
    decision = Decision()
    for layer in heads(model, names):
        rule = recipe.rule(layer.name)
        outcome = edit(layer, rule)
        if isinstance(outcome, str):
            decision.skipped[layer.name] = outcome
        elif outcome != rule:
            decision.rules[layer.name] = outcome
    return decision


def one_of_each_kind(recipe: Recipe, layers: Iterable[Layer]) -> list[Layer]:
    """Return the first of all layers that are alike: the same is possible for them, and their rules do not differ."""
    found: dict[tuple[object, ...], Layer] = {}
    for layer in layers:
        rule = recipe.rule(layer.name)
        steps = (rule.equalize, rule.correct_bias, rule.adaround, bool(layer.equalizable), layer.alone)
        found.setdefault((*_kind(layer, rule), *steps), layer)
    return list(found.values())


def _kind(layer: Layer, rule: Rule) -> tuple[object, ...]:
    """Return what decides which modes and weights a layer may have: thousands of layers are of a few kinds."""
    return (*legality.traits(layer), rule.mode, rule.weight)


def reason_against(model: ModelDescription, recipe: Recipe, names: Iterable[str], edit: Edit) -> str:
    """Return why none of the named layers can have an edit; empty where one can."""
    reason = ""
    alike: set[tuple[object, ...]] = set()
    for layer in heads(model, names):
        rule = recipe.rule(layer.name)
        kind = _kind(layer, rule)
        if kind in alike:
            continue
        alike.add(kind)
        outcome = edit(layer, rule)
        if not isinstance(outcome, str):
            return ""
        reason = reason or outcome
    return reason


def mode_edit(mode: Mode, backend: str) -> Edit:
    """Return the edit that gives layers a mode and corrects what the mode does not allow."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = legality.mode_reasons(layer, backend)[mode]
        if reason:
            return reason
        if rule.mode is Mode.FLOAT and rule.weight == Rule().weight:
            rule = msgspec.structs.replace(rule, weight=legality.default_rule(layer, mode, backend).weight)
        return legality.corrected(msgspec.structs.replace(rule, mode=mode), layer, backend)

    return edit


def _needs_weight(layer: Layer) -> str:
    return "" if legality.has_weight(layer) else say("{type} has no weight to quantize.", type=layer.type)


def _needs_activation(layer: Layer) -> str:
    if legality.has_activation(layer):
        return ""
    if layer.type in legality.FIXED_QPARAMS:
        return say("PyTorch prescribes scale and zero point of {type}.", type=layer.type)
    return say("The output of {type} is not a tensor whose range can be chosen.", type=layer.type)


def weight_scheme_edit(qscheme: WeightScheme) -> Edit:
    """Return the edit that gives weights a qscheme."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = _needs_weight(layer) or legality.weight_schemes(layer, rule.mode)[qscheme]
        if reason:
            return reason
        weight = msgspec.structs.replace(rule.weight, qscheme=qscheme)
        if weight.channel_bounds and legality.why_no_channel_bounds(layer, weight):
            weight = msgspec.structs.replace(weight, channel_bounds=())
        if legality.weight_observers(layer, weight)[weight.observer.kind]:
            weight = msgspec.structs.replace(weight, observer=Observer())
        return msgspec.structs.replace(rule, weight=weight)

    return edit


def weight_dtype_edit(dtype: WeightDtype, backend: str) -> Edit:
    """Return the edit that gives weights a dtype."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = _needs_weight(layer) or legality.weight_dtypes(layer, rule.mode, backend)[dtype]
        if reason:
            return reason
        weight = msgspec.structs.replace(rule.weight, dtype=dtype)
        if weight.channel_bounds and legality.why_no_channel_bounds(layer, weight):
            weight = msgspec.structs.replace(weight, channel_bounds=())
        return legality.with_legal_steps(msgspec.structs.replace(rule, weight=weight), layer, backend)

    return edit


def weight_observer_edit(observer: Observer) -> Edit:
    """Return the edit that gives weights an observer."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = _needs_weight(layer) or legality.weight_observers(layer, rule.weight)[observer.kind]
        if reason:
            return reason
        return msgspec.structs.replace(rule, weight=msgspec.structs.replace(rule.weight, observer=observer))

    return edit


def step_edit(step: Step, wanted: bool, backend: str) -> Edit:
    """Return the edit that gives layers a step better than rounding, or takes it from them."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = legality.step_reasons(layer, rule, backend)[step] if wanted else ""
        return reason or msgspec.structs.replace(rule, **{step: wanted})

    return edit


def channel_bound_edit(channel: int, bound: float | None) -> Edit:
    """Return the edit that fixes the bound of one output channel of weights; None gives it back to the observer."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = legality.why_no_channel_bounds(layer, rule.weight)
        if reason:
            return reason
        bounds = dict(rule.weight.channel_bounds)
        if bound is None:
            bounds.pop(channel, None)
        else:
            bounds[channel] = bound
        weight = msgspec.structs.replace(rule.weight, channel_bounds=tuple(sorted(bounds.items())))
        return msgspec.structs.replace(rule, weight=weight)

    return edit


def channel_reset_edit() -> Edit:
    """Return the edit that gives all output channels of weights back to the observer."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        return msgspec.structs.replace(rule, weight=msgspec.structs.replace(rule.weight, channel_bounds=()))

    return edit


def _activation_edit(**settings: object) -> Edit:
    """Return the edit that gives activations settings, where their ranges can be chosen."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        reason = _needs_activation(layer)
        if reason:
            return reason
        return msgspec.structs.replace(rule, activation=msgspec.structs.replace(rule.activation, **settings))

    return edit


def activation_observer_edit(observer: Observer) -> Edit:
    """Return the edit that gives activations an observer."""
    return _activation_edit(observer=observer)


def activation_observers_edit(observers: Mapping[str, Observer]) -> Edit:
    """Return the edit that gives the activation of each layer an observer of its own; other layers keep theirs."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        observer = observers.get(layer.name)
        return rule if observer is None else activation_observer_edit(observer)(layer, rule)

    return edit


def activation_kind_edit(kind: ObserverKind) -> Edit:
    """Return the edit that gives activations an automatic observer, keeping parameters where it is already that one."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        if rule.activation.observer.kind is kind:
            return rule
        return activation_observer_edit(Observer(kind))(layer, rule)

    return edit


def activation_scheme_edit(qscheme: ActivationScheme) -> Edit:
    """Return the edit that gives activations a qscheme."""
    return _activation_edit(qscheme=qscheme)


def reduce_range_edit(reduce_range: bool) -> Edit:
    """Return the edit that limits activations to seven bits, or gives them all eight."""
    return _activation_edit(reduce_range=reduce_range)


def weight_choice_edit(qscheme: WeightScheme, observer: Observer) -> Edit:
    """Return the edit that gives weights a qscheme together with an observer."""

    def edit(layer: Layer, rule: Rule) -> Rule | str:
        scheme = weight_scheme_edit(qscheme)(layer, rule)
        return scheme if isinstance(scheme, str) else weight_observer_edit(observer)(layer, scheme)

    return edit
