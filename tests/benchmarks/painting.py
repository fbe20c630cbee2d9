"""How long something takes until it is painted, held against what is aimed at."""

import time

import numpy as np
from PySide6.QtCore import QEvent, QObject

#: Milliseconds on the wall and of the processor.
Sample = tuple[float, float]


class Painted(QObject):
    """Notes when a widget has been painted."""

    def __init__(self, widget: QObject) -> None:
        super().__init__()
        self.frames = 0
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.frames += 1
        return False


class Clock:
    """Seconds on the wall and of the processor since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> Sample:
        """Return milliseconds on the wall and of the processor."""
        return 1000 * (time.perf_counter() - self._began[0]), 1000 * (time.process_time() - self._began[1])


def summary(samples: list[Sample], aim: tuple[str, float] | None = None) -> dict[str, object]:
    """Return median, 95th percentile and maximum, and how they stand to an aim.

    Args:
        samples: What was measured.
        aim: Which of the numbers has to be at most how many milliseconds.
    """
    wall, cpu = (statistics_of([sample[which] for sample in samples]) for which in (0, 1))
    found: dict[str, object] = {**wall, "cpu": cpu, "n": len(samples)}
    if aim is not None:
        number, most = aim
        found |= {"aim": f"{number} <= {most:.1f}", "reached": wall[number] <= most}
    return found


def statistics_of(times: list[float]) -> dict[str, float]:
    return {
        "p50": round(float(np.percentile(times, 50)), 2),
        "p95": round(float(np.percentile(times, 95)), 2),
        "max": round(max(times), 2),
    }
