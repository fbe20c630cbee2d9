"""What helps a person along: the guide, the search for an action, and what this program is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QMainWindow, QMessageBox

import qgui
from qgui.ui.document import Document
from qgui.ui.filing import show
from qgui.ui.guide import page_about
from qgui.ui.theme import Theme

if TYPE_CHECKING:
    from qgui.ui.command_palette import CommandPalette
    from qgui.ui.guide_window import GuideWindow


class Help(QObject):
    """Opens the guide where it explains what the person is at, and finds actions by their names.

    Signals:
        advice_wanted: The person followed the guide's link to the advice for the open model.

    Args:
        window: The main window.
        theme: For the colours of the guide.
        document: Knows the machine.
    """

    advice_wanted = Signal()

    def __init__(self, window: QMainWindow, theme: Theme, document: Document) -> None:
        super().__init__(window)
        self._window, self._theme, self._document = window, theme, document
        self._guide: GuideWindow | None = None
        self._palette: CommandPalette | None = None

    def explain(self) -> None:
        """Open the guide at the page about the control with the focus."""
        self.show_page(page_about(QApplication.focusWidget()))

    def show_page(self, name: str) -> None:
        """Open the guide at a page."""
        if self._guide is None:
            from qgui.ui.guide_window import GuideWindow

            self._guide = GuideWindow(self._theme, self._window)
            self._guide.advice_wanted.connect(self.advice_wanted)
        self._guide.show_page(name)

    def find_action(self) -> None:
        """Let the person find an action by its name."""
        if self._palette is None:
            from qgui.ui.command_palette import CommandPalette

            self._palette = CommandPalette(self._window)
        self._palette.ask()

    def show_about(self) -> None:
        """Show version, engine and processor."""
        machine = self._document.machine
        lines = [f"QGUI {qgui.__version__}", self.tr("Quantize PyTorch models by hand and by eye. Apache License 2.0.")]
        if machine is not None:
            lines += [f"PyTorch {machine.torch_version}", f"{machine.cpu} ({machine.capability})"]
        lines.append(self.tr("QGUI sends no usage data. What you open stays on this machine."))
        title = self.tr("About QGUI")
        box = QMessageBox(QMessageBox.Icon.NoIcon, title, "\n\n".join(lines), parent=self._window)
        box.setObjectName("aboutBox")
        leave = box.addButton(QMessageBox.StandardButton.Ok)
        leave.setObjectName("aboutClose")
        leave.setToolTip(self.tr("Close this."))
        show(box)
