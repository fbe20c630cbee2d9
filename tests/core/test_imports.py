"""What importing core brings into a process."""

import subprocess
import sys


def test_core_brings_neither_torch_nor_qt_into_the_process() -> None:
    program = (
        "import importlib, pkgutil, sys, qgui.core\n"
        "for module in pkgutil.iter_modules(qgui.core.__path__, 'qgui.core.'): importlib.import_module(module.name)\n"
        "strangers = {'torch', 'torchvision', 'PySide6', 'shiboken6', 'pyqtgraph', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(', '.join(strangers) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
