"""Starts the program anew, for what holds from its start on."""

from __future__ import annotations

import sys
from pathlib import Path

from PySide6.QtCore import QProcess, QProcessEnvironment

from qgui.core.language import VARIABLE


def command(recipe: Path | None) -> list[str]:
    """Return program and arguments that open the window.

    Args:
        recipe: The recipe that it opens, if any.
    """
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "qgui"]
    return [*program, "open", str(recipe)] if recipe is not None else program


def start_again(recipe: Path | None) -> bool:
    """Start the program beside this one, in the language of the preferences; return whether that worked."""
    program, *arguments = command(recipe)
    process, environment = QProcess(), QProcessEnvironment.systemEnvironment()
    environment.remove(VARIABLE)
    process.setProcessEnvironment(environment)
    process.setProgram(program)
    process.setArguments(arguments)
    started, _ = process.startDetached()
    return started
