"""Renders the icon of the program for Linux (hicolor PNG), Windows (.ico) and macOS (.icns).

python packaging/icons.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PIL import Image
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

DRAWING = Path(__file__).resolve().parent.parent / "resources" / "icons" / "qgui.svg"
#: Edges in pixels of the PNG files.
SIZES = (16, 22, 24, 32, 48, 64, 128, 256, 512)
_ICO_SIZES = [(edge, edge) for edge in (16, 24, 32, 48, 64, 128, 256)]


def write_icons(folder: Path) -> None:
    """Write `hicolor/`, `qgui.ico` and `qgui.icns` into a folder. Needs a `QGuiApplication`.

    Raises:
        SystemExit: The drawing cannot be read or a file not be written.
    """
    renderer = QSvgRenderer(str(DRAWING))
    if not renderer.isValid():
        raise SystemExit(f"{DRAWING} is no SVG that Qt can draw.")
    for edge in SIZES:
        path = folder / "hicolor" / f"{edge}x{edge}" / "apps" / "qgui.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _drawn(renderer, edge).save(str(path)):
            raise SystemExit(f"{path} could not be written. Is the disk full, or the folder not yours?")
    scalable = folder / "hicolor" / "scalable" / "apps" / "qgui.svg"
    scalable.parent.mkdir(parents=True, exist_ok=True)
    scalable.write_bytes(DRAWING.read_bytes())
    largest = folder / "largest.png"
    _drawn(renderer, 1024).save(str(largest))
    with Image.open(largest) as image:
        image.save(folder / "qgui.ico", sizes=_ICO_SIZES)
        image.save(folder / "qgui.icns")
    largest.unlink()


def _drawn(renderer: QSvgRenderer, edge: int) -> QImage:
    image = QImage(edge, edge, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    renderer.render(painter, QRectF(0, 0, edge, edge))
    painter.end()
    return image


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application = QGuiApplication(sys.argv)
    write_icons(Path(sys.argv[1]))
