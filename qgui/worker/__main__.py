"""Start the worker: `python -m qgui.worker`, its commands on standard input, its events on standard output."""

from __future__ import annotations

import os
import threading

import msgspec

from qgui.core import messages
from qgui.worker.channel import Channel

HEARTBEAT_SECONDS = 1.0


def main() -> int:
    """Answer commands until `Shutdown` or until the other side is gone or sends what is no command."""
    channel = Channel.on_standard_streams()
    stop = threading.Event()
    threading.Thread(target=_beat, args=(channel, stop), name="heartbeat", daemon=True).start()

    from qgui.engine import machine, memory
    from qgui.engine.fx import plain
    from qgui.worker.jobs import JobThread

    plain.silence()
    jobs = JobThread(channel)
    jobs.start()
    channel.send(messages.Ready(machine=machine.describe()))
    code = 0
    try:
        for command in channel.commands():
            if isinstance(command, messages.Shutdown):
                break
            if isinstance(command, messages.Cancel):
                jobs.cancel(command.job)
            elif isinstance(command, messages.SteerTraining):
                jobs.steer(command)
            elif isinstance(command, messages.LimitMemory):
                memory.limit(command.gibibytes)
            else:
                jobs.submit(command)
    except (ValueError, msgspec.DecodeError) as error:
        channel.send(messages.LogLine(level="error", text=f"The worker ends: what it was sent is no command ({error})"))
        code = 1
    stop.set()
    # A job may be in the middle of native code that no flag can stop; there is nothing here that must be closed.
    os._exit(code)


def _beat(channel: Channel, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        channel.send(messages.Heartbeat())


if __name__ == "__main__":
    raise SystemExit(main())
