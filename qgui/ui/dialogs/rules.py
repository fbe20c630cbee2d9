"""Rules by pattern: adding, changing, ordering and removing them, with what each would decide."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from qgui.core import patterns
from qgui.core.fitting import PatternOutcome
from qgui.core.recipe import PatternRule
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.row_table import set_up_rows
from qgui.ui.rule_settings import RuleSettings

_ROWS = 6


class RulesDialog(QDialog):
    """Edits a draft of the rules by pattern and shows what it would decide; OK makes it one undo step.

    Signals:
        decided: The rules, a tuple of `PatternRule`.

    Args:
        document: Whose rules.
        suggestion: Pattern of a new rule, for instance the type of the selected layer.
        parent: Qt parent.
    """

    decided = Signal(object)

    def __init__(self, document: Document, suggestion: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._suggestion = suggestion
        self._draft = list(document.recipe.patterns)
        self._outcomes: tuple[PatternOutcome, ...] = ()
        self._later = Later(self._evaluate, self)
        self.setObjectName("rulesDialog")
        self.setWindowTitle(self.tr("Rules by pattern"))
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 112)
        self._build()
        self._fill(0)

    # Building

    def _build(self) -> None:
        intro = self.tr(
            "A rule decides for every layer whose path (layer3.*) or type (Conv2d) it names. Each sets what it names; "
            "a later rule wins over an earlier one, what you decided for a single layer wins over all."
        )
        self.table = self._build_table()
        self.add = self._button("ruleAdd", self.tr("Add"), self.tr("Add a rule after the others."), self._on_add)
        self.remove = self._button("ruleRemove", self.tr("Remove"), self.tr("Remove this rule."), self._on_remove)
        self.up = self._button("ruleUp", self.tr("Move up"), "", lambda: self._move(-1))
        self.down = self._button("ruleDown", self.tr("Move down"), "", lambda: self._move(1))
        side = QVBoxLayout()
        for button in (self.add, self.remove, self.up, self.down):
            side.addWidget(button)
        side.addStretch(1)
        middle = QHBoxLayout()
        middle.addWidget(self.table, 1)
        middle.addLayout(side)
        self.pattern = QLineEdit(self)
        self.pattern.setObjectName("rulePattern")
        self.pattern.setAccessibleName(self.tr("Pattern"))
        self.pattern.setToolTip(
            self.tr("A path with * for any characters, or a type; type:Conv* matches types by their beginning.")
        )
        self.pattern.setPlaceholderText(self.tr("layer3.*  or  Conv2d"))
        self.pattern.textEdited.connect(self._on_pattern)
        label = QLabel(self.tr("Pattern"), self)
        label.setBuddy(self.pattern)
        line = QHBoxLayout()
        line.addWidget(label)
        line.addWidget(self.pattern, 1)
        self.settings = RuleSettings(self)
        self.settings.changed.connect(self._on_settings)
        self.note = self._text("ruleNote", "")
        self.note.setMinimumHeight(self.fontMetrics().height() * 4)
        self.note.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(self._text("rulesIntroduction", intro))
        layout.addLayout(middle)
        layout.addLayout(line)
        layout.addWidget(self.settings)
        layout.addWidget(self.note)
        layout.addLayout(self._build_buttons())

    def _text(self, name: str, text: str) -> QLabel:
        label = QLabel(text, self)
        label.setObjectName(name)
        label.setWordWrap(True)
        label.setProperty("faint", True)
        return label

    def _button(self, name: str, text: str, tip: str, pressed: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.setObjectName(name)
        button.setAccessibleName(text)
        button.setToolTip(tip)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _=False: pressed())
        return button

    def _build_table(self) -> QTableWidget:
        table = QTableWidget(0, 3, self)
        set_up_rows(table, "ruleTable", self.tr("Rules by pattern"))
        table.setToolTip(self.tr("The rules in their order; a later one wins."))
        table.setHorizontalHeaderLabels([self.tr("Pattern"), self.tr("Sets"), self.tr("Layers")])
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        header.resizeSection(0, self.fontMetrics().averageCharWidth() * 28)
        table.setMinimumHeight((_ROWS + 1) * (self.fontMetrics().height() + 9) + 6)
        table.currentCellChanged.connect(lambda *_: self._show_rule())
        return table

    def _build_buttons(self) -> QHBoxLayout:
        leave = self._button("rulesCancel", self.tr("Cancel"), self.tr("Leave the rules as they were."), self.reject)
        self.take = self._button("rulesTake", self.tr("OK"), "", self._on_take)
        self.take.setProperty("primary", True)
        self.take.setDefault(True)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(leave)
        row.addWidget(self.take)
        return row

    # Showing

    def _fill(self, current: int) -> None:
        """Show the draft with one rule selected."""
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._draft))
        for row in range(len(self._draft)):
            for column in range(3):
                if self.table.item(row, column) is None:
                    self.table.setItem(row, column, QTableWidgetItem())
        self.table.blockSignals(False)
        self.table.setCurrentCell(min(current, len(self._draft) - 1), 0)
        self._evaluate()
        self._show_rule()

    def _evaluate(self) -> None:
        """Say of every rule what it would decide."""
        self._outcomes = self._document.with_patterns(tuple(self._draft)).outcomes
        for row, (rule, outcome) in enumerate(zip(self._draft, self._outcomes, strict=True)):
            texts = (rule.pattern, patterns.settings_line(rule) or self.tr("nothing yet"), self._count(outcome))
            for column, text in enumerate(texts):
                item = self.table.item(row, column)
                if item is not None:
                    item.setText(text)
                    item.setToolTip(text)
        self._show_note()
        self._check()

    def _count(self, outcome: PatternOutcome) -> str:
        count = len(outcome.governed)
        text = self.tr("{count} layers").format(count=count) if count != 1 else self.tr("1 layer")
        return f"⚠ {text}" if outcome.misfits() else text

    def _row(self) -> int:
        row = self.table.currentRow()
        return row if 0 <= row < len(self._draft) else -1

    def _show_rule(self) -> None:
        row = self._row()
        rule = self._draft[row] if row >= 0 else None
        self.settings.show_rule(rule)
        self.pattern.setEnabled(rule is not None)
        if rule is None or self.pattern.text() != rule.pattern:
            self.pattern.setText(rule.pattern if rule is not None else "")
        none = "" if rule is not None else self.tr("Add a rule first.")
        first = self.tr("It is the first rule.") if row == 0 else ""
        last = self.tr("It is the last rule.") if row == len(self._draft) - 1 else ""
        tips = {
            self.remove: (none, self.tr("Remove this rule.")),
            self.up: (none or first, self.tr("Let more rules win over it.")),
            self.down: (none or last, self.tr("Let it win over more rules.")),
        }
        for button, (reason, tip) in tips.items():
            button.setEnabled(not reason)
            button.setToolTip(reason or tip)
        self._show_note()

    def _show_note(self) -> None:
        row = self._row()
        if not 0 <= row < len(self._outcomes):
            self.note.setText("" if self._draft else self.tr("There are no rules by pattern yet."))
            return
        outcome = self._outcomes[row]
        lines = []
        if outcome.governed:
            shown = ", ".join(outcome.governed[:4]) + (", …" if len(outcome.governed) > 4 else "")
            lines.append(self.tr("Decides {layers}.").format(layers=shown))
        lines += [misfit.why[:1].upper() + misfit.why[1:] for misfit in outcome.misfits() if outcome.rule.pattern]
        self.note.setText("\n".join(filter(None, [*lines, outcome.kept_sentence])))

    def _check(self) -> None:
        reason = ""
        for number, rule in enumerate(self._draft, start=1):
            if not rule.pattern.strip():
                reason = self.tr("Rule {number} needs a pattern.").format(number=number)
            elif not patterns.settings_line(rule):
                reason = self.tr("Rule {number} sets nothing yet: choose a mode or another setting.").format(
                    number=number
                )
        self.take.setEnabled(not reason)
        self.take.setToolTip(reason or self.tr("Decide by these rules, as one undo step."))

    # Changing

    def _on_add(self) -> None:
        self._draft.append(PatternRule(self._suggestion))
        self._suggestion = ""
        self._fill(len(self._draft) - 1)
        self.pattern.setFocus()
        self.pattern.selectAll()

    def _on_remove(self) -> None:
        row = self._row()
        del self._draft[row]
        self._fill(row)

    def _move(self, by: int) -> None:
        row = self._row()
        self._draft[row], self._draft[row + by] = self._draft[row + by], self._draft[row]
        self._fill(row + by)

    def _on_pattern(self, text: str) -> None:
        self._replace(msgspec.structs.replace(self._draft[self._row()], pattern=text.strip()))

    def _on_settings(self, rule: PatternRule) -> None:
        self._replace(rule)

    def _replace(self, rule: PatternRule) -> None:
        self._draft[self._row()] = rule
        self.settings.show_rule(rule)
        self._later.ask()

    def _on_take(self) -> None:
        self._later.now()
        self.decided.emit(tuple(self._draft))
        self.accept()
