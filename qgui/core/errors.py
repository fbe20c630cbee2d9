"""Failures that a person can act upon."""

from __future__ import annotations


class QguiError(Exception):
    """A failure told in three parts: what failed, why, and what to do next.

    Args:
        what: What could not be done, as one sentence without a full stop.
        why: The reason, as far as it is known.
        next_step: What the person can do about it.
        details: Anything longer (a traceback, a list of keys) that is folded away in the window.
    """

    def __init__(self, what: str, why: str, next_step: str = "", details: str = "") -> None:
        super().__init__(what, why, next_step, details)
        self.what = what
        self.why = why
        self.next_step = next_step
        self.details = details

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}"
        return f"{text.rstrip('.。')}. {self.next_step}" if self.next_step else text


class NeedsTrust(QguiError):
    """A file can only be opened by running code that it holds.

    Attributes:
        file: The file.
    """

    def __init__(self, what: str, why: str, next_step: str, details: str, file: str) -> None:
        super().__init__(what, why, next_step, details)
        self.file = file


class NeedsConsent(QguiError):
    """An activation holds NaN or infinite values, and the person has not agreed to leave them out."""


class Cancelled(Exception):
    """The person asked for the running job to stop."""
