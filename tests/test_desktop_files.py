import configparser
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from qgui.core.language import LANGUAGES, SOURCE_LANGUAGE

PACKAGING = Path(__file__).resolve().parent.parent / "packaging"
ENTRY = PACKAGING / "qgui.desktop"
METADATA = PACKAGING / "io.github.qgui.QGUI.metainfo.xml"


def _validator(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {package})")
    return found


def test_the_desktop_entry_is_valid() -> None:
    command = [_validator("desktop-file-validate", "desktop-file-utils"), str(ENTRY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_appstream_metadata_is_valid() -> None:
    command = [_validator("appstreamcli", "appstream"), "validate", "--no-net", "--no-color", str(METADATA)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:"))]


def test_the_metadata_tells_of_the_desktop_entry_and_its_icon() -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[assignment, method-assign]
    entry.read(ENTRY, encoding="utf-8")
    metadata = ElementTree.parse(METADATA).getroot()
    assert metadata.findtext("launchable") == ENTRY.name
    assert metadata.findtext("icon") == entry["Desktop Entry"]["Icon"] == "qgui"
    assert metadata.findtext("summary") == entry["Desktop Entry"]["Comment"]
    assert METADATA.name == f"{metadata.findtext('id')}.metainfo.xml"


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != SOURCE_LANGUAGE])
def test_desktop_entry_and_metadata_are_told_in_every_language(language: str) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[assignment, method-assign]
    entry.read(ENTRY, encoding="utf-8")
    texts = entry["Desktop Entry"]
    assert {f"{key}[{language}]" for key in ("Name", "GenericName", "Comment", "Keywords")} <= set(texts)
    metadata = ElementTree.parse(METADATA).getroot()
    spoken = "{http://www.w3.org/XML/1998/namespace}lang"
    summaries = {element.get(spoken): element.text for element in metadata.iter("summary")}
    assert summaries[language] == texts[f"Comment[{language}]"]
    paragraphs = [element.get(spoken) for element in metadata.iter("p")]
    assert paragraphs.count(language) == paragraphs.count(None)
