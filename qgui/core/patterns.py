"""Rules by pattern: which layers they match, and how a person writes them in a line.

A pattern matches a layer whose type it names exactly (`Conv2d`), or whose path it describes as a glob (`layer3.*`,
where `*` also spans dots). `type:Conv*` and `path:add` say which of the two is meant; a glob of types needs the former.
Upper and lower case differ.

A line is `PATTERN=SETTING,SETTING,...`, for instance `layer3.*=float` or `Conv2d=static,observer=percentile:99.9`.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable
from typing import Any, get_args

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import (
    STEPS,
    ActivationScheme,
    Mode,
    Observer,
    ObserverKind,
    PatternRule,
    WeightDtype,
    WeightScheme,
)

_TYPE, _PATH = "type:", "path:"
_HINT = say("Write PATTERN=SETTING,SETTING, for instance layer3.*=float or Conv2d=static,observer=mse.")
#: Number of parameters that may follow an observer, and the fields they fill.
_PARAMETERS = {
    ObserverKind.MOVING_AVERAGE: ("averaging_constant",),
    ObserverKind.PERCENTILE: ("percentile",),
    ObserverKind.FIXED: ("low", "high"),
}
_SWITCH = {"on": True, "off": False}


def matches(pattern: str, layer: Layer) -> bool:
    """Whether a pattern describes a layer, by its type or by its path."""
    if pattern.startswith(_TYPE):
        return _glob(pattern.removeprefix(_TYPE)).match(layer.type) is not None
    if pattern.startswith(_PATH):
        return _glob(pattern.removeprefix(_PATH)).match(layer.name) is not None
    return pattern == layer.type or _glob(pattern).match(layer.name) is not None


@functools.lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def parsed(line: str) -> PatternRule:
    """Return the rule that a line describes.

    Raises:
        QguiError: The line has no pattern or no setting, or names a setting or value that there is not.
    """
    pattern, separator, rest = line.partition("=")
    pattern = pattern.strip()
    if not separator or not pattern:
        missing = say("'=' between the pattern and its settings") if pattern else say("pattern")
        raise _unreadable(line, say("it has no {missing}", missing=missing))
    settings: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator:
            key, value = "mode", key
        if key not in _READERS:
            raise _unreadable(
                line, say("there is no setting '{key}'; there are {readers}", key=key, readers=", ".join(_READERS))
            )
        try:
            settings[key] = _READERS[key](value)
        except ValueError as error:
            raise _unreadable(
                line, say("{key} cannot be '{value}': {error}", key=key, value=value, error=error)
            ) from error
    if not settings:
        raise _unreadable(line, say("it sets nothing"))
    return PatternRule(pattern, **settings)


def settings_line(rule: PatternRule) -> str:
    """Return what a rule sets, as a person writes it: `static, observer=mse`."""
    parts = [rule.mode.value] if rule.mode is not None else []
    for key in _READERS:
        value = getattr(rule, key)
        if key == "mode" or value is None:
            continue
        if isinstance(value, bool):
            value = "on" if value else "off"
        parts.append(f"{key}={_observer_text(value) if isinstance(value, Observer) else value}")
    return ", ".join(parts)


def line_of(rule: PatternRule) -> str:
    """Return the line that describes a rule; `parsed` reads it again."""
    return f"{rule.pattern}={settings_line(rule).replace(', ', ',')}"


def _unreadable(line: str, why: str) -> QguiError:
    return QguiError(say("Could not read the rule '{line}'", line=line), why, _HINT)


def _one_of(values: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(say("choose from {values}", values=", ".join(values)))
        return text

    return read


def _mode(text: str) -> Mode:
    return Mode(_one_of(tuple(mode.value for mode in Mode))(text))


def _switch(text: str) -> bool:
    return _SWITCH[_one_of(tuple(_SWITCH))(text)]


def _observer(text: str) -> Observer:
    name, *numbers = text.split(":")
    kind = ObserverKind(_one_of(tuple(kind.value for kind in ObserverKind))(name))
    fields = _PARAMETERS.get(kind, ())
    needed = len(fields) if kind is ObserverKind.FIXED else 0
    if not needed <= len(numbers) <= len(fields):
        example = ":".join([kind.value, *fields])
        why = (
            say("write it as {example}", example=example) if fields else say("{kind} takes no number", kind=kind.value)
        )
        raise ValueError(why)
    return Observer(kind, **dict(zip(fields, map(float, numbers), strict=False)))


def _observer_text(observer: Observer) -> str:
    fields = _PARAMETERS.get(observer.kind, ())
    start = Observer(observer.kind)
    told = observer.kind is ObserverKind.FIXED or any(getattr(observer, f) != getattr(start, f) for f in fields)
    return ":".join([observer.kind.value, *(repr(getattr(observer, field)) for field in fields if told)])


#: How each setting of a `PatternRule` is read, in the order in which they are told.
_READERS: dict[str, Callable[[str], Any]] = {
    "mode": _mode,
    "observer": _observer,
    "activation_qscheme": _one_of(get_args(ActivationScheme)),
    "weight_dtype": _one_of(get_args(WeightDtype)),
    "weight_qscheme": _one_of(get_args(WeightScheme)),
    "weight_observer": _observer,
    **dict.fromkeys(STEPS, _switch),
}
