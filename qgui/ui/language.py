"""The language of the window: which one the person wishes, and Qt's texts in it."""

from __future__ import annotations

import os

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from qgui.core.language import LANGUAGES, SOURCE_LANGUAGE, VARIABLE, catalogue, language
from qgui.ui import settings as options
from qgui.ui.settings import Settings


class CatalogueTranslator(QTranslator):
    """Lets `tr` find its texts in the same catalogue as the sentences of the engine.

    A text is translated alike wherever it stands, so the context is not asked.

    Args:
        name: The language, as in `LANGUAGES`.
        parent: Qt parent.
    """

    def __init__(self, name: str, parent: QCoreApplication) -> None:
        super().__init__(parent)
        self._catalogue = catalogue(name)

    def isEmpty(self) -> bool:
        return False

    def translate(self, context: str, source: str, disambiguation: str | None = None, n: int = -1) -> str:
        # The empty sentence is the header of the catalogue.
        return self._catalogue.gettext(source) if source else source


def choose(settings: Settings) -> None:
    """Let this process, and the worker that it starts, speak the language that the person wishes.

    Call it before the modules of the window are loaded. Where the environment names a language, that holds.
    """
    os.environ.setdefault(VARIABLE, wished(settings.get(options.LANGUAGE)))


def wished(preference: str) -> str:
    """Return the language for a preference; for none that of the system, and English where that is not spoken here."""
    return preference if preference in LANGUAGES else of_system(QLocale.system().uiLanguages())


def of_system(spoken: list[str]) -> str:
    """Return the first language that a person reads and the program speaks.

    Args:
        spoken: What the system names, best first, for instance `zh-Hans-CN` or `de-DE`.
    """
    for name in spoken:
        locale = QLocale(name)
        if locale.language() is QLocale.Language.Chinese and locale.script() is QLocale.Script.SimplifiedHanScript:
            return "zh_CN"
        if locale.language() is QLocale.Language.English:
            return SOURCE_LANGUAGE
    return SOURCE_LANGUAGE


def install(application: QCoreApplication) -> None:
    """Let texts and numbers of the window, and those of Qt's own dialogs, be told in the language of this process."""
    name = language()
    if name == SOURCE_LANGUAGE or application.findChild(CatalogueTranslator) is not None:
        return
    QLocale.setDefault(QLocale(name))
    # The one that is installed last is asked first: Qt's own knows its own contexts only.
    application.installTranslator(CatalogueTranslator(name, application))
    of_qt = QTranslator(application)
    if of_qt.load(f"qtbase_{name}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
        application.installTranslator(of_qt)
