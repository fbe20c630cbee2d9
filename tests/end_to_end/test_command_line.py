"""The command line: what it prints, what it writes, how it fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import DIGITS, QUICK, Outcome, as_process

from qgui import cli
from qgui.core import recipe_file
from qgui.core.recipe import Mode, ObserverKind, Recipe, Rule

Run = Callable[..., Outcome]
OBSERVERS = {kind.value for kind in ObserverKind} - {"fixed"}

pytestmark = pytest.mark.skipif("x86" not in torch.backends.quantized.supported_engines, reason="runs on x86 only")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with what it holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- A whole run -----------------------------------------------------------------------------------------------------


def test_quantize_prints_one_json_object_with_the_promised_keys(finished: tuple[Outcome, Path]) -> None:
    outcome, _ = finished
    assert outcome.code == 0, outcome.err
    found = outcome.json
    for side in ("float", "quantized"):
        assert found[side]["accuracy"].keys() >= {"top1", "samples"}
        assert found[side]["latency_ms"].keys() >= {"median", "p95", "runs"}
        assert found[side]["size_bytes"] > 0
    assert found["accuracy_delta"].keys() >= {"value", "low", "high"}
    assert found["accuracy_delta"]["low"] <= found["accuracy_delta"]["value"] <= found["accuracy_delta"]["high"]
    assert found.keys() >= {"speedup", "output_sqnr_db", "backend", "threads", "layers", "exports", "recipe_hash"}
    assert (found["backend"], found["threads"]) == ("x86", 1)
    assert found["speedup"] == pytest.approx(
        found["float"]["latency_ms"]["median"] / found["quantized"]["latency_ms"]["median"]
    )
    assert found["runtimes"] is None
    for entry in found["slow_layers"]:
        assert entry.keys() >= {"name", "type", "float_ms", "quantized_ms", "lost_ms", "cause", "reason", "ways"}
    for island in found["islands"]:
        assert island.keys() >= {"layers", "dequantize_ms", "work_ms", "quantize_ms", "total_ms", "reason"}
    for layer in found["layers"]:
        keys = {"name", "type", "mode", "scale", "zero_point", "weight_granularity", "observer"}
        assert layer.keys() >= keys
    for export in found["exports"]:
        assert export.keys() >= {"format", "path", "size_bytes", "verified", "max_abs_diff"}


def test_the_quantized_example_is_nearly_as_good_and_smaller(finished: tuple[Outcome, Path]) -> None:
    found = finished[0].json
    assert found["float"]["accuracy"]["top1"] >= 0.97 - 0.03
    assert found["accuracy_delta"]["value"] >= -0.05
    assert found["output_sqnr_db"] > 20.0
    assert found["quantized"]["size_bytes"] < 0.5 * found["float"]["size_bytes"]


def test_every_export_lies_where_it_is_said_and_is_verified(finished: tuple[Outcome, Path]) -> None:
    outcome, folder = finished
    exports = {export["format"]: export for export in outcome.json["exports"]}
    assert set(exports) == {"torchscript", "script", "recipe"}
    for export in exports.values():
        assert export["verified"], export
        assert Path(export["path"]).is_file()
        assert folder in Path(export["path"]).parents
    assert exports["torchscript"]["max_abs_diff"] == 0.0
    assert exports["script"]["max_abs_diff"] == 0.0


def test_the_run_leaves_recipe_report_and_split(finished: tuple[Outcome, Path]) -> None:
    outcome, folder = finished
    recipe = recipe_file.load(folder / "recipe.json")
    assert recipe.digest() == outcome.json["recipe_hash"]
    assert (folder / "report.html").read_text().startswith("<!doctype html")
    split = outcome.json["split"]
    assert len(split["calibration"]) == 32
    assert len(split["evaluation"]) == 48
    assert not set(split["calibration"]) & set(split["evaluation"])
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_torchscript_computes_the_same_without_the_program(finished: tuple[Outcome, Path]) -> None:
    _, folder = finished
    program = (
        "import sys, torch\n"
        "torch.backends.quantized.engine = 'x86'\n"
        "out = torch.jit.load(sys.argv[1])(torch.zeros(2, 1, 8, 8))\n"
        "assert out.shape == (2, 10), out.shape\n"
        "assert 'qgui' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(folder / "model.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_the_script_is_plain_pytorch_and_runs_alone(finished: tuple[Outcome, Path]) -> None:
    _, folder = finished
    scripts = [path for path in (folder / "script").rglob("*.py") if "import qgui" in path.read_text()]
    assert not scripts
    assert not any("from qgui" in path.read_text() for path in (folder / "script").rglob("*.py"))


def test_scale_and_zero_point_in_torchscript_are_those_told(finished: tuple[Outcome, Path]) -> None:
    outcome, folder = finished
    graph = torch.jit.load(str(folder / "model.pt")).inlined_graph
    nodes = [node for node in graph.nodes() if node.kind().startswith("quantized::")]
    found = [tuple(value.toIValue() for value in list(node.inputs())[-2:]) for node in nodes]
    quantizing = ("Conv2d", "Linear", "add")
    told = [(x["scale"], x["zero_point"]) for x in outcome.json["layers"] if x["type"] in quantizing]
    assert len(told) > 20
    assert found == told


def test_a_finished_run_is_exported_again(finished: tuple[Outcome, Path], qgui: Run, tmp_path: Path) -> None:
    _, folder = finished
    before = contents(folder)
    outcome = qgui("export", str(folder), "--format", "torchscript", "--out", str(tmp_path / "again"), "--json")
    assert outcome.code == 0, outcome.err
    (export,) = outcome.json["exports"]
    assert export["verified"]
    assert outcome.json["recipe_hash"] == finished[0].json["recipe_hash"]
    assert contents(folder) == before
    left, right = (torch.jit.load(str(path / "model.pt")) for path in (folder, tmp_path / "again"))
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(left(images), right(images))


def test_an_edited_recipe_is_carried_out(finished: tuple[Outcome, Path], qgui: Run, tmp_path: Path) -> None:
    _, folder = finished
    recipe = recipe_file.load(folder / "recipe.json")
    edited = recipe.with_rules({"stem.0": Rule(Mode.FLOAT), "classifier": Rule(Mode.DYNAMIC)})
    recipe_file.save(edited, tmp_path / "edited.json")
    arguments = (*DIGITS, *QUICK, "--recipe", str(tmp_path / "edited.json"), "--format", "recipe")
    outcome = qgui("quantize", *arguments, "--out", str(tmp_path / "out"), "--json")
    assert outcome.code == 0, outcome.err
    modes = {layer["name"]: layer["mode"] for layer in outcome.json["layers"]}
    assert (modes["stem.0"], modes["classifier"], modes["blocks.0.expand.0"]) == ("float", "dynamic", "static")


@pytest.mark.parametrize("mode", ["dynamic", "qat"])
def test_every_mode_runs(mode: str, qgui: Run, tmp_path: Path) -> None:
    model = "example:digits-lstm" if mode == "dynamic" else "example:digits-cnn"
    arguments = (model, "--data", "example:digits", *QUICK, "--mode", mode, "--format", "recipe")
    outcome = qgui("quantize", *arguments, "--out", str(tmp_path / "out"), "--json")
    assert outcome.code == 0, outcome.err
    assert mode in {layer["mode"] for layer in outcome.json["layers"]}
    assert outcome.json["output_sqnr_db"] > 12.0


def test_a_run_over_another_run_s_folder_can_be_exported_again(qgui: Run, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"), "--format", "recipe")
    assert qgui("quantize", *DIGITS, *QUICK, "--mode", "static", *out).code == 0
    lstm = ("example:digits-lstm", "--data", "example:digits")
    assert qgui("quantize", *lstm, *QUICK, "--mode", "dynamic", *out).code == 0
    outcome = qgui("export", str(tmp_path / "out"), "--format", "recipe", "--json")
    assert outcome.code == 0, outcome.err


# --- Layers and ranges -----------------------------------------------------------------------------------------------


def test_layers_prints_one_json_object_with_the_promised_keys(qgui: Run) -> None:
    outcome = qgui("layers", "example:digits-cnn", "--backend", "x86", "--json")
    assert outcome.code == 0, outcome.err
    rows = {row["name"]: row for row in outcome.json["layers"]}
    for row in rows.values():
        assert row.keys() >= {"name", "type", "parameters", "modes", "reasons"}
        assert set(row["modes"]) | set(row["reasons"]) == {"float", "dynamic", "static", "qat"}
        assert not set(row["modes"]) & set(row["reasons"])
    assert rows["stem.0"]["modes"] == ["float", "static", "qat"]
    assert "Fused into stem.0" in rows["stem.1"]["reasons"]["static"]


def test_layers_for_a_person_are_a_table(qgui: Run) -> None:
    outcome = qgui("layers", "example:digits-lstm")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split()[:2] == ["layer", "type"]
    assert "lstm" in outcome.out


def test_ranges_prints_every_tensor_and_every_observer(qgui: Run) -> None:
    outcome = qgui("ranges", *DIGITS, "--calibrate", "16", "--json")
    assert outcome.code == 0, outcome.err
    tensors = outcome.json["tensors"]
    assert {tensor["kind"] for tensor in tensors} == {"activation", "weight"}
    for tensor in tensors:
        assert tensor.keys() >= {"name", "kind", "shape", "dtype", "qscheme", "observers"}
        assert set(tensor["observers"]) == OBSERVERS
        for numbers in tensor["observers"].values():
            assert numbers.keys() == {"min", "max", "scale", "zero_point", "sqnr_db", "clipped"}
            assert np.all(np.asarray(numbers["min"]) <= 0.0)
            assert np.all(np.asarray(numbers["scale"]) > 0.0)
            assert 0.0 <= numbers["clipped"] <= 1.0
    weight = next(tensor for tensor in tensors if tensor["name"] == "stem.0.weight")
    assert len(weight["observers"]["minmax"]["scale"]) == 24


def test_ranges_as_a_process_keep_standard_output_for_the_result(tmp_path: Path) -> None:
    file = tmp_path / "talking.py"
    file.write_text(
        "import os\n"
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x)\n"
        "def model():\n"
        "    print('a library that talks')\n"
        "    os.write(1, b'past Python too')\n"
        "    return Net(nn.Linear(4, 3), nn.ReLU())\n"
        "def data():\n"
        "    print('data that talks')\n"
        "    return [(torch.randn(8, 4), torch.zeros(8))]\n"
    )
    outcome = as_process("ranges", f"{file}:model", "--data", f"{file}:data", "--calibrate", "4", "--json")
    assert outcome.code == 0, outcome.err
    assert len(outcome.json["tensors"]) == 3
    assert "talks" in outcome.err
    assert "Warning" not in outcome.err


# --- Failures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def truncated(tmp_path: Path) -> Path:
    path = tmp_path / "truncated.pt"
    torch.save(torch.zeros(1000), path)
    path.write_bytes(path.read_bytes()[:500])
    return path


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("layers", "nowhere.pt"), "there is no file nowhere.pt"),
        (("layers", "example:nothing"), "there is no example"),
        (("layers", "torchvision:nothing"), "torchvision has no model"),
        (("layers", "example:digits-cnn", "--weights", "nowhere.safetensors"), "there is no file"),
        (("layers", "example:digits-cnn", "--data", "random:1x3x9"), "forward raised"),
        (("ranges", "example:digits-cnn", "--data", "nowhere.npz"), "there is no file"),
        (("ranges", "example:digits-cnn", "--data", "example:letters"), "no example data"),
        (("export", "nowhere", "--format", "recipe"), "holds no recipe.json"),
    ],
)
def test_a_failure_is_one_clear_line(arguments: tuple[str, ...], why: str, qgui: Run) -> None:
    outcome = qgui(*arguments, "--json")
    assert why in outcome.failure
    assert "Traceback" not in outcome.err


def test_a_damaged_file_is_one_clear_line(truncated: Path, qgui: Run) -> None:
    assert "is damaged" in qgui("layers", str(truncated)).failure
    assert "is damaged" in qgui("layers", "example:digits-cnn", "--weights", str(truncated)).failure


def test_weights_that_do_not_fit_are_one_clear_line(qgui: Run, tmp_path: Path) -> None:
    torch.save({"stem.0.weight": torch.zeros(1), "stranger": torch.zeros(1)}, tmp_path / "w.pt")
    told = qgui("layers", "example:digits-cnn", "--weights", str(tmp_path / "w.pt")).failure
    assert "does not fit the model" in told
    assert "stranger" in told


def test_a_file_that_holds_code_opens_with_trust_alone(qgui: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2)), path)
    assert "--trust" in qgui("layers", str(path)).failure
    assert qgui("layers", str(path), "--trust", "--json").json["layers"]


def test_debug_adds_the_traceback(qgui: Run) -> None:
    for arguments in (("--debug", "layers", "nowhere.pt"), ("layers", "nowhere.pt", "--debug")):
        outcome = qgui(*arguments)
        assert outcome.code == 1
        assert "Traceback" in outcome.err
        assert outcome.err.splitlines()[-1].startswith("qgui: Could not open the model")


@pytest.mark.parametrize(
    "arguments",
    [
        ("ranges", "example:digits-cnn"),
        ("quantize", *DIGITS),
        ("quantize", *DIGITS, "--out", "x", "--mode", "float"),
        ("quantize", *DIGITS, "--out", "x", "--mode", "static", "--recipe", "r.json"),
        ("ranges", *DIGITS, "--calibrate", "0"),
        ("ranges", *DIGITS, "--mean", "1,2"),
        ("levitate",),
    ],
)
def test_wrong_usage_ends_with_two(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: qgui" in captured.err


def test_version_and_help_come_without_torch() -> None:
    version, usage = as_process("--version"), as_process("--help")
    assert version.code == usage.code == 0
    assert version.out.startswith("qgui ")
    for command in ("layers", "ranges", "quantize", "export"):
        assert command in usage.out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--backend", "abacus"), "no engine 'abacus'"),
        (("--format", "floppy"), "no format 'floppy'"),
        (("--recipe", "nowhere.json"), "nowhere.json"),
        (("--metric", "nowhere.py:f"), "nowhere.py"),
    ],
)
def test_a_quantize_that_fails_leaves_earlier_files_as_they_were(
    arguments: tuple[str, ...], why: str, qgui: Run, tmp_path: Path
) -> None:
    (tmp_path / "recipe.json").write_bytes(recipe_file.encode(Recipe()))
    (tmp_path / "model.pt").write_bytes(b"an earlier model")
    before = contents(tmp_path)
    mode = () if "--recipe" in arguments else ("--mode", "static")
    outcome = qgui("quantize", *DIGITS, *QUICK, *mode, *arguments, "--out", str(tmp_path))
    assert why in outcome.failure
    assert contents(tmp_path) == before


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "broken", ["torch.jit.RecursiveScriptModule.save", "tempfile.mkdtemp", "torch.save", "os.fsync"]
)
def test_a_full_disk_at_export_leaves_earlier_files_as_they_were(
    broken: str, qgui: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.json").write_bytes(b"{}")
    (tmp_path / "model.pt").write_bytes(b"an earlier model")
    before = contents(tmp_path)
    monkeypatch.setattr(broken, _no_space)
    format_ = "recipe" if broken == "os.fsync" else "torchscript"
    arguments = (*DIGITS, *QUICK, "--mode", "static", "--format", format_)
    outcome = qgui("quantize", *arguments, "--out", str(tmp_path))
    assert "No space left on device" in outcome.failure
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "recipe.json"]


def test_a_folder_that_is_a_file_is_told(qgui: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    outcome = qgui(
        "quantize", *DIGITS, *QUICK, "--mode", "static", "--format", "recipe", "--out", str(tmp_path / "out")
    )
    assert "Could not export" in outcome.failure
    assert (tmp_path / "out").read_text() == "a file"
