import ast
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging_scripts import PACKAGING, loaded
from PIL import Image

import qgui
from qgui.core import extras, formats
from qgui.core.resources import resources


@pytest.fixture(scope="module")
def bundled() -> ModuleType:
    return loaded("bundled")


def test_every_resource_lies_in_the_bundle_where_the_program_looks_for_it(bundled: ModuleType) -> None:
    in_bundle = {Path(folder) / Path(source).name for source, folder in bundled.resource_files()}
    files = [path for path in resources().rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} >= {".svg", ".md", ".html", ".css", ".safetensors", ".py", ".txt"}
    assert in_bundle == {Path("qgui", "resources", path.relative_to(resources())) for path in files}


def test_every_module_of_qgui_is_in_the_bundle(bundled: ModuleType) -> None:
    found = {"qgui"} | {module.name for module in pkgutil.walk_packages(qgui.__path__, "qgui.")}
    assert set(bundled.own_modules()) == found


def test_the_modules_that_a_model_may_import_are_in_the_bundle(bundled: ModuleType) -> None:
    assert {"csv", "dataclasses", "sqlite3", "xml", "zoneinfo"} <= set(bundled.standard_modules())


def test_whatever_the_examples_import_is_in_the_bundle(bundled: ModuleType) -> None:
    imported = set()
    for path in resources().rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            imported |= {name.partition(".")[0] for name in names}
    neighbours = {path.stem for path in resources().rglob("*.py")}
    assert "sklearn" in imported
    assert imported <= {"torch", "qgui", *bundled.FOR_MODELS} | neighbours | sys.stdlib_module_names


def test_all_that_qgui_requires_is_in_the_bundle_and_the_test_tools_are_not(bundled: ModuleType) -> None:
    project = tomllib.loads((PACKAGING.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {line.split(">")[0].split("[")[0].lower() for line in project["dependencies"]}
    left_out = set(bundled.left_out())
    assert names <= bundled.packages_of()
    assert not {"torch", "torchvision", "numpy", "sklearn", "PIL", "PySide6", "jinja2", "google", "qgui"} & left_out
    assert {"pytest", "mypy", "hypothesis", "nvidia", "triton"} <= left_out


def test_a_bundle_is_tried_with_every_format_that_needs_no_extra() -> None:
    assert set(loaded("smoke").FORMATS) == {form.key for form in formats.FORMATS if not form.package}


def test_a_web_engine_keeps_the_libraries_of_qt_quick(bundled: ModuleType) -> None:
    names = ("PySide6/Qt/lib/libQt6Quick.so.6", "PySide6/Qt/plugins/imageformats/libqpdf.so", "torch/lib/libtorch.so")
    files = [(name, f"/{name}", "BINARY") for name in names]
    assert [name for name, *_ in bundled.opened(files, web_engine=False)] == ["torch/lib/libtorch.so"]
    assert [name for name, *_ in bundled.opened(files, web_engine=True)] == [names[0], names[2]]


def test_the_program_runs_a_script_with_its_neighbours_as_python_would(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("word = 'heard'")
    (tmp_path / "script.py").write_text("import sys, neighbour\nprint(neighbour.word, *sys.argv[1:], __name__)")
    command = [sys.executable, "-m", "qgui", "--python", str(tmp_path / "script.py"), "one", "two"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["heard", "one", "two", "__main__"]


@pytest.mark.parametrize("arguments", [[], ["-m"]])
def test_the_program_asks_for_a_script_where_none_is_named(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qgui", "--python", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "name a script" in done.stderr


@pytest.mark.usefixtures("qapp")
def test_icons_are_drawn_for_every_desktop(tmp_path: Path) -> None:
    icons = loaded("icons")
    icons.write_icons(tmp_path)
    for edge in icons.SIZES:
        with Image.open(tmp_path / f"hicolor/{edge}x{edge}/apps/qgui.png") as image:
            assert image.size == (edge, edge)
            shares = image.convert("RGBA").getchannel("A").histogram()
            assert shares[255] > 0.8 * edge * edge
    with Image.open(tmp_path / "qgui.ico") as image:
        assert {(16, 16), (32, 32), (256, 256)} <= image.info["sizes"]
    with Image.open(tmp_path / "qgui.icns") as image:
        assert (512, 512, 2) in image.info["sizes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hicolor", "qgui.icns", "qgui.ico"]


def test_a_bundle_does_not_ask_for_a_package_it_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extras.how_to_install("openvino") == "Install it with: pip install 'qgui[openvino]'"
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert extras.how_to_install("openvino").startswith("This bundle cannot take it in.")
