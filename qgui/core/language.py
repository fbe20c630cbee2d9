"""The language in which the program speaks, and its sentences in it.

A process speaks one language from its start to its end, so that sentences which are made while a module is loaded and
those made later agree. The window chooses it before it loads anything else, and the worker is told by the environment.
"""

from __future__ import annotations

import functools
import gettext
import os

from qgui.core.resources import resources

#: Names the language of a process, for instance `zh_CN`.
VARIABLE = "QGUI_LANGUAGE"

#: What people call the languages, by name as in `QLocale.name()`.
LANGUAGES = {"en": "English", "zh_CN": "简体中文"}

#: Sentences are written in it, so it needs no catalogue.
SOURCE_LANGUAGE = "en"

_DOMAIN = "qgui"


@functools.cache
def language() -> str:
    """Return the language of this process; English where nothing or an unknown one was asked for."""
    asked = os.environ.get(VARIABLE, "")
    return asked if asked in LANGUAGES else SOURCE_LANGUAGE


def say(text: str, /, **values: object) -> str:
    """Return a sentence in the language of this process.

    Args:
        text: The English sentence, a literal, with `{name}` (and a format, as in `{share:.1f}`) where a value stands.
        values: The values. Without any, the braces of the text are left as they are.
    """
    told = _told(text)
    return told.format(**values) if values else told


@functools.cache
def _told(text: str) -> str:
    return catalogue(language()).gettext(text)


@functools.cache
def catalogue(name: str) -> gettext.NullTranslations:
    """Return the sentences of a language, as gettext keeps them.

    Args:
        name: One of `LANGUAGES`.

    Raises:
        OSError: The catalogue is not installed.
    """
    if name == SOURCE_LANGUAGE:
        return gettext.NullTranslations()
    return gettext.translation(_DOMAIN, resources() / "translations", [name])
