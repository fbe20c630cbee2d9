"""The worker's end of the message stream: commands on standard input, events on a private copy of standard output."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

from qgui.core import messages


class Channel:
    """Reads commands and writes events; events may come from any thread.

    Args:
        read_fd: File descriptor of the commands.
        write_fd: File descriptor of the events.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._lock = threading.Lock()

    @classmethod
    def on_standard_streams(cls) -> Channel:
        """Take over standard input and output: whatever a library prints from now on goes to the log."""
        private = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return cls(sys.stdin.fileno(), private)

    def commands(self) -> Iterator[messages.AnyCommand]:
        """Yield commands until the other side closes the stream."""
        reader = messages.FrameReader()
        while data := os.read(self._read_fd, 1 << 16):
            for body in reader.feed(data):
                yield messages.decode_command(body)

    def send(self, event: messages.Event) -> None:
        """Write an event; one that nobody reads any more is dropped."""
        view = memoryview(messages.frame(event))
        with self._lock:
            try:
                while view:
                    view = view[os.write(self._write_fd, view) :]
            except BrokenPipeError:
                return
