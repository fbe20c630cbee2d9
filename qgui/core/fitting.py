"""What a recipe makes of the layers of a model: patterns resolved, what the model may not have replaced and told.

The one place where patterns become rules, so that engine, window and command line agree. The rule of a layer comes
from the first of these that there is:

1. what was decided for the single layer (`Recipe.own`),
2. the patterns that match it, from the first to the last: each sets what it names, so the last to name a setting wins,
   on top of the rule that the layer has without them,
3. the rule that the layer has without them: the advised one; float where the recipe says nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from qgui.core import decisions, legality, patterns
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import STEPS, Mode, ModelReference, ObserverKind, PatternRule, Recipe, Rule

#: So many names stand in a sentence before the rest is counted.
_NAMED = 3


class Misfit(msgspec.Struct, frozen=True):
    """Something in a recipe that a model does not take as it is.

    Attributes:
        subject: Layer path, or pattern.
        why: Why, and what holds instead, as a sentence.
    """

    subject: str
    why: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.why}"


@dataclass
class PatternOutcome:
    """What became of a pattern.

    Attributes:
        rule: The pattern with its settings.
        governed: Paths of the layers that it decides, alone or with other patterns.
        kept: Paths of the layers that it matches and that keep a rule of their own.
        followers: Layers that it matches and that follow the layer they are fused into.
        accepted: Setting to the number of layers that took it.
        refused: Setting to layer path and the reason why the layer cannot have it.
        pointless: Setting to layer path and the reason why it means nothing there.
    """

    rule: PatternRule
    governed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    followers: list[Layer] = field(default_factory=list)
    accepted: dict[str, int] = field(default_factory=dict)
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    pointless: dict[str, dict[str, str]] = field(default_factory=dict)

    def misfits(self) -> list[Misfit]:
        """Return what does not fit, in words."""
        if not (self.governed or self.kept or self.refused or self.pointless):
            return [Misfit(self.rule.pattern, self._why_nothing())]
        found = []
        for setting in sorted(self.refused.keys() | self.pointless.keys()):
            reasons = self.refused.get(setting, {})
            if not self.accepted.get(setting):
                reasons = {**reasons, **self.pointless.get(setting, {})}
            if reasons:
                why = say("{rule} is not possible for {reasons}", rule=_told(self.rule, setting), reasons=_all(reasons))
                found.append(Misfit(self.rule.pattern, why))
        return found

    def _why_nothing(self) -> str:
        if not self.followers:
            return say("no layer of this model has such a path or type.")
        first = self.followers[0]
        return say(
            "what it matches is fused into other layers ({name} into {group}): write it for those.",
            name=first.name,
            group=first.group,
        )

    @property
    def kept_sentence(self) -> str:
        """Which layers keep rules of their own, as a sentence; empty where none do."""
        if not self.kept:
            return ""
        verb = say("keeps a rule of its own") if len(self.kept) == 1 else say("keep rules of their own")
        return f"{_named(self.kept)} {verb}."


@dataclass(frozen=True)
class Fitted:
    """A recipe as a model takes it.

    Attributes:
        recipe: Every rule is legal for its layer, patterns are resolved.
        misfits: Which rules of layers are not as the given recipe says; none where it was fitted before.
        outcomes: What became of each pattern.
    """

    recipe: Recipe
    misfits: tuple[Misfit, ...]
    outcomes: tuple[PatternOutcome, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """Layers whose rules are not as the given recipe says, each once."""
        return tuple(dict.fromkeys(misfit.subject for misfit in self.misfits))

    @property
    def told(self) -> tuple[Misfit, ...]:
        """What does not fit, of layers and of patterns."""
        return (*self.misfits, *(misfit for outcome in self.outcomes for misfit in outcome.misfits()))


def fitted(recipe: Recipe, layers: Sequence[Layer], reduce_range: bool = False) -> Fitted:
    """Return what a recipe makes of the layers of a model; what fits applies, and the rest is told.

    Args:
        recipe: As it was decided, perhaps for another model. One that is fitted already comes back as it is.
        layers: Rows of the layer table.
        reduce_range: Whether the CPU needs activations limited to seven bits, for layers of which it says nothing.
    """
    known = {layer.name: layer for layer in layers}
    bare = recipe.without_patterns()
    rules: dict[str, Rule] = {}
    misfits = []
    for name, rule in bare.rules.items():
        layer = known.get(name)
        if layer is None:
            misfits.append(Misfit(name, say("the model has no such layer; its rule is left out.")))
        elif not layer.head:
            misfits.append(Misfit(name, say("here it is fused into {group}, whose rule holds.", group=layer.group)))
        else:
            rules[name] = legality.corrected(rule, layer, recipe.backend)
            misfits += [Misfit(name, why) for why in _why_other(rule, rules[name], layer, recipe.backend)]
    own = bare.own_layers & rules.keys()
    outcomes = tuple(PatternOutcome(rule) for rule in recipe.patterns)
    underneath = {}
    for layer in layers if outcomes else ():
        matching = [outcome for outcome in outcomes if patterns.matches(outcome.rule.pattern, layer)]
        if not matching:
            continue
        if not layer.head or layer.name in own:
            for outcome in matching:
                outcome.kept.append(layer.name) if layer.head else outcome.followers.append(layer)
            continue
        start = rules.get(layer.name) or legality.default_rule(layer, Mode.FLOAT, recipe.backend, reduce_range)
        rule, governed = start, False
        for outcome in matching:
            rule, taken = _applied(outcome, layer, rule, recipe.backend)
            governed = governed or taken
        if governed:
            rules[layer.name], underneath[layer.name] = rule, start
    whole = msgspec.structs.replace(recipe, rules=rules, own=own, underneath=underneath)
    return Fitted(whole, tuple(misfits), outcomes)


def _applied(outcome: PatternOutcome, layer: Layer, rule: Rule, backend: str) -> tuple[Rule, bool]:
    """Return the rule that a pattern makes of a layer's rule, and whether the layer takes any of its settings."""
    taken = False
    for setting, edit in edits_of(outcome.rule, backend).items():
        edited = edit(layer, rule)
        if not isinstance(edited, str):
            rule, taken = edited, True
            outcome.accepted[setting] = outcome.accepted.get(setting, 0) + 1
            continue
        told = outcome.pointless if _means_nothing(setting, layer, rule) else outcome.refused
        told.setdefault(setting, {})[layer.name] = edited
    if taken:
        outcome.governed.append(layer.name)
    return rule, taken


def edits_of(rule: PatternRule, backend: str) -> dict[str, decisions.Edit]:
    """Return the settings of a pattern as edits: the mode first, which says what else is possible."""
    edits: dict[str, decisions.Edit] = {}
    if rule.mode is not None:
        edits["mode"] = decisions.mode_edit(rule.mode, backend)
    if rule.weight_dtype is not None:
        edits["weight_dtype"] = decisions.weight_dtype_edit(rule.weight_dtype, backend)
    if rule.weight_qscheme is not None:
        edits["weight_qscheme"] = decisions.weight_scheme_edit(rule.weight_qscheme)
    if rule.weight_observer is not None:
        edits["weight_observer"] = decisions.weight_observer_edit(rule.weight_observer)
    if rule.activation_qscheme is not None:
        edits["activation_qscheme"] = decisions.activation_scheme_edit(rule.activation_qscheme)
    if rule.observer is not None:
        edits["observer"] = decisions.activation_observer_edit(rule.observer)
    for step in STEPS:
        wanted = getattr(rule, step)
        if wanted is not None:
            edits[step] = decisions.step_edit(step, wanted, backend)
    return edits


def _means_nothing(setting: str, layer: Layer, rule: Rule) -> bool:
    """Whether a setting is about something that a layer does not have, so that nobody misses it there."""
    if setting == "mode":
        return layer.kind == "input"
    if setting in {"observer", "activation_qscheme"}:
        return not legality.has_activation(layer)
    return not legality.has_weight(layer) or (setting in STEPS and rule.mode is Mode.FLOAT)


def _why_other(rule: Rule, legal: Rule, layer: Layer, backend: str) -> list[str]:
    """Return in words what of a rule a layer may not have."""
    if rule == legal:
        return []
    told = []
    if rule.mode is not legal.mode:
        reason = legality.mode_reasons(layer, backend)[rule.mode]
        told.append(
            say(
                "it cannot be {mode} and is {legal_mode} instead. {reason}",
                mode=rule.mode,
                legal_mode=legal.mode,
                reason=reason,
            )
        )
    given, held = rule.weight, legal.weight
    if given.dtype != held.dtype:
        reason = legality.weight_dtypes(layer, legal.mode, backend)[given.dtype]
        told.append(_weight_words(given.dtype, held.dtype, reason))
    if given.qscheme != held.qscheme:
        reason = legality.weight_schemes(layer, legal.mode)[given.qscheme]
        told.append(_weight_words(given.qscheme, held.qscheme, reason))
    if given.observer != held.observer:
        reason = legality.weight_observers(layer, held)[given.observer.kind]
        told.append(_weight_words(given.observer.kind, held.observer.kind, reason))
    lost = len(rule.weight.channel_bounds) - len(legal.weight.channel_bounds)
    if lost:
        channels = layer.weight_shape[0] if layer.weight_shape else 0
        what = (
            say("One bound of a single channel is")
            if lost == 1
            else say("{lost} bounds of single channels are", lost=lost)
        )
        told.append(say("{what} left out: its weight has {channels} output channels.", what=what, channels=channels))
    told += [
        say(
            "{step} is left out. {step_reason}",
            step=step,
            step_reason=legality.step_reasons(layer, legal, backend)[step],
        )
        for step in STEPS
        if getattr(rule, step) and not getattr(legal, step)
    ]
    return told


def _weight_words(given: str, held: str, reason: str) -> str:
    return say(
        "its weight cannot be {given} and is {held} instead. {reason}", given=given, held=held, reason=reason
    ).strip()


def governing(recipe: Recipe, layer: Layer) -> tuple[PatternRule, ...]:
    """Return the patterns from which the rule of a layer comes, in their order; none where it has one of its own."""
    if layer.name not in recipe.underneath:
        return ()
    return tuple(rule for rule in recipe.patterns if patterns.matches(rule.pattern, layer))


def overruled(recipe: Recipe, layer: Layer) -> tuple[PatternRule, ...]:
    """Return the patterns that a rule of its own overrules for a layer."""
    if layer.name not in recipe.own_layers:
        return ()
    return tuple(rule for rule in recipe.patterns if patterns.matches(rule.pattern, layer))


def with_own_found(recipe: Recipe, advised: Mapping[str, Rule]) -> Recipe:
    """Return a recipe of before there were patterns with the layers known that were decided singly.

    Those are the ones whose rules are not the advised ones: had they all counted, no pattern could ever govern a layer.
    """
    if recipe.own is not None or recipe.patterns:
        return recipe
    own = frozenset(name for name, rule in recipe.rules.items() if advised.get(name) != rule)
    return msgspec.structs.replace(recipe, own=own)


def given_back(recipe: Recipe, names: Iterable[str], advised: Mapping[str, Rule]) -> Recipe:
    """Return a recipe in which nothing is decided for single layers any more; fit it to let patterns govern them."""
    names = frozenset(names)
    bare = recipe.without_patterns()
    rules = {**bare.rules, **{name: advised[name] for name in names if name in advised}}
    return msgspec.structs.replace(bare, rules=rules, own=bare.own_layers - names)


def travel_notes(recipe: Recipe, model: ModelReference) -> tuple[str, ...]:
    """Return what a person should know who uses a recipe for another model than the one it was made for."""
    made_for = recipe.model
    if not made_for.source or made_for == model:
        return ()
    first = say(
        "The recipe was made for {made_for} and is used for {model}: statistics and trained weights "
        "of the former do not come along, ranges come from a calibration of this model.",
        made_for=_model(made_for),
        model=_model(model),
    )
    notes = [first]
    fixed = [name for name, rule in recipe.rules.items() if _fixed(rule)]
    if fixed:
        what = say("has bounds that were") if len(fixed) == 1 else say("have bounds that were")
        notes.append(
            say(
                "{fixed} {what} typed or dragged for the other model; they hold here too: look at them.",
                fixed=_named(fixed),
                what=what,
            )
        )
    return tuple(notes)


def _fixed(rule: Rule) -> bool:
    kinds = {rule.activation.observer.kind, rule.weight.observer.kind}
    return ObserverKind.FIXED in kinds or bool(rule.weight.channel_bounds)


def _model(reference: ModelReference) -> str:
    return (
        say("{source} with {weights}", source=reference.source, weights=reference.weights)
        if reference.weights
        else reference.source
    )


def _told(rule: PatternRule, setting: str) -> str:
    only = PatternRule(rule.pattern, **{setting: getattr(rule, setting)})
    return patterns.settings_line(only)


def _all(reasons: Mapping[str, str]) -> str:
    first, reason = next(iter(reasons.items()))
    others = say(" and {count} more", count=len(reasons) - 1) if len(reasons) > 1 else ""
    return f"{first}{others}. {reason}"


def _named(names: Sequence[str]) -> str:
    more = say(" and {count} more", count=len(names) - _NAMED) if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
