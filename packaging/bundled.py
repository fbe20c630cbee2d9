"""What goes into the bundle: files, modules, and what of the environment stays out. Read by `qgui.spec`."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Requirements of torch that a CPU does not need. What libtorch links to is collected all the same.
FOR_GPUS = ("nvidia", "triton", "cuda")
#: Requirements of torch that only compile extensions.
_FOR_COMPILERS = ("setuptools", "pkg_resources", "_distutils_hack")
#: Requirements that the examples and a person's own model and data may import, with every module.
FOR_MODELS = ("numpy", "onnx", "onnxruntime", "PIL", "safetensors", "scipy", "sklearn", "torchvision")
#: Modules of the standard library that no model needs.
_WITHOUT = {"antigravity", "ensurepip", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo", "venv"}
#: Libraries that PyInstaller finds by linkage and nobody opens: torch loads them for a GPU, Qt for a touch keyboard.
_UNOPENED = (
    "torch/lib/libtorch_cuda_linalg.*",
    "*libcusolver*",
    "*/plugins/platforminputcontexts/*qtvirtualkeyboard*",
    "*/plugins/imageformats/*qpdf*",
)
#: Libraries of Qt that only those plugins, and QtWebEngine, link to.
_FOR_QUICK = ("*Qt6VirtualKeyboard*", "*Qt6Qml*", "*Qt6Quick*", "*Qt6Pdf*")


def resource_files() -> list[tuple[str, str]]:
    """Return every file under `resources/` with the folder it has in the bundle."""
    return [
        (str(path), str(Path("qgui", path.relative_to(ROOT).parent)))
        for path in sorted((ROOT / "resources").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def own_modules() -> list[str]:
    """Return every module of qgui; many are imported only inside functions, or started by name in a new process."""
    found = []
    for path in sorted((ROOT / "qgui").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def standard_modules() -> list[str]:
    """Return the modules of Python's standard library: a person's model may import any of them."""
    names = sorted(name for name in sys.stdlib_module_names - _WITHOUT if not name.startswith("_"))
    return [name for name in names if importlib.util.find_spec(name) is not None]


def is_for_models(module: str) -> bool:
    """Return whether a module of a library is more than its tests and tools."""
    return not {"tests", "conftest", "f2py", "backend", "tools", "transformers"} & set(module.split("."))


def packages_of(distribution: str = "qgui") -> set[str]:
    """Return the distributions that one needs without its extras, itself included, as normalized names."""
    needed: set[str] = set()
    waiting = [distribution]
    while waiting:
        name = _normalized(waiting.pop())
        if name in needed:
            continue
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        needed.add(name)
        waiting += [match[0] for line in requirements if _is_for_here(line) and (match := re.match(r"[\w.-]+", line))]
    return needed


def left_out() -> list[str]:
    """Return what is installed here and QGUI does not need: test tools, extras, packages for GPUs."""
    needed = packages_of()
    owners = importlib.metadata.packages_distributions()
    # PyInstaller imports setuptools, which shows what it carries along as if it were installed.
    carried = {path.name for folder in sys.path if Path(folder).name == "_vendor" for path in Path(folder).iterdir()}
    foreign = {
        name
        for name, distributions in owners.items()
        if name.isidentifier() and name not in carried and not any(_normalized(i) in needed for i in distributions)
    }
    return sorted(
        (foreign | {*FOR_GPUS, *_FOR_COMPILERS, "tkinter"}) - {"qgui"} - set(sys.stdlib_module_names - {"tkinter"})
    )


def opened(files: Iterable[tuple[str, str, str]], *, web_engine: bool) -> list[tuple[str, str, str]]:
    """Return the collected files (name in the bundle, source, kind) without libraries that nobody opens.

    Args:
        files: What PyInstaller collected.
        web_engine: QtWebEngine is among it; it needs the libraries of Qt Quick.
    """
    unopened = _UNOPENED if web_engine else _UNOPENED + _FOR_QUICK
    return [file for file in files if not any(fnmatch.fnmatch(Path(file[0]).as_posix(), i) for i in unopened)]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_for_here(requirement: str) -> bool:
    """Return whether a requirement holds on this machine and belongs to no extra."""
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})
