"""The bundled examples, in the words of the start page and the dialogs."""

from __future__ import annotations

from dataclasses import dataclass

from qgui.core.language import say

DIGITS_DATA = "example:digits"


@dataclass(frozen=True)
class Example:
    """A bundled model.

    Attributes:
        source: Its model source.
        title: Its name.
        sentence: What it is and what it is good for.
        data: The data it goes with.
    """

    source: str
    title: str
    sentence: str
    data: str = DIGITS_DATA


def examples() -> list[Example]:
    """Return the bundled models."""
    return [
        Example(
            "example:digits-cnn",
            say("Digits CNN"),
            say("A small MobileNet that reads handwritten digits: depthwise convolutions, ReLU6, static int8."),
        ),
        Example(
            "example:digits-lstm",
            say("Digits LSTM"),
            say("Reads the rows of a digit one after the other: recurrent layers are quantized dynamically."),
        ),
        Example(
            "example:digits-transformer",
            say("Digits transformer"),
            say("A small encoder with attention: its Linear layers are quantized dynamically."),
        ),
    ]
