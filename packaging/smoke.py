"""Does with a bundle, without a display, what a person does, and fails where anything is missing.

    python packaging/smoke.py [--bundle dist/qgui] [--out FOLDER]

Asks for the version, lists layers, quantizes an example, exports it to every format that the bundle has, and walks
through the whole job in the window. Every export has to be verified in a process of its own. Nothing of a checkout or
an environment helps the bundle. `--out` keeps pictures and answers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EXAMPLE = "example:digits-cnn"
#: Every format that needs no package beyond what QGUI needs.
FORMATS = ("torchscript", "onnx", "float-onnx", "script", "recipe")
_TIME_LIMIT = 600


class SmokeError(Exception):
    """The bundle does not do what it should."""


class Bundle:
    """The bundled program in an environment of its own.

    Args:
        folder: The folder that PyInstaller wrote.
        out: Where it works; settings and caches go there too.
    """

    def __init__(self, folder: Path, out: Path) -> None:
        self.program = (folder / ("qgui.exe" if sys.platform == "win32" else "qgui")).resolve()
        self._out = out
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "QT_"))}
        self._environment = kept | {"QT_QPA_PLATFORM": "offscreen", "PATH": os.defpath}
        self._environment |= {f"XDG_{i}_HOME": str(out / i.lower()) for i in ("CONFIG", "DATA", "CACHE", "STATE")}

    def run(self, *arguments: str) -> str:
        """Return what a command writes to standard output.

        Raises:
            SmokeError: It failed or took too long.
        """
        began = time.monotonic()
        try:
            done = subprocess.run(
                [str(self.program), *arguments],
                cwd=self._out,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIME_LIMIT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SmokeError(f"qgui {' '.join(arguments)}: {error}") from error
        output, errors = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        if done.returncode:
            raise SmokeError(f"qgui {' '.join(arguments)} ended with code {done.returncode}:\n{errors or output}")
        print(f"{time.monotonic() - began:6.1f} s  qgui {' '.join(arguments)}")
        return output

    def answer(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON object that a command prints."""
        answer: dict[str, Any] = json.loads(self.run(*arguments, "--json"))
        return answer


def check(bundle: Bundle, out: Path) -> None:
    """Do everything once.

    Raises:
        SmokeError: Something failed, an export is not verified, or pictures are missing.
    """
    print(bundle.run("--version").strip())
    if not bundle.answer("layers", EXAMPLE)["layers"]:
        raise SmokeError("The example has no layers.")
    run = bundle.answer("quantize", EXAMPLE, "--data", "example:digits", "--mode", "static", "--out", "run")
    (out / "quantize.json").write_text(json.dumps(run, indent=1), encoding="utf-8")
    wanted = [part for name in FORMATS for part in ("--format", name)]
    exports = [*run["exports"], *bundle.answer("export", "run", *wanted, "--out", "exports")["exports"]]
    refused = [f"{one['format']}: {one}" for one in exports if not one["verified"]]
    if refused:
        raise SmokeError("Exports that could not be verified in a fresh process:\n" + "\n".join(refused))
    bundle.run("--python", "-m", "qgui.ui.tour", "--out", "tour")
    pictures = sorted((out / "tour" / "pictures").glob("*.png"))
    if not pictures:
        raise SmokeError("The window left no pictures.")
    accuracy = {kind: run[kind]["accuracy"]["top1"] for kind in ("float", "quantized")}
    print(f"{len(exports)} exports verified, {len(pictures)} pictures of the window, accuracy {accuracy}")


def size_of(folder: Path) -> int:
    """Return the bytes that the files of a folder take, links not counted."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> int:
    """Return 0 where the bundle works, else 1 with what failed on standard error."""
    parser = argparse.ArgumentParser(description="Try a bundle without a display.")
    parser.add_argument("--bundle", type=Path, default=Path("dist/qgui"))
    parser.add_argument("--out", type=Path, help="where to work and to leave pictures (default: a temporary folder)")
    given = parser.parse_args()
    if not given.bundle.is_dir():
        print(f"There is no bundle in {given.bundle}. Build it with: make bundle", file=sys.stderr)
        return 1
    print(f"{given.bundle}: {size_of(given.bundle) / 1e6:,.0f} MB")
    with tempfile.TemporaryDirectory(prefix="qgui-smoke-") as folder:
        out = (given.out or Path(folder)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        try:
            check(Bundle(given.bundle, out), out)
        except SmokeError as error:
            print(error, file=sys.stderr)
            return 1
    print("The bundle works.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
