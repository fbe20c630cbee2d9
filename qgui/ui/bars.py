"""The menu bar and the toolbar."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QMainWindow,
    QMenu,
    QMenuBar,
    QSizePolicy,
    QToolBar,
    QToolButton,
    QWidget,
)

from qgui.core.results import MachineDescription
from qgui.ui.actions import ActionId, Actions
from qgui.ui.layer_panel import LayerPanel
from qgui.ui.step_strip import StepStrip
from qgui.ui.theme import Theme, ThemeName


class BackendBox(QComboBox):
    """The quantized engine of the model.

    Signals:
        backend_chosen: The name of a backend.
        measuring_wanted: The person wants every backend measured.

    Args:
        parent: Qt parent.
    """

    backend_chosen = Signal(str)
    measuring_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("backendBox")
        self.setAccessibleName(self.tr("Backend"))
        self.setToolTip(self.tr("PyTorch's quantized engine: the kernels that compute int8 on this machine."))
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(7)
        self.activated.connect(self._on_activated)

    def show_backends(self, machine: MachineDescription | None, backend: str, can_measure: bool) -> None:
        """Show the backends of the machine and the one in use."""
        names = list(machine.backends) if machine is not None else [backend]
        shown = [self.itemData(row) for row in range(self.count())]
        if shown != [*names, None]:
            self.clear()
            for name in names:
                self.addItem(name, name)
            self.addItem(self.tr("Measure backends…"), None)
            self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + self.fontMetrics().height())
        self.setCurrentIndex(names.index(backend) if backend in names else 0)
        item = self.model().index(len(names), 0)
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable if can_measure else Qt.ItemFlag.NoItemFlags
        self.model().setData(item, flags.value, Qt.ItemDataRole.UserRole - 1)
        self.setEnabled(machine is not None)
        self._backend = backend

    _backend = ""

    def _on_activated(self, row: int) -> None:
        name = self.itemData(row)
        if name is None:
            self.setCurrentIndex(max(0, self.findData(self._backend)))
            self.measuring_wanted.emit()
        else:
            self.backend_chosen.emit(name)


class WindowBar(QToolBar):
    """The toolbar: the steps of the work, and what is at hand in all of them.

    Args:
        actions: The window's actions.
        theme: For the theme menu.
        choose_theme: Called with the chosen theme.
        parent: Qt parent.
    """

    def __init__(
        self,
        actions: Actions,
        theme: Theme,
        choose_theme: Callable[[ThemeName], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setObjectName("toolBar")
        self.setWindowTitle(self.tr("Toolbar"))
        self.setMovable(False)
        side = self.fontMetrics().height() * 4 // 3
        self.setIconSize(QSize(side, side))
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.steps = StepStrip(actions, theme, self)
        self.addWidget(self.steps)
        self.addAction(actions[ActionId.TRAIN])
        self._train = self._button(actions[ActionId.TRAIN])
        self.backend = BackendBox(self)
        caption = QLabel(self.tr("Backend"), self)
        caption.setBuddy(self.backend)
        caption.setContentsMargins(4, 0, 4, 0)
        self._caption = self.addWidget(caption)
        self.addWidget(self.backend)
        spring = QWidget(self)
        spring.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(spring)
        for name in (ActionId.UNDO, ActionId.REDO):
            self.addAction(actions[name])
            self._button(actions[name]).setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        self.theme_menu = theme_menu(theme, choose_theme, self)
        self.theme_button = QToolButton(self)
        self.theme_button.setObjectName("themeButton")
        self.theme_button.setText(self.tr("Theme"))
        self.theme_button.setAccessibleName(self.tr("Theme"))
        self.theme_button.setToolTip(self.tr("Choose light, dark, or that of the system."))
        self.theme_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.theme_button.setMenu(self.theme_menu)
        self.theme_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        self.addWidget(self.theme_button)
        for name in ActionId:
            button = self.widgetForAction(actions[name])
            if isinstance(button, QToolButton):
                button.setObjectName(f"toolButton_{name.value}")
                button.setAccessibleName(actions[name].iconText())
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        theme.changed.connect(self._draw)
        self._draw()
        self.steps.retold.connect(self._fit)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Leave out words, the least needed ones first, where not all of the bar has room."""
        style = Qt.ToolButtonStyle
        for left_out in range(4):
            self._caption.setVisible(left_out < 1)
            self._train.setToolButtonStyle(style.ToolButtonTextBesideIcon if left_out < 2 else style.ToolButtonIconOnly)
            self.steps.set_brief(left_out > 2)
            if self.sizeHint().width() <= self.width():
                break

    def _button(self, action: QAction) -> QToolButton:
        button = self.widgetForAction(action)
        assert isinstance(button, QToolButton)
        return button

    def _draw(self) -> None:
        self.theme_button.setIcon(self._theme.icon("theme"))


def theme_menu(theme: Theme, choose: Callable[[ThemeName], None], parent: QWidget) -> QMenu:
    """Return a menu of the themes with the present one ticked."""
    menu = QMenu(parent.tr("Theme"), parent)
    group = QActionGroup(menu)
    titles = {
        ThemeName.SYSTEM: parent.tr("As the system"),
        ThemeName.LIGHT: parent.tr("Light"),
        ThemeName.DARK: parent.tr("Dark"),
    }
    for name, title in titles.items():
        action = menu.addAction(title)
        action.setObjectName(f"theme_{name.value}")
        action.setCheckable(True)
        action.setChecked(theme.name is name)
        action.triggered.connect(lambda _=False, name=name: choose(name))
        group.addAction(action)

    def tick_present() -> None:
        for action in menu.actions():
            action.setChecked(action.objectName() == f"theme_{theme.name.value}")

    menu.aboutToShow.connect(tick_present)
    return menu


def fill_menu_bar(
    window: QMainWindow, actions: Actions, layers: LayerPanel, steps: QMenu, views: list[QAction], themes: QMenu
) -> QMenuBar:
    """Fill the window's menu bar."""
    bar = window.menuBar()
    file_menu = bar.addMenu(window.tr("&File"))
    for name in (ActionId.OPEN_MODEL, ActionId.OPEN_DATA, ActionId.OPEN_RECIPE, ActionId.APPLY_RECIPE, None,
                 ActionId.SAVE, ActionId.SAVE_AS, None, ActionId.EXPORT, ActionId.SAVE_REPORT, None,
                 ActionId.CLOSE_MODEL, ActionId.QUIT):  # fmt: skip
        _add(file_menu, actions, name)
    edit = bar.addMenu(window.tr("&Edit"))
    for name in (
        ActionId.UNDO,
        ActionId.REDO,
        None,
        ActionId.DECIDE,
        ActionId.RULES,
        ActionId.ADVICE,
        None,
        ActionId.FILTER,
        ActionId.SELECT_MATCHING,
    ):
        _add(edit, actions, name)
    edit.addSeparator()
    edit.addMenu(steps)
    edit.addSeparator()
    _add(edit, actions, ActionId.PREFERENCES)
    view = bar.addMenu(window.tr("&View"))
    view.addActions(views)
    view.addSeparator()
    order = view.addMenu(window.tr("Layer &table"))
    order.setObjectName("layerTableMenu")
    layers.view.fill_menu(order)
    order.aboutToShow.connect(lambda: layers.view.fill_menu(order))
    view.addMenu(themes)
    view.addSeparator()
    _add(view, actions, ActionId.RESET_LAYOUT)
    model = bar.addMenu(window.tr("&Model"))
    model.setObjectName("modelMenu")
    layers.menu.fill(model)
    model.aboutToShow.connect(lambda: layers.menu.fill(model))
    run = bar.addMenu(window.tr("&Run"))
    for name in (ActionId.CALIBRATE, ActionId.QUANTIZE, ActionId.TRAIN, ActionId.COMPARE, None,
                 ActionId.MEASURE_BACKENDS, ActionId.BENCHMARKS, None, ActionId.CANCEL):  # fmt: skip
        _add(run, actions, name)
    help_menu = bar.addMenu(window.tr("&Help"))
    for name in (ActionId.GUIDE, ActionId.PALETTE, None, ActionId.ABOUT):
        _add(help_menu, actions, name)
    for menu in (file_menu, edit, view, order, model, run, help_menu):
        menu.setToolTipsVisible(True)
    return bar


def _add(menu: QMenu, actions: Actions, name: ActionId | None) -> None:
    if name is None:
        menu.addSeparator()
    else:
        menu.addAction(actions[name])
