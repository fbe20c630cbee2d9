"""Float and int8 run in every runtime, are timed in one run, and a missing runtime is told."""

import importlib.util
from pathlib import Path

import pytest
import torch
from sessions import ENGINES, QUIET, Calibrated, recipe_of, session_of
from torch import nn

from qgui.core.errors import Cancelled, QguiError
from qgui.core.slowness import WayOut
from qgui.engine import machine, resident, runtimes, ways_out
from qgui.engine.progress import Progress
from qgui.engine.session import Session


@pytest.fixture
def quantized() -> Session:
    session = session_of(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 4)).eval(), torch.randn(6, 3, 12, 12)
    )
    session.quantize(recipe_of(session), QUIET)
    return session


def test_that_every_runtime_runs_both_models_and_gets_about_the_same_outputs(quantized: Session) -> None:
    table = runtimes.measure(quantized, QUIET, threads=1, batch_size=2, runs=2, with_memory=False)
    ran = {(row.runtime, row.subject, row.backend) for row in table.rows if row.latency is not None}
    assert {("eager", "float", ""), ("torchscript", "float", ""), ("optimized", "float", "")} <= ran
    assert {(key, "quantized", engine) for key in ("eager", "torchscript") for engine in ENGINES} <= ran
    assert {(key, subject, "") for key in machine.OTHER_RUNTIMES for subject in ("float", "quantized")
            if importlib.util.find_spec(key)} <= ran  # fmt: skip
    assert (table.threads, table.batch_size) == (1, 2)
    for row in table.rows:
        if row.latency is not None:
            assert row.latency.runs == 2
            assert row.sqnr_db is not None
            assert row.sqnr_db > (80.0 if row.subject == "float" else 20.0), row.name
            assert row.file_bytes


def test_that_memory_is_that_of_a_fresh_process_with_one_runtime(quantized: Session) -> None:
    table = runtimes.measure(quantized, QUIET, runs=1, only=lambda runtime: runtime.key == "onnxruntime")
    assert {row.subject for row in table.rows} == {"float", "quantized"}
    for row in table.rows:
        assert row.base_bytes is not None
        assert row.peak_bytes is not None
        assert 5e6 < row.base_bytes <= row.peak_bytes < 1e9


def test_that_a_runtime_which_is_not_installed_is_told_in_plain_words(
    quantized: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    table = runtimes.measure(quantized, QUIET, runs=1, only=lambda runtime: runtime.key == "openvino")
    assert [row.problem for row in table.rows] == ["OpenVINO is not installed. pip install openvino"] * 2
    with pytest.raises(QguiError, match="ONNX Runtime is not installed"):
        runtimes.load_elsewhere(quantized, "onnxruntime", "float", tmp_path, {}, 1)


def test_that_the_memory_of_a_file_that_cannot_be_loaded_is_a_problem_and_no_crash(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    np.savez(tmp_path / "inputs.npz", x=np.zeros(1, np.float32))
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    assert resident.main(["onnxruntime", str(tmp_path / "bad.onnx"), str(tmp_path / "inputs.npz"), "1"]) == 0
    assert "problem" in capfd.readouterr().out


def test_that_measuring_runtimes_can_be_cancelled(quantized: Session) -> None:
    with pytest.raises(Cancelled):
        runtimes.measure(quantized, Progress(cancelled=lambda: True), runs=1)


def test_that_another_runtime_is_measured_as_a_way_out(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    effect = ways_out.measure(session, recipe_of(session), WayOut("runtime", runtime="onnxruntime"), QUIET, runs=1)
    assert effect.problem == ""
    assert effect.after_ms is not None
