"""The program: the window without arguments or with `open`, else a command of the command line."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> int:
    """Start what the arguments ask for and return the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--worker"]:
        from qgui.worker.__main__ import main as worker

        return worker()
    if arguments[:1] == ["--python"]:
        return _run_python(arguments[1:])
    if not arguments or arguments[0] == "open":
        if arguments[:1] == ["open"] and (len(arguments) != 2 or arguments[1].startswith("-")):
            from qgui.cli import parser

            parser().parse_args(arguments)
        return _open_window(arguments[1:])
    from qgui.cli import main as cli

    return cli(arguments)


def _open_window(arguments: list[str]) -> int:
    """Open the window in the person's language, which is chosen before there is any text."""
    from qgui.ui.language import choose
    from qgui.ui.settings import Settings

    choose(Settings())
    from qgui.ui.app import run

    return run([*sys.argv[:1], *arguments])


def _run_python(arguments: list[str]) -> int:
    """Run a module (`-m NAME ...`) or a script as `python` would, from a frozen bundle that has no `python`."""
    is_module = arguments[:1] == ["-m"]
    target = arguments[is_module : is_module + 1]
    if not target:
        print("qgui --python: name a script, or a module with -m NAME.", file=sys.stderr)
        return 2
    sys.argv = arguments[is_module:]
    if is_module:
        runpy.run_module(target[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(target[0]).resolve().parent))
        runpy.run_path(target[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
