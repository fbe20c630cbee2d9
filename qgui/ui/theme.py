"""Light and dark: the palettes, the colours of plots, and icons drawn in the colour of the text."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from qgui.core.recipe import Mode, ObserverKind
from qgui.core.resources import resources


class ThemeName(enum.StrEnum):
    """What the person chose."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Colours:
    """The colours of one theme, as `#rrggbb`.

    Attributes:
        dark: Whether the ground is darker than the text.
        window: Ground of panels and bars.
        base: Ground of lists, fields and plots.
        alternate: Every second row.
        text: Text.
        faint: Text of lesser weight; still readable on both grounds.
        line: Borders and grid lines.
        accent: Selection and the next step.
        on_accent: Text on the accent.
        accent_soft: Ground of a hint.
        warning_soft: Ground of a warning.
        good: A gain.
        bad: A loss or an error.
        float_series: Float in plots.
        int8_series: Quantized in plots.
        histogram: Fill of a histogram.
    """

    dark: bool
    window: str
    base: str
    alternate: str
    text: str
    faint: str
    line: str
    accent: str
    on_accent: str
    accent_soft: str
    warning_soft: str
    good: str
    bad: str
    float_series: str
    int8_series: str
    histogram: str


LIGHT = Colours(
    dark=False,
    window="#f3f4f6",
    base="#ffffff",
    alternate="#f7f8fa",
    text="#1c2128",
    faint="#5b6472",
    line="#d5d9e0",
    accent="#0b63ce",
    on_accent="#ffffff",
    accent_soft="#e3eefc",
    warning_soft="#fdf0d3",
    good="#1a7f4b",
    bad="#b3261e",
    float_series="#6b7280",
    int8_series="#0b63ce",
    histogram="#8fa3bd",
)
DARK = Colours(
    dark=True,
    window="#1c1f24",
    base="#272b32",
    alternate="#2b3038",
    text="#e6e9ee",
    faint="#a3acb9",
    line="#444c57",
    accent="#4c9bff",
    on_accent="#0c1117",
    accent_soft="#20344d",
    warning_soft="#453818",
    good="#5fce97",
    bad="#ff8a80",
    float_series="#9aa4b2",
    int8_series="#4c9bff",
    histogram="#5d7089",
)

#: Okabe and Ito's palette, told apart by people who do not see all colours; lightness fitted to each ground.
_OBSERVERS_LIGHT = {
    ObserverKind.MINMAX: "#000000",
    ObserverKind.MOVING_AVERAGE: "#0072b2",
    ObserverKind.PERCENTILE: "#d55e00",
    ObserverKind.MSE: "#007f5f",
    ObserverKind.ENTROPY: "#b0508a",
    ObserverKind.FIXED: "#8a6d00",
}
_OBSERVERS_DARK = {
    ObserverKind.MINMAX: "#f5f5f5",
    ObserverKind.MOVING_AVERAGE: "#56b4e9",
    ObserverKind.PERCENTILE: "#ff8c42",
    ObserverKind.MSE: "#2fd0a5",
    ObserverKind.ENTROPY: "#e49ac6",
    ObserverKind.FIXED: "#f0e442",
}
#: A dash pattern for each observer, so that colour is never the only sign.
OBSERVER_DASHES: dict[ObserverKind, list[float]] = {
    ObserverKind.MINMAX: [1, 0.001],
    ObserverKind.MOVING_AVERAGE: [6, 3],
    ObserverKind.PERCENTILE: [1.5, 2.5],
    ObserverKind.MSE: [9, 3, 1.5, 3],
    ObserverKind.ENTROPY: [4, 2, 1.5, 2, 1.5, 2],
    ObserverKind.FIXED: [1, 0.001],
}
_MODES_LIGHT = {Mode.FLOAT: "#6b7280", Mode.DYNAMIC: "#8a5a00", Mode.STATIC: "#0b63ce", Mode.QAT: "#8e3a96"}
_MODES_DARK = {Mode.FLOAT: "#9aa4b2", Mode.DYNAMIC: "#e5b04f", Mode.STATIC: "#6db0ff", Mode.QAT: "#d99ae0"}

_ICON_SIZES = (16, 20, 24, 32, 48)


class Theme(QObject):
    """Applies a theme to the application and answers what colours and icons it has.

    Signals:
        changed: Another theme applies; icons and plots take their colours anew.
    """

    changed = Signal()

    def __init__(self, name: ThemeName = ThemeName.SYSTEM, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.colours = self._resolved()
        self._icons: dict[tuple[str, str], QIcon] = {}
        self._apply()
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._on_system_change)

    def choose(self, name: ThemeName) -> None:
        """Apply another theme."""
        self.name = name
        self._refresh()

    def observer_colour(self, kind: ObserverKind) -> str:
        """Return the colour of an observer's lines."""
        return (_OBSERVERS_DARK if self.colours.dark else _OBSERVERS_LIGHT)[kind]

    def mode_colour(self, mode: Mode) -> str:
        """Return the colour of a mode's mark."""
        return (_MODES_DARK if self.colours.dark else _MODES_LIGHT)[mode]

    def icon(self, name: str, colour: str = "") -> QIcon:
        """Return an icon in the colour of the text (or another); an empty one where its file is missing."""
        key = (name, colour)
        if key not in self._icons:
            self._icons[key] = self._drawn(name, colour or self.colours.text)
        return self._icons[key]

    def _on_system_change(self) -> None:
        if self.name is ThemeName.SYSTEM:
            self._refresh()

    def _refresh(self) -> None:
        colours = self._resolved()
        if colours == self.colours:
            return
        self.colours = colours
        self._icons.clear()
        self._apply()
        self.changed.emit()

    def _resolved(self) -> Colours:
        if self.name is ThemeName.SYSTEM:
            dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
            return DARK if dark else LIGHT
        return DARK if self.name is ThemeName.DARK else LIGHT

    def _apply(self) -> None:
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.setPalette(palette(self.colours))
            application.setStyleSheet(style_sheet(self.colours))

    def _drawn(self, name: str, colour: str) -> QIcon:
        path = resources() / "icons" / f"{name}.svg"
        icon = QIcon()
        try:
            drawing = path.read_text(encoding="utf-8")
        except OSError:
            return icon
        for mode, tint in ((QIcon.Mode.Normal, colour), (QIcon.Mode.Disabled, self._disabled)):
            renderer = QSvgRenderer(QByteArray(drawing.replace("currentColor", tint).encode()))
            for length in _ICON_SIZES:
                pixmap = QPixmap(QSize(length, length))
                pixmap.fill(Qt.GlobalColor.transparent)
                painter = QPainter(pixmap)
                renderer.render(painter, QRectF(0, 0, length, length))
                painter.end()
                icon.addPixmap(pixmap, mode)
        return icon

    @property
    def _disabled(self) -> str:
        return mixed(self.colours.text, self.colours.window, 0.35)


def mixed(colour: str, ground: str, share: float) -> str:
    """Return a colour laid upon a ground with an opacity."""
    a, b = QColor(colour), QColor(ground)
    pairs = ((a.red(), b.red()), (a.green(), b.green()), (a.blue(), b.blue()))
    parts = [round(over * share + under * (1 - share)) for over, under in pairs]
    return QColor(*parts).name()


def palette(colours: Colours) -> QPalette:
    """Return the Qt palette of a theme."""
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    made = QPalette()
    table = {
        role.Window: colours.window,
        role.WindowText: colours.text,
        role.Base: colours.base,
        role.AlternateBase: colours.alternate,
        role.Text: colours.text,
        role.Button: mixed(colours.text, colours.window, 0.05),
        role.ButtonText: colours.text,
        role.BrightText: colours.bad,
        role.ToolTipBase: colours.base,
        role.ToolTipText: colours.text,
        role.PlaceholderText: colours.faint,
        role.Highlight: colours.accent,
        role.HighlightedText: colours.on_accent,
        role.Link: colours.accent,
        role.LinkVisited: colours.accent,
        role.Light: mixed(colours.text, colours.window, 0.02),
        role.Midlight: mixed(colours.text, colours.window, 0.08),
        role.Mid: mixed(colours.text, colours.window, 0.2),
        role.Dark: mixed(colours.text, colours.window, 0.3),
        role.Shadow: mixed(colours.text, colours.window, 0.5),
        role.Accent: colours.accent,
    }
    for which, colour in table.items():
        made.setColor(which, QColor(colour))
    disabled = QColor(mixed(colours.text, colours.window, 0.45))
    for which in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(group.Disabled, which, disabled)
    made.setColor(group.Inactive, role.Highlight, QColor(mixed(colours.accent, colours.base, 0.35)))
    made.setColor(group.Inactive, role.HighlightedText, QColor(colours.text))
    return made


def style_sheet(colours: Colours) -> str:
    """Return what a palette cannot say: cards, banners, the next step."""
    return f"""
QToolTip {{ color: {colours.text}; background: {colours.base}; border: 1px solid {colours.line}; padding: 3px; }}
QToolBar {{ border: none; border-bottom: 1px solid {colours.line}; padding: 3px; spacing: 2px; }}
QToolBar QToolButton {{ padding: 3px 5px; border-radius: 4px; border: 1px solid transparent; }}
QToolBar #workSteps QToolButton {{ padding: 3px 2px; }}
QToolBar QToolButton:hover:enabled {{ background: {mixed(colours.text, colours.window, 0.08)}; }}
QToolBar QToolButton:pressed {{ background: {mixed(colours.text, colours.window, 0.15)}; }}
QToolBar QToolButton:focus {{ border-color: {colours.accent}; }}
QToolBar QToolButton[nextStep="true"] {{ background: {colours.accent}; color: {colours.on_accent}; }}
QToolBar QToolButton[nextStep="true"]:hover {{ background: {mixed(colours.accent, colours.text, 0.85)}; }}
QPushButton[primary="true"] {{ background: {colours.accent}; color: {colours.on_accent}; border: none;
  border-radius: 4px; padding: 5px 14px; }}
QPushButton[primary="true"]:hover {{ background: {mixed(colours.accent, colours.text, 0.85)}; }}
QPushButton[primary="true"]:focus {{ border: 2px solid {colours.text}; padding: 3px 12px; }}
QPushButton[primary="true"]:disabled {{ background: {mixed(colours.text, colours.window, 0.12)};
  color: {mixed(colours.text, colours.window, 0.45)}; }}
QToolButton[choice="true"] {{ background: {colours.base}; border: 1px solid {colours.line}; border-radius: 4px;
  padding: 3px 9px; }}
QToolButton[choice="true"]:hover {{ background: {mixed(colours.text, colours.base, 0.08)}; }}
QToolButton[choice="true"]:checked {{ background: {colours.accent_soft}; border-color: {colours.accent}; }}
QToolButton[choice="true"]:focus {{ border: 2px solid {colours.accent}; padding: 2px 8px; }}
QFrame[card="true"] {{ background: {colours.base}; border: 1px solid {colours.line}; border-radius: 6px; }}
QFrame[banner="hint"] {{ background: {colours.accent_soft}; border-radius: 4px; }}
QFrame[banner="warning"] {{ background: {colours.warning_soft}; border-radius: 4px; }}
#dropHint {{ background: {colours.accent_soft}; border: 3px dashed {colours.accent};
  border-radius: 10px; }}
#dropHint[useful="false"] {{ background: {colours.warning_soft}; border: 3px solid {colours.bad}; }}
QLabel[faint="true"] {{ color: {colours.faint}; }}
QLabel[good="true"] {{ color: {colours.good}; }}
QLabel[bad="true"] {{ color: {colours.bad}; }}
QCheckBox::indicator:unchecked:enabled {{ border: 1px solid {colours.faint}; border-radius: 2px;
  background: {colours.base}; width: 12px; height: 12px; }}
QGroupBox {{ border: none; border-top: 1px solid {colours.line}; margin-top: 1.3em; padding-top: 7px; }}
QGroupBox::title {{ subcontrol-origin: margin; subcontrol-position: top left; color: {colours.faint}; }}
QTabBar::tab {{ padding: 4px 12px; border: 1px solid transparent; border-bottom: 3px solid transparent;
  color: {colours.faint}; }}
QTabBar::tab:hover {{ color: {colours.text}; background: {mixed(colours.text, colours.window, 0.06)}; }}
QTabBar::tab:selected {{ color: {colours.text}; border-bottom-color: {colours.accent}; }}
QTabBar::tab:selected:focus {{ border-color: {colours.accent}; }}
QStatusBar::item {{ border: none; }}
"""
