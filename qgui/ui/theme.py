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
from qgui.ui.restyle import Restyle


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
        self._restyle = Restyle(self)
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
            # The type hint says bytes, which PySide refuses.
            application.setPalette(spin_box_palette(self.colours), "QAbstractSpinBox")  # type: ignore[arg-type]
            if application.styleSheet() == STYLE_SHEET:
                self._restyle.begin()
            else:
                application.setStyleSheet(STYLE_SHEET)

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
        # The style sheet colours tooltips itself, so these two and the shadow, which the style does not draw, are
        # free for grounds and texts that have no role of their own.
        role.ToolTipBase: colours.accent_soft,
        role.ToolTipText: colours.good,
        role.Shadow: colours.warning_soft,
        role.PlaceholderText: colours.faint,
        role.Highlight: colours.accent,
        role.HighlightedText: colours.on_accent,
        role.Link: colours.accent,
        role.LinkVisited: mixed(colours.accent, colours.text, 0.85),
        role.Light: mixed(colours.text, colours.window, 0.02),
        role.Midlight: mixed(colours.text, colours.window, 0.08),
        role.Mid: colours.line,
        role.Dark: mixed(colours.text, colours.window, 0.3),
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


def spin_box_palette(colours: Colours) -> QPalette:
    """Return the palette of spin boxes, whose border the style draws in a darker shade of the window."""
    made = palette(colours)
    if colours.dark:
        made.setColor(QPalette.ColorRole.Window, QColor(colours.faint).lighter(130))
    return made


#: What a palette cannot say: cards, banners, the next step. Its colours are roles, so that it holds for every theme.
STYLE_SHEET = """
QToolTip { color: palette(window-text); background: palette(base); border: 1px solid palette(mid); padding: 3px; }
QToolBar { border: none; border-bottom: 1px solid palette(mid); padding: 3px; spacing: 2px; }
QToolBar QToolButton { padding: 3px 5px; border-radius: 4px; border: 1px solid transparent; }
QToolBar #workSteps QToolButton { padding: 3px 2px; }
QToolBar QToolButton:hover:enabled { background: palette(midlight); }
QToolBar QToolButton:pressed { background: palette(mid); }
QToolBar QToolButton:focus { border-color: palette(accent); }
QToolBar QToolButton[nextStep="true"] { background: palette(accent); color: palette(highlighted-text); }
QToolBar QToolButton[nextStep="true"]:hover { background: palette(link-visited); }
QPushButton[primary="true"] { background: palette(accent); color: palette(highlighted-text); border: none;
  border-radius: 4px; padding: 5px 14px; }
QPushButton[primary="true"]:hover { background: palette(link-visited); }
QPushButton[primary="true"]:focus { border: 2px solid palette(window-text); padding: 3px 12px; }
QPushButton[primary="true"]:disabled { background: palette(midlight);
  color: palette(placeholder-text); }
QToolButton[choice="true"] { background: palette(base); border: 1px solid palette(mid); border-radius: 4px;
  padding: 3px 9px; }
QToolButton[choice="true"]:hover { background: palette(midlight); }
QToolButton[choice="true"]:checked { background: palette(tooltip-base); border-color: palette(accent); }
QToolButton[choice="true"]:focus { border: 2px solid palette(accent); padding: 2px 8px; }
QFrame[card="true"] { background: palette(base); border: 1px solid palette(mid); border-radius: 6px; }
QFrame[banner="hint"] { background: palette(tooltip-base); border-radius: 4px; }
QFrame[banner="warning"] { background: palette(shadow); border-radius: 4px; }
#dropHint { background: palette(tooltip-base); border: 3px dashed palette(accent);
  border-radius: 10px; }
#dropHint[useful="false"] { background: palette(shadow); border: 3px solid palette(bright-text); }
QLabel[faint="true"] { color: palette(placeholder-text); }
QLabel[good="true"] { color: palette(tooltip-text); }
QLabel[bad="true"] { color: palette(bright-text); }
QCheckBox::indicator:unchecked:enabled { border: 1px solid palette(placeholder-text); border-radius: 2px;
  background: palette(base); width: 12px; height: 12px; }
QLineEdit { border: 1px solid palette(placeholder-text); border-radius: 3px; padding: 2px 3px;
  background: palette(base); }
QLineEdit:disabled { border-color: palette(mid); }
QLineEdit:focus { border-color: palette(accent); }
QComboBox QLineEdit, QAbstractItemView QLineEdit { border: none; padding: 0; }
QGroupBox { border: none; border-top: 1px solid palette(mid); margin-top: 1.3em; padding-top: 7px; }
QGroupBox::title { subcontrol-origin: margin; subcontrol-position: top left; color: palette(placeholder-text); }
QTabBar::tab { padding: 4px 12px; border: 1px solid transparent; border-bottom: 3px solid transparent;
  color: palette(placeholder-text); }
QTabBar::tab:hover { color: palette(window-text); background: palette(midlight); }
QTabBar::tab:selected { color: palette(window-text); border-bottom-color: palette(accent); }
QTabBar::tab:selected:focus { border-color: palette(accent); }
QStatusBar::item { border: none; }
"""
