"""The command line, as a process and inside this one, and one whole run that many tests look at."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import DIGITS, QUICK, Outcome, as_process

from qgui import cli


@pytest.fixture
def qgui(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command inside this process, which has torch already."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = cli.main(arguments)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """A whole run of `qgui quantize` as a process, and its folder."""
    folder = tmp_path_factory.mktemp("run") / "out"
    formats = ("--format", "torchscript", "--format", "script", "--format", "recipe")
    arguments = (*DIGITS, "--mode", "static", "--backend", "x86", *QUICK, *formats, "--out", str(folder), "--json")
    return as_process("quantize", *arguments), folder
