"""Exporting: all files come into place together, or none."""

from pathlib import Path

import psutil
import pytest
from sessions import QUIET, Calibrated, recipe_of

from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import Mode
from qgui.engine import export
from qgui.engine.progress import Progress
from qgui.engine.session import Session


@pytest.fixture
def exported(calibrated: Calibrated, tmp_path: Path) -> tuple[Session, Path, bytes]:
    """A session whose recipe was exported before its decisions changed; the folder and what lies there."""
    session = calibrated("clamped")
    session.quantize(recipe_of(session), QUIET)
    export.export(session, tmp_path, ["recipe"], QUIET)
    session.quantize(recipe_of(session, Mode.FLOAT).with_rules({"fc": recipe_of(session).rules["fc"]}), QUIET)
    return session, tmp_path, (tmp_path / "recipe.json").read_bytes()


def test_cancelling_while_a_file_is_checked_leaves_earlier_files_and_no_process(
    exported: tuple[Session, Path, bytes],
) -> None:
    session, folder, before = exported
    told: list[int] = []
    children = psutil.Process().children()
    with pytest.raises(Cancelled):
        export.export(
            session,
            folder,
            ["recipe", "torchscript"],
            Progress(
                lambda _phase, done, *_: told.append(done),
                lambda: 1 in told and psutil.Process().children() != children,
            ),
        )
    assert psutil.Process().children() == children
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]
    assert (folder / "recipe.json").read_bytes() == before


def test_a_format_that_fails_leaves_earlier_files(
    exported: tuple[Session, Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, folder, before = exported

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export.WRITERS, "torchscript", full)
    with pytest.raises(QguiError, match="No space left on device"):
        export.export(session, folder, ["recipe", "torchscript"], QUIET)
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]
    assert (folder / "recipe.json").read_bytes() == before
