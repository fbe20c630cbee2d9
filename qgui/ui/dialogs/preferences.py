"""What a person wishes once for all models: looks, threads, backend, memory, and which folders are trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from qgui.core.language import LANGUAGES, language
from qgui.core.results import MachineDescription
from qgui.ui import settings as options
from qgui.ui.language import wished
from qgui.ui.settings import Settings
from qgui.ui.theme import ThemeName

#: Less would not even hold torch.
_LEAST_MEMORY = 2


@dataclass(frozen=True)
class Applied:
    """What happens at once when a preference is changed.

    Attributes:
        theme: Takes the name of the theme.
        memory: Takes the memory limit of the engine in GiB.
        threads: Called when the number of threads was changed.
        restart: Starts the program anew, which another language needs.
    """

    theme: Callable[[ThemeName], None]
    memory: Callable[[int], None]
    threads: Callable[[], None]
    restart: Callable[[], None]


class PreferencesDialog(QDialog):
    """Shows the preferences; each is stored and holds as soon as it is changed.

    Args:
        settings: Where they are stored.
        machine: What this machine can do, None while the engine starts.
        applied: What happens at once.
        parent: Qt parent.
    """

    def __init__(
        self, settings: Settings, machine: MachineDescription | None, applied: Applied, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._settings, self._machine, self._applied = settings, machine, applied
        self.setObjectName("preferencesDialog")
        self.setWindowTitle(self.tr("Preferences"))
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setMinimumWidth(72 * self.fontMetrics().averageCharWidth())
        column = QVBoxLayout(self)
        column.setSpacing(12)
        for box in (self._build_looks(), self._build_engine(), self._build_trust(), self._build_privacy()):
            column.addWidget(box)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        close = buttons.button(QDialogButtonBox.StandardButton.Close)
        close.setObjectName("preferencesClose")
        close.setToolTip(self.tr("Close; changes apply at once."))
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)

    def _build_looks(self) -> QGroupBox:
        titles = [
            (ThemeName.SYSTEM.value, self.tr("As the system")),
            (ThemeName.LIGHT.value, self.tr("Light")),
            (ThemeName.DARK.value, self.tr("Dark")),
        ]
        self.theme = self._combo("Theme", self.tr("Theme"), self.tr("Colours of the window and its plots."), titles)
        self._select(self.theme, self._settings.get(options.THEME))
        self.theme.activated.connect(lambda _: self._applied.theme(ThemeName(self.theme.currentData())))
        return self._box(self.tr("Appearance"), (self.theme, self._build_language()))

    def _build_language(self) -> QWidget:
        titles = [("", self.tr("As the system")), *LANGUAGES.items()]
        row = QWidget(self)
        row.setAccessibleName(self.tr("Language"))
        tip = self.tr("Language of the window; another one holds from the next start on.")
        self.language = self._combo("Language", self.tr("Language"), tip, titles)
        self._select(self.language, self._settings.get(options.LANGUAGE))
        self.language.activated.connect(lambda _: self._on_language())
        self.restart = self._button(
            "Restart",
            self.tr("Restart QGUI"),
            self.tr("Close the window and open it again in that language."),
            self._on_restart,
        )
        column = QHBoxLayout(row)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.language, 1)
        column.addWidget(self.restart)
        row.setFocusProxy(self.language)
        self._offer_restart()
        return row

    def _build_engine(self) -> QGroupBox:
        machine = self._machine
        self.threads = QSpinBox(self)
        self._name(self.threads, "Threads", self.tr("Threads"), self.tr("Threads of both models while they are timed."))
        self.threads.setRange(1, 256)
        self.threads.setValue(self._settings.get(options.THREADS))
        self.threads.valueChanged.connect(self._on_threads)
        names = machine.backends if machine is not None else ()
        choices = [("", self.tr("As advised for the model")), *((name, name) for name in names)]
        tip = self.tr("Backend of the models that you open from now on; open ones keep theirs.")
        self.backend = self._combo("Backend", self.tr("Backend"), tip, choices)
        self._select(self.backend, self._settings.get(options.BACKEND))
        self.backend.activated.connect(lambda _: self._settings.set(options.BACKEND, self.backend.currentData()))
        self.memory = QSpinBox(self)
        self._name(
            self.memory,
            "Memory",
            self.tr("Memory limit"),
            self.tr("A job of the engine that needs more stops with a message instead of slowing the computer down."),
        )
        self.memory.setRange(_LEAST_MEMORY - 1, 4096)
        self.memory.setSpecialValueText(self.tr("none"))
        self.memory.setSuffix(self.tr(" GiB"))
        self.memory.setValue(self._settings.get(options.MEMORY_LIMIT) or self.memory.minimum())
        self.memory.valueChanged.connect(self._on_memory)
        if machine is not None and not machine.limits_memory:
            self.memory.setEnabled(False)
            self.memory.setToolTip(self.tr("This system does not limit the memory of a process."))
        return self._box(self.tr("Engine"), (self.threads, self.backend, self.memory))

    def _build_trust(self) -> QGroupBox:
        box = QGroupBox(self.tr("Trusted folders"), self)
        self.folders = QListWidget(box)
        self._name(
            self.folders,
            "Trusted",
            self.tr("Trusted folders"),
            self.tr("Model files in these folders may run code while they are opened, without a question."),
        )
        self.folders.setMaximumHeight(5 * self.fontMetrics().lineSpacing())
        self.folders.addItems(self._settings.trusted())
        self.folders.currentRowChanged.connect(lambda _: self._allow())
        self.add = self._button("TrustAdd", self.tr("Add…"), self.tr("Trust another folder."), self._ask_for_folder)
        tip = self.tr("Ask again before files of this folder run code.")
        self.remove = self._button("TrustRemove", self.tr("Remove"), tip, self._remove_folder)
        note = QLabel(self.tr("Models in these folders may run code when they are opened. All others ask first."), box)
        note.setWordWrap(True)
        note.setProperty("faint", True)
        side = QVBoxLayout()
        side.addWidget(self.add)
        side.addWidget(self.remove)
        side.addStretch(1)
        row = QHBoxLayout()
        row.addWidget(self.folders, 1)
        row.addLayout(side)
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(note)
        column.addLayout(row)
        self._allow()
        return box

    def _build_privacy(self) -> QGroupBox:
        box = QGroupBox(self.tr("Telemetry"), self)
        text = QLabel(self.tr("None. QGUI sends no usage data, and what you open stays on this machine."), box)
        text.setObjectName("preferencesTelemetry")
        text.setWordWrap(True)
        QVBoxLayout(box).addWidget(text)
        return box

    # Fields

    def _box(self, title: str, fields: Sequence[QWidget]) -> QGroupBox:
        box = QGroupBox(title, self)
        form = QFormLayout(box)
        form.setContentsMargins(0, 6, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for field in fields:
            label = QLabel(field.accessibleName(), box)
            label.setBuddy(field)
            form.addRow(label, field)
        return box

    def _name(self, widget: QWidget, name: str, title: str, tip: str) -> None:
        widget.setObjectName(f"preferences{name}")
        widget.setAccessibleName(title)
        widget.setToolTip(tip)

    def _combo(self, name: str, title: str, tip: str, choices: Sequence[tuple[str, str]]) -> QComboBox:
        combo = QComboBox(self)
        self._name(combo, name, title, tip)
        for value, text in choices:
            combo.addItem(text, value)
        return combo

    def _select(self, combo: QComboBox, value: str) -> None:
        if combo.findData(value) < 0:
            combo.addItem(value, value)
        combo.setCurrentIndex(combo.findData(value))

    def _button(self, name: str, text: str, tip: str, slot: Callable[[], object]) -> QPushButton:
        button = QPushButton(text, self)
        self._name(button, name, text.removesuffix("…"), tip)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _=False: slot())
        return button

    # Changes

    def _on_language(self) -> None:
        self._settings.set(options.LANGUAGE, self.language.currentData())
        self._offer_restart()

    def _offer_restart(self) -> None:
        self.restart.setVisible(wished(self.language.currentData()) != language())

    def _on_restart(self) -> None:
        self.accept()
        self._applied.restart()

    def _on_threads(self, threads: int) -> None:
        self._settings.set(options.THREADS, threads)
        self._applied.threads()

    def _on_memory(self, value: int) -> None:
        limit = value if value >= _LEAST_MEMORY else 0
        self._settings.set(options.MEMORY_LIMIT, limit)
        self._applied.memory(limit)

    def _ask_for_folder(self) -> None:
        dialog = QFileDialog(
            self, self.tr("Trust a folder"), self._settings.get(options.LAST_FOLDER) or str(Path.home())
        )
        dialog.setObjectName("trustFolderDialog")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self.trust)
        dialog.open()

    def trust(self, folder: str) -> None:
        """Trust a folder from now on."""
        self._store_folders([*self._settings.trusted(), folder])

    def _remove_folder(self) -> None:
        item = self.folders.currentItem()
        if item is not None:
            self._store_folders([folder for folder in self._settings.trusted() if folder != item.text()])

    def _store_folders(self, folders: list[str]) -> None:
        self._settings.set_trusted(folders)
        self.folders.clear()
        self.folders.addItems(self._settings.trusted())
        self._allow()

    def _allow(self) -> None:
        chosen = self.folders.currentItem() is not None
        self.remove.setEnabled(chosen)
        tip = self.tr("Ask again before files of this folder run code.")
        self.remove.setToolTip(tip if chosen else self.tr("Choose a folder in the list first."))
