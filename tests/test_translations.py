"""Every sentence of the program is marked for translation, and is translated, into every language."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog
from packaging_scripts import loaded

from qgui.core import language
from qgui.core.language import LANGUAGES, SOURCE_LANGUAGE

ROOT = Path(__file__).resolve().parent.parent
OTHERS = [name for name in LANGUAGES if name != SOURCE_LANGUAGE]
_TRANSLATING = {"say", "tr"}

#: Calls whose text no person reads in the window: programming errors, patterns, the log's format, styles.
_UNSEEN_CALLS = {
    *("ValueError", "TypeError", "RuntimeError", "NotImplementedError", "AssertionError", "TourError", "_error"),
    *("getattr", "compile", "setStyleSheet", "Formatter", "debug", "info", "warning", "error", "search", "sub"),
    *("emit", "removesuffix", "removeprefix", "startswith", "endswith", "TypeVar", "ArgumentParser", "add_argument"),
}
#: Modules that write code, styles or markup, or that speak to a terminal.
_UNSEEN_MODULES = {
    *("engine/fx/script.py", "engine/fx/plain.py", "core/report/drawing.py", "ui/theme.py", "ui/tour.py"),
    *("ui/graph_server.py", "ui/graph_view.py", "ui/driver.py", "ui/gallery.py"),
}
#: Texts with a space that are no sentences: names, markup, units, file patterns, what other programs say, code.
_UNSEEN = re.compile(
    r"^(pip install '?(qgui\[)?|Introduction to Quantization on PyTorch, 2020|Xeon D-2191, 1.6 GHz|Samsung S9"
    r"|ResNeXt-101 32x8d|(bar|level|curve|dot) \w*|#\d \w+|Exception from src|model name|Python boolean"
    r"|tensors inside to store too|can't allocate memory|Weights only|co_varnames is too small|--\w+ | --\w+ "
    r"| ?\*\.\w+( \*\.\w+)*|QGUI |\[\*\] - QGUI|PyTorch | (ms|dB|dB\))|, SQNR |SQNR "
    r"|published ms|here ms|than best float|■ int8"
    r"|(float|int8) (eager|TorchScript|fused, channels-last, TorchScript)|\w* TorchScript  |<.*| style=.*"
    r"|a \{ color: |</.*|as [\w.]+|0+\.0+ ms |−0.0000 \(−128 steps\)|The worker ends: what it was sent .*)$",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def translations() -> ModuleType:
    return loaded("translations")


@pytest.fixture(scope="module")
def template(translations: ModuleType) -> Catalog:
    gathered: Catalog = translations.template()
    return gathered


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "qgui").rglob("*.py")):
        yield path.relative_to(ROOT / "qgui").as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def test_every_marked_sentence_is_a_literal_that_the_catalogue_holds(template: Catalog) -> None:
    """An f-string, a variable, or a call inside an f-string would never be translated."""
    held = {message.id for message in template}
    lost = []
    for module, tree in _modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or _name(node) not in _TRANSLATING or not node.args:
                continue
            text = node.args[0]
            if not isinstance(text, ast.Constant) or text.value not in held:
                lost.append(f"{module}:{node.lineno} {ast.unparse(text)}")
    assert lost == []


def _unmarked(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield texts with words that stand in no call that translates, and where a person might read them."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if not re.search(r"[A-Za-z]{2}.* | .*[A-Za-z]{2}", node.value, re.DOTALL) or _UNSEEN.match(node.value):
            continue
        inner: ast.AST = node
        while (outer := parents.get(inner)) is not None and not isinstance(inner, ast.stmt):
            if isinstance(outer, ast.Call) and inner is not outer.func and _name(outer) in _TRANSLATING | _UNSEEN_CALLS:
                break
            if isinstance(outer, ast.Expr) and outer.value is node:
                break
            inner = outer
        else:
            yield node


def test_every_sentence_is_marked() -> None:
    found = []
    for module, tree in _modules():
        if module in _UNSEEN_MODULES or not module.startswith(("core/", "engine/", "worker/", "ui/")):
            continue
        found += [f"{module}:{node.lineno} {node.value!r}" for node in _unmarked(tree)]
    assert found == []


@pytest.mark.parametrize("name", OTHERS)
def test_the_catalogue_holds_the_sentences_of_the_program(translations: ModuleType, name: str) -> None:
    kept = translations.po_file(name).read_bytes()
    assert kept == translations.as_text(translations.updated(name)), "run `make translations`"
    compiled = translations.po_file(name).with_suffix(".mo").read_bytes()
    assert compiled == translations.compiled(translations.translations(name)), "run `make translations`"


@pytest.mark.parametrize("name", OTHERS)
def test_every_sentence_is_translated(translations: ModuleType, name: str) -> None:
    assert [message.id for message in translations.translations(name) if message.id and not message.string] == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_translation_keeps_values_markup_and_keys(translations: ModuleType, name: str) -> None:
    piece = re.compile(r"\{[^{}]*\}|%\d|%n|</?\w+[^>]*>")
    wrong = []
    for message in translations.translations(name):
        if not message.id:
            continue
        if sorted(piece.findall(message.id)) != sorted(piece.findall(message.string)):
            wrong.append((message.id, message.string))
        keys = [len(re.findall(r"&(?=[^&\s])(?!\w+;)", text)) for text in (message.id, message.string)]
        if keys[0] != keys[1]:
            wrong.append((message.id, message.string))
    assert wrong == []


@pytest.mark.parametrize(("name", "told"), [("en", "3 layers"), ("zh_CN", "3 个层"), ("tlh", "3 layers")])
def test_a_sentence_is_told_in_the_language_of_the_process(name: str, told: str) -> None:
    code = "from qgui.core.language import say; print(say('{count} layers', count=3), say('{never translated}'))"
    environment = {**os.environ, language.VARIABLE: name, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    assert done.stdout.decode().strip() == f"{told} {{never translated}}"
