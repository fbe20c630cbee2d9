"""What a person is told where an optional package is missing."""

from __future__ import annotations

import sys

from qgui.core.language import say


def how_to_install(extra: str) -> str:
    """Return the sentence that says how an extra of QGUI is installed; a frozen bundle cannot take any."""
    command = f"pip install 'qgui[{extra}]'"
    if getattr(sys, "frozen", False):
        return say("This bundle cannot take it in. Use QGUI in a Python environment: {command}", command=command)
    return say("Install it with: {command}", command=command)
