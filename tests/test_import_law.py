"""The part of the import law that import-linter cannot check: a subpackage of somebody else's package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "qgui"
HOME_OF_TORCH_AO = PACKAGE / "engine" / "fx"

# torch.ao under its own name and under the older names that only lead there.
TORCH_AO = (
    "torch.ao",
    "torch.quantization",
    "torch.nn.intrinsic",
    "torch.nn.qat",
    "torch.nn.quantizable",
    "torch.nn.quantized",
)


def dotted(node: ast.expr) -> str | None:
    """Write `a.b.c` as text, or return None for what is more than names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return None


def mentioned_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """List the line and the dotted name of everything imported, reached by attribute, or imported by a string."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.Attribute() if name := dotted(node):
                yield node.lineno, name
            case ast.Call(func=ast.Name(id="__import__" | "import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name


def torch_ao_in(source: str) -> list[int]:
    """Return the lines that reach torch.ao."""
    return sorted(
        {
            line
            for line, name in mentioned_modules(ast.parse(source))
            if any(name == forbidden or name.startswith(f"{forbidden}.") for forbidden in TORCH_AO)
        }
    )


@pytest.mark.parametrize(
    "source",
    [
        "import torch.ao",
        "import torch.ao.quantization as q",
        "from torch import ao",
        "from torch.ao.quantization import QConfig",
        "from torch.ao.quantization.quantize_fx import prepare_fx",
        "import torch\ntorch.ao.quantization.QConfig()",
        "import importlib\nimportlib.import_module('torch.ao.quantization')",
        "from torch.quantization import QConfig",
        "import torch\nisinstance(m, torch.nn.quantized.Linear)",
    ],
)
def test_each_way_to_reach_torch_ao_is_seen(source: str) -> None:
    assert torch_ao_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.nn.Linear(1, 1)",
        "import torchao",
        "from .ao import x",
        "text = 'from torch.ao.quantization import QConfig'",
        "torch.backends.quantized.engine = 'x86'",
    ],
)
def test_what_is_not_torch_ao_is_left_alone(source: str) -> None:
    assert not torch_ao_in(source)


def test_only_the_fx_lowering_touches_torch_ao() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if HOME_OF_TORCH_AO not in path.parents]
    assert files
    offences = [
        f"{path.relative_to(ROOT)}:{line}" for path in files for line in torch_ao_in(path.read_text(encoding="utf-8"))
    ]
    assert not offences, "only qgui/engine/fx may touch torch.ao"


def test_the_examples_are_plain_pytorch() -> None:
    sources = (ROOT / "resources" / "examples").glob("*.py")
    imported = {
        name.partition(".")[0] for path in sources for _, name in mentioned_modules(ast.parse(path.read_text()))
    }
    assert "torch" in imported
    assert "qgui" not in imported
