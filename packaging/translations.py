"""Keeps the translations of the program up to date: `make translations`.

Every sentence of the program is a literal inside `tr` or `say`. They are gathered into
`resources/translations/LANGUAGE/LC_MESSAGES/qgui.po`, where people translate them, and compiled into the `.mo` beside
it, which the program reads.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from qgui.core.language import LANGUAGES, SOURCE_LANGUAGE
from qgui.core.resources import resources

ROOT = Path(__file__).resolve().parent.parent

#: Functions that translate their first argument.
KEYWORDS = {
    "say": None,
    "tr": None,
}

#: Where sentences stand: a folder, and how its files are read.
_PLACES = {"qgui": [("**.py", "python")], "resources/report": [("**.html", "jinja2")]}


def po_file(language: str) -> Path:
    """Return the file in which people translate."""
    return resources() / "translations" / language / "LC_MESSAGES" / "qgui.po"


def template() -> Catalog:
    """Return all sentences of the program, each with the files in which it stands."""
    gathered = Catalog(project="QGUI", charset="utf-8", fuzzy=False)
    for folder, methods in _PLACES.items():
        found = extract_from_dir(ROOT / folder, methods, keywords=KEYWORDS)
        for file, _line, message, comments, context in found:
            # Without line numbers, a change of the code leaves the catalogues alone.
            gathered.add(message, None, [(f"{folder}/{file}", None)], auto_comments=comments, context=context)
    return gathered


def translations(language: str) -> Catalog:
    """Return what is translated into a language."""
    path = po_file(language)
    if not path.is_file():
        return Catalog(locale=language, project="QGUI", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """Return the translations with the sentences that are new, and without those that are gone."""
    held, wanted = translations(language), template()
    catalog = Catalog(locale=language, project="QGUI", charset="utf-8", fuzzy=False)
    catalog.header_comment = f"# {LANGUAGES[language]}: the sentences of QGUI. `make translations` keeps it up to date."
    for message in wanted:
        if message.id:
            known = held.get(message.id, message.context)
            text = known.string if known is not None and not known.fuzzy else ""
            places = sorted(set(message.locations))
            catalog.add(message.id, text, places, auto_comments=message.auto_comments, context=message.context)
    return catalog


def as_text(catalog: Catalog) -> bytes:
    """Return a catalogue as people translate it, the same text for the same sentences."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=120, omit_header=False, sort_output=True)
    kept = [line for line in buffer.getvalue().splitlines(keepends=True) if not line.startswith(_VOLATILE)]
    return b"".join(kept)


def compiled(catalog: Catalog) -> bytes:
    """Return a catalogue as the program reads it."""
    # The same bytes for the same sentences, whenever they are compiled.
    catalog.creation_date = catalog.revision_date = datetime.fromtimestamp(0, tz=UTC)
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


#: Lines of the header that would change with each run.
_VOLATILE = (b'"POT-Creation-Date', b'"PO-Revision-Date', b'"Generated-By')


def main() -> int:
    """Update and compile all languages; return 1 where sentences are not translated yet."""
    missing = 0
    for language in LANGUAGES:
        if language == SOURCE_LANGUAGE:
            continue
        catalog = updated(language)
        path = po_file(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_text(catalog))
        path.with_suffix(".mo").write_bytes(compiled(translations(language)))
        untranslated = [message.id for message in catalog if message.id and not message.string]
        missing += len(untranslated)
        print(f"{language}: {len(catalog)} sentences, {len(untranslated)} not translated")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
