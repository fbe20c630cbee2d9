"""What is left behind when models are opened and closed: `python tests/benchmarks/rounds.py [--json] [--rounds 200]`.

The real window with the real engine, offscreen. Ends in under five minutes on a quiet machine with two cores.
`rounds`: one window in which an example is opened, quantized and closed again and again, through the actions of the
menus; the examples that calibrate and those that do not take turns.
`windows`: a window of its own, with an engine of its own, for every round; it is closed and destroyed.
For each of them, how much there is `before`, when some rounds have warmed it up, and how much `more` after the rounds:
`processes` that the window started, `threads` of its process, `timers` that run, temporary `files` and those that keep
unsaved decisions, `widgets` without a parent, `objects` of Qt, and the `memory_mb` that the window's process occupies.
With what is aimed at, and whether it is reached. The engine's memory is told beside it, and what has grown, by type.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
from PySide6.QtCore import QAbstractEventDispatcher, QCoreApplication, QEvent, QObject
from PySide6.QtWidgets import QApplication
from shiboken6 import isValid

from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.actions import ActionId
from qgui.ui.app import create_application
from qgui.ui.driver import Driver
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme, ThemeName
from qgui.ui.worker_client import WorkerState

EXAMPLES = ("example:digits-lstm", "example:digits-cnn")
DATA = DataReference("example:digits", calibrate=8, evaluate=8)
#: How many more of each there may be; of everything else there may be no more at all.
AIMS = {"processes": 0, "threads": 0, "timers": 0, "files": 0, "widgets": 0, "memory_mb": 20}
LOOKS = 10
#: Until timers that fire once have fired, and files that are written late are there.
REST_MS = 1_000
PATIENCE_MS = 120_000
MIB = 1024 * 1024


@dataclass
class Look:
    """What there is at one moment.

    Attributes:
        counts: How many of each.
        kinds: Of the things that are counted, how many by type and name.
        engine_mb: Memory of the processes that the window started.
    """

    counts: dict[str, float]
    engine_mb: float
    kinds: Counter[str] = field(default_factory=Counter)


class Watch:
    """Looks at what this process holds.

    Args:
        folders: Where files may be left behind.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._process = psutil.Process()

    def look(self) -> Look:
        """Return what there is now, after what can be freed has been."""
        gc.collect()
        # Wrappers of what is gone in Qt stay where Qt does not tell, so Qt's own are counted below, by Qt.
        names = [f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects()]
        kinds = Counter(f"python {name}" for name in names if not name.startswith("PySide6."))
        objects, widgets = self._objects(), QApplication.topLevelWidgets()
        dispatcher = QAbstractEventDispatcher.instance()
        timers = [each for each in objects if dispatcher.registeredTimers(each)]
        children = self._process.children(recursive=True)
        files = [file for folder in self._folders for file in folder.rglob("*")]
        counts: dict[str, float] = {
            "processes": len(children),
            "threads": self._process.num_threads(),
            "timers": sum(len(dispatcher.registeredTimers(each)) for each in timers),
            "files": len(files),
            "widgets": len(widgets),
            "objects": len(objects),
            "memory_mb": self._process.memory_info().rss / MIB,
        }
        kinds.update(f"qt {each.metaObject().className()}" for each in objects)
        kinds.update(f"timer of {each.metaObject().className()} {each.objectName()}" for each in timers)
        kinds.update(f"widget {each.metaObject().className()} {each.objectName()}" for each in widgets)
        kinds.update(f"file {file.name}" for file in files)
        return Look(counts, sum(child.memory_info().rss for child in children) / MIB, kinds)

    def _objects(self) -> list[QObject]:
        """Return all objects of Qt that are known, from Python's side and as children of one another."""
        known = [each for each in gc.get_objects() if isinstance(each, QObject) and isValid(each)]
        known += QApplication.topLevelWidgets()
        with_children = [
            *known,
            *(child for each in known if not each.parent() for child in each.findChildren(QObject)),
        ]
        return list({id(each): each for each in with_children}.values())


class Rounds:
    """Windows that are used and closed.

    Args:
        folder: Where they keep settings, unsaved decisions and temporary files.
    """

    def __init__(self, folder: Path) -> None:
        self._application = create_application()
        self._folder, self._state, temporary = folder, folder / "state", folder / "temporary"
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        self.watch = Watch([temporary, self._state])

    def window(self) -> Driver:
        """Return a new window, drawn, with all panels and an engine that is ready."""
        settings = Settings(self._folder / "settings.ini")
        window = MainWindow(settings, Theme(ThemeName.LIGHT, self._application), state_folder=self._state)
        driver = Driver(window)
        driver.end_at_errors()
        window.resize(1280, 800)
        window.show()
        window.client.start()
        window.build_panels()
        driver.wait_until(lambda: window.client.state is WorkerState.READY, "the engine", PATIENCE_MS)
        return driver

    def destroy(self, driver: Driver) -> None:
        """Close a window as its title bar does, and free it."""
        window = driver.window
        window.close()
        # It would keep the driver, and with it the window.
        sys.excepthook = sys.__excepthook__
        window.theme.deleteLater()
        window.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()

    def use(self, driver: Driver, number: int) -> None:
        """Open a model, quantize it, and close it."""
        window = driver.window
        example = EXAMPLES[number % len(EXAMPLES)]
        driver.step("data", lambda: window.open_model(ModelReference(example), DATA))
        driver.step("quantize", lambda: self._trigger(driver, ActionId.QUANTIZE))
        self._trigger(driver, ActionId.CLOSE_MODEL)
        driver.wait_until(lambda: window.pages.currentWidget() is window.start_page, "the start page")

    @staticmethod
    def _trigger(driver: Driver, name: ActionId) -> None:
        action = driver.window.actions_by_id[name]
        driver.wait_until(action.isEnabled, f"the action {name.value}")
        action.trigger()

    def in_one_window(self, warm_up: int, rounds: int) -> dict[str, object]:
        """Use one window again and again."""
        driver = self.window()
        found = self._repeat(warm_up, rounds, lambda number: self.use(driver, number), driver.settle)
        self.destroy(driver)
        return found

    def in_own_windows(self, warm_up: int, rounds: int) -> dict[str, object]:
        """Use each window once."""

        def once(number: int) -> None:
            driver = self.window()
            self.use(driver, number)
            self.destroy(driver)

        return self._repeat(warm_up, rounds, once, lambda _: QApplication.processEvents())

    def _repeat(
        self, warm_up: int, rounds: int, once: Callable[[int], None], rest: Callable[[int], object]
    ) -> dict[str, object]:
        for number in range(warm_up):
            once(number)
        rest(REST_MS)
        # Looking makes Python's side of objects that had none.
        self.watch.look()
        looks, began = [self.watch.look()], time.perf_counter()
        for number in range(rounds):
            once(number)
            if (number + 1) % max(1, rounds // LOOKS) == 0 or number + 1 == rounds:
                rest(REST_MS)
                looks.append(self.watch.look())
        return {"rounds": rounds, "seconds_a_round": round((time.perf_counter() - began) / rounds, 2), **_judged(looks)}


def _judged(looks: list[Look]) -> dict[str, object]:
    """Return what has grown from the first look to the last, held against what is aimed at."""
    first, last = looks[0], looks[-1]
    found: dict[str, object] = {}
    for name, before in first.counts.items():
        more = round(last.counts[name] - before, 1)
        found[name] = {"before": round(before, 1), "more": more}
        if name in AIMS:
            aim = AIMS[name]
            found[name] |= {"aim": f"more < {aim}" if aim else "more = 0", "reached": more < aim if aim else more <= 0}
    found["memory_mb_at_looks"] = [round(look.counts["memory_mb"], 1) for look in looks]
    found["engine_mb_at_looks"] = [round(look.engine_mb, 1) for look in looks]
    grown = {kind: last.kinds[kind] - first.kinds[kind] for kind in last.kinds}
    found["grown"] = {kind: more for kind, more in sorted(grown.items(), key=lambda item: -item[1])[:15] if more > 0}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=200, help="in one window")
    parser.add_argument("--windows", type=int, default=10, help="used once each")
    parser.add_argument("--warm-up", type=int, default=20, help="rounds in the one window before the first look")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as name:
        measurement = Rounds(Path(name))
        result = {
            "rounds": measurement.in_one_window(options.warm_up, options.rounds),
            "windows": measurement.in_own_windows(2, options.windows),
        }
    if options.json:
        print(json.dumps(result))
        return
    for part, figures in result.items():
        for key, value in figures.items():
            print(f"{part + ' ' + key:28} {value}")


if __name__ == "__main__":
    main()
