"""Exporting: all files come into place together, or none."""

from pathlib import Path

import onnx
import psutil
import pytest
import torch
from onnx import numpy_helper
from sessions import QUIET, Calibrated, recipe_of, session_of
from torch import nn

from qgui.core import formats
from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import Mode
from qgui.engine import export, onnx_model
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


ALL = ("torchscript", "onnx", "openvino", "float-onnx", "script", "recipe")


def test_every_format_is_verified_by_its_own_runtime(calibrated: Calibrated, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    session = calibrated("clamped")
    session.quantize(recipe_of(session), QUIET)
    results = {result.format: result for result in export.export(session, tmp_path, ALL, QUIET)}
    assert [key for key, result in results.items() if not result.verified] == []
    assert {path.name for path in tmp_path.iterdir()} == {formats.BY_KEY[key].file for key in ALL}
    for key in ("torchscript", "onnx", "openvino", "float-onnx", "script"):
        result = results[key]
        assert result.samples
        assert result.agreement is not None
        assert result.agreement > 0.9
        assert result.sqnr_db is not None
        assert result.sqnr_db > 25.0
        assert result.latency_ms is not None
    assert results["script"].max_abs_diff == results["torchscript"].max_abs_diff == 0.0


def test_a_file_that_computes_something_else_is_an_error_with_the_first_layer_that_does(
    calibrated: Calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    write = onnx_model.write_quantized

    def damaged(session: Session, path: Path) -> None:
        write(session, path)
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if tensor.name == "blocks.1.first.0.weight":
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        onnx.save(model, path)

    monkeypatch.setattr(onnx_model, "write_quantized", damaged)
    (result,) = export.export(session, tmp_path, ["onnx"], QUIET)
    assert not result.verified
    assert result.parting_layer == "blocks.1.first.0"
    assert "first layer where they part: blocks.1.first.0" in result.message


def test_a_format_that_cannot_carry_the_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    session = session_of(nn.Sequential(nn.GRU(12, 4), nn.Identity()).eval(), torch.randn(4, 3, 12), calibrate=False)
    session.quantize(recipe_of(session, Mode.DYNAMIC), QUIET)
    with pytest.raises(QguiError, match="ONNX Runtime has no int8 GRU: 0"):
        export.export(session, tmp_path / "out", ["torchscript", "onnx"], QUIET)
    assert not (tmp_path / "out").exists()


def test_a_missing_runtime_is_told_with_what_installs_it(
    calibrated: Calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = calibrated("clamped")
    session.quantize(recipe_of(session), QUIET)
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    with pytest.raises(QguiError, match=r"openvino is not installed.*qgui\[openvino\]"):
        export.export(session, tmp_path, ["openvino"], QUIET)


def test_a_full_disk_while_onnx_is_written_leaves_earlier_files(
    exported: tuple[Session, Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, folder, before = exported

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(QguiError, match="No space left on device"):
        export.export(session, folder, ["recipe", "onnx"], QUIET)
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]
    assert (folder / "recipe.json").read_bytes() == before


def test_a_place_that_is_no_folder_is_told(exported: tuple[Session, Path, bytes]) -> None:
    session, folder, _ = exported
    with pytest.raises(QguiError, match=r"Could not export to .*recipe.json"):
        export.export(session, folder / "recipe.json", ["recipe"], QUIET)


def test_files_are_replaced_all_together_or_not_at_all(
    exported: tuple[Session, Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, folder, before = exported
    rename = Path.rename

    def failing(source: Path, target: Path) -> Path:
        if source.parent.name == "ready" and source.name == "script":
            raise OSError(5, "Input/output error")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(QguiError, match="Input/output error"):
        export.export(session, folder, ["recipe", "script"], QUIET)
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]
    assert (folder / "recipe.json").read_bytes() == before
