"""The tables that PyTorch published, and ours beside them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from qgui.core import published
from qgui.core.published import Table
from qgui.ui.banner import Banner
from qgui.ui.benchmark_rows import BenchmarkRow
from qgui.ui.benchmark_work import BenchmarkWork
from qgui.ui.dialogs.fields import PathField
from qgui.ui.theme import Theme

_ROWS_AT_ONCE = 3
#: How long typing rests before the worker is asked what a path gives.
_REST_MS = 400


class BenchmarkPanel(QWidget):
    """Shows both tables, runs rows, and asks for what they need.

    Signals:
        left: The person wants to go back to the work.

    Args:
        work: Runs the rows.
        theme: For the colours.
        parent: Qt parent.
    """

    left = Signal()

    def __init__(self, work: BenchmarkWork, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.work = work
        self.setObjectName("benchmarkPanel")
        self.setAccessibleName(self.tr("Benchmarks"))
        self.trouble = Banner("benchmarkTrouble", "warning", self)
        self._theme = theme
        self.rows: dict[str, BenchmarkRow] = {}
        self.run_all: dict[Table, QPushButton] = {}

        inside = QWidget(self)
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(10, 4, 10, 10)
        self._column.setSpacing(6)
        area = QScrollArea(self)
        area.setObjectName("benchmarkScroll")
        area.setAccessibleName(self.tr("Published tables"))
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._build_head())
        layout.addWidget(self.trouble)
        layout.addWidget(area, 1)
        self._resting = QTimer(self)
        self._resting.setSingleShot(True)
        self._resting.setInterval(_REST_MS)
        self._resting.timeout.connect(self._choose)
        self.built = False
        self._pieces = self._build()
        self._building = QTimer(self)
        self._building.timeout.connect(self._go_on)

    def open(self) -> None:
        """Ask what the rows need; the first time, build them piece by piece while the window answers."""
        self.work.check()
        if not self.built and not self._building.isActive():
            self._building.start()

    # Building

    def _go_on(self) -> None:
        if next(self._pieces, self) is self:
            self._building.stop()

    def _build(self) -> Iterator[None]:
        yield from self._add_table("latency", self.tr("Latency"), self._latency_sentence())
        yield from self._add_table("accuracy", self.tr("Accuracy"), self._accuracy_sentence())
        self._column.addStretch(1)
        self._show_settings()
        yield
        self.work.changed.connect(self.refresh)
        self.refresh()
        self.built = True

    def _build_head(self) -> QHBoxLayout:
        self.back = QPushButton(self.tr("Back"), self)
        self.back.setObjectName("benchmarkBack")
        self.back.setAccessibleName(self.tr("Back"))
        self.back.setToolTip(self.tr("Return to the model; rows that run go on."))
        self.back.clicked.connect(self.left)
        source = f'<a href="{published.SOURCE_URL}">{published.SOURCE}</a>'
        title = QLabel(
            self.tr("<b>Benchmarks</b> &nbsp; What PyTorch published ({source}), and this machine").format(
                source=source
            ),
            self,
        )
        title.setObjectName("benchmarkSource")
        title.setToolTip(published.SOURCE_URL)
        title.setOpenExternalLinks(True)
        row = QHBoxLayout()
        row.setContentsMargins(10, 8, 10, 6)
        row.addWidget(self.back)
        row.addSpacing(8)
        row.addWidget(title, 1)
        return row

    def _add_table(self, table: Table, title: str, sentence: str) -> Iterator[None]:
        head = QHBoxLayout()
        label = QLabel(f"<b>{title}</b>", self)
        button = QPushButton(self.tr("Run all"), self)
        button.setObjectName(f"benchmarkRunAll_{table}")
        button.setAccessibleName(self.tr("Run all of {table}").format(table=title))
        button.setProperty("primary", True)
        button.clicked.connect(lambda: self.work.run(self.work.runnable(published.rows_of([table]))))
        self.run_all[table] = button
        told = QLabel(sentence, self)
        told.setObjectName(f"benchmarkAbout_{table}")
        told.setWordWrap(True)
        told.setProperty("faint", True)
        head.addWidget(label)
        head.addSpacing(8)
        head.addWidget(told, 1)
        head.addWidget(button)
        self._column.addSpacing(4)
        self._column.addLayout(head)
        if table == "accuracy":
            yield
            self._column.addWidget(self._build_fields())
        for number, row in enumerate(published.rows_of([table])):
            if number % _ROWS_AT_ONCE == 0:
                yield
            shown = BenchmarkRow(row, self._theme, self)
            shown.wanted.connect(lambda shown=shown: self.work.run([shown.row]))
            self.rows[row.key] = shown
            self._column.addWidget(shown)

    def _latency_sentence(self) -> str:
        return self.tr(
            "Batch 1 on one thread, float → int8 in milliseconds, float and int8 in turn. Times depend on the "
            "processor; compare how many times faster int8 is, against float eager as published."
        )

    def _accuracy_sentence(self) -> str:
        return self.tr(
            "Pretrained weights, float → int8 on the same samples, with the 95 % interval of the difference."
        )

    def _build_fields(self) -> QWidget:
        box = QWidget(self)
        self.images = self._path("benchmarkImages", self.tr("ImageNet validation images"), self.tr(
            "One folder per class, or ILSVRC2012_val_*.JPEG with the development kit beside them."))  # fmt: skip
        self.weights = self._path("benchmarkWeights", self.tr("Folder of weights"), self.tr(
            "Where files such as resnet50-0676ba61.pth lie; torch's own cache is looked at too."))  # fmt: skip
        self.mrpc = self._path("benchmarkMrpc", self.tr("MRPC dev.tsv"), self.tr("The file of GLUE's MRPC."), "*.tsv")
        self.bert = self._path("benchmarkBert", self.tr("Fine-tuned BERT"), self.tr(
            "Folder of a BERT fine-tuned on MRPC, as save_pretrained writes it."))  # fmt: skip
        self.download = QCheckBox(self.tr("Download weights that are missing"), self)
        self.download.setObjectName("benchmarkDownload")
        self.download.setAccessibleName(self.download.text())
        self.download.setToolTip(
            self.tr("From download.pytorch.org, checked by hash, into torch's cache; asked anew each time.")
        )
        self.download.toggled.connect(self._choose)
        self.limit = QSpinBox(self)
        self.limit.setObjectName("benchmarkLimit")
        self.limit.setAccessibleName(self.tr("Samples to evaluate"))
        self.limit.setToolTip(self.tr("Chosen by a fixed seed; fewer are faster and give a wider interval."))
        self.limit.setRange(0, 50_000)
        self.limit.setSingleStep(500)
        self.limit.setSpecialValueText(self.tr("all"))
        self.limit.valueChanged.connect(self._ask_soon)
        self.train = QCheckBox(self.tr("Train MobileNet-v2 (QAT), as published"), self)
        self.train.setObjectName("benchmarkTrain")
        self.train.setAccessibleName(self.train.text())
        self.train.setToolTip(self.tr("Trains for some minutes; without it the row is static, and says so."))
        self.train.toggled.connect(self._choose)
        left, right = QFormLayout(), QFormLayout()
        for form in (left, right):
            form.setHorizontalSpacing(10)
            form.setVerticalSpacing(5)
        for form, text, field in (
            (left, self.tr("Images"), self.images), (left, self.tr("Weights"), self.weights),
            (right, self.tr("MRPC"), self.mrpc), (right, self.tr("BERT"), self.bert),
        ):  # fmt: skip
            label = QLabel(text, box)
            label.setBuddy(field)
            form.addRow(label, field)
        choices = QHBoxLayout()
        caption = QLabel(self.tr("Samples"), box)
        caption.setBuddy(self.limit)
        for widget in (self.download, self.train, caption, self.limit):
            choices.addWidget(widget)
            choices.addSpacing(8 if widget is caption else 14)
        choices.addStretch(1)
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 2)
        grid.setHorizontalSpacing(20)
        grid.addLayout(left, 0, 0)
        grid.addLayout(right, 0, 1)
        grid.addLayout(choices, 1, 0, 1, 2)
        return box

    def _path(self, name: str, what: str, tip: str, pattern: str = "") -> PathField:
        field = PathField(name, what, tip, pattern, self)
        field.changed.connect(self._ask_soon)
        return field

    # Settings

    def _show_settings(self) -> None:
        chosen = self.work.settings
        widgets = (self.images, self.weights, self.mrpc, self.bert, self.limit, self.train)
        for widget in widgets:
            widget.blockSignals(True)
        for field, path in zip(widgets[:4], (chosen.images, chosen.weights, chosen.mrpc, chosen.bert), strict=True):
            field.set_path(path)
        self.limit.setValue(chosen.limit)
        self.train.setChecked(chosen.training_images > 0)
        for widget in widgets:
            widget.blockSignals(False)

    def _ask_soon(self) -> None:
        self._resting.start()

    def _choose(self) -> None:
        self._resting.stop()
        before = self.work.settings
        images = before.training_images or type(before)().training_images
        chosen = msgspec.structs.replace(
            before,
            images=self.images.path,
            weights=self.weights.path,
            mrpc=self.mrpc.path,
            bert=self.bert.path,
            download=self.download.isChecked(),
            limit=self.limit.value(),
            training_images=images if self.train.isChecked() else 0,
        )
        if chosen != before:
            self.work.choose(chosen)

    # Showing

    def refresh(self) -> None:
        """Show results, what is missing, and what runs."""
        work = self.work
        self.trouble.tell(work.trouble)
        for key, shown in self.rows.items():
            problem, place = work.problems.get(key, ""), work.place(key)
            shown.show_state(work.states.get(key), work.results.get(key), work.stale(key), problem, place)
        for table, button in self.run_all.items():
            ready = work.runnable(published.rows_of([table]))
            button.setEnabled(bool(ready))
            one, many = self.tr("Run the one that can be run."), self.tr("Run {count} rows one after the other.")
            text = one if len(ready) == 1 else many
            count = text.format(count=len(ready))
            button.setToolTip(count if ready else self.tr("No row can be run now; each says what it lacks."))
