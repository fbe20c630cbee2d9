"""What a fresh worker process has to be told to stand where the one before it stood."""

from __future__ import annotations

import msgspec

from qgui.core import messages


class Takeover:
    """Remembers the commands that opened what is open."""

    def __init__(self) -> None:
        self._model: messages.OpenModel | None = None
        self._data: messages.OpenData | None = None
        self._statistics: messages.UseStatistics | None = None
        self._trained: messages.KeepTraining | None = None

    def remember(self, command: messages.Command, event: messages.Event) -> None:
        """Take note of a command that was answered well."""
        match command, event:
            case messages.OpenModel(), messages.ModelOpened(reference=reference):
                self._model = msgspec.structs.replace(command, model=reference)
                self._data = self._statistics = self._trained = None
            case messages.OpenData(), messages.DataOpened(reference=reference):
                self._data = msgspec.structs.replace(command, data=reference)
                self._statistics = self._trained = None
            case messages.Calibrate(), messages.Calibrated(path=path):
                self._statistics = messages.UseStatistics(path=path)
            case ((messages.Train() | messages.KeepTraining()), messages.Trained()):
                self._trained = messages.KeepTraining(recipe=command.recipe, folder=command.folder)

    def forget(self) -> None:
        """Begin with nothing open."""
        self._model = self._data = self._statistics = self._trained = None

    def commands(self) -> list[messages.Command]:
        """Return what a fresh process has to be told, in order."""
        kept = (self._model, self._data, self._statistics, self._trained)
        return [command for command in kept if command is not None]
