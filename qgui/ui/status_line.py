"""The bottom line: what is being done, how far it is, how long it will take, and Cancel."""

from __future__ import annotations

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QToolButton, QWidget

from qgui.core.messages import Progress
from qgui.core.results import DataDescription, MachineDescription
from qgui.ui import formatting
from qgui.ui.worker_client import WorkerState


class StatusLine(QWidget):
    """Shows the running job or a hint, and the engine.

    Args:
        cancel: The action that stops the job.
        parent: Qt parent.
    """

    def __init__(self, cancel: QAction, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statusLine")
        self.text = QLabel(self)
        self.text.setObjectName("statusText")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar(self)
        self.bar.setObjectName("statusProgress")
        self.bar.setAccessibleName(self.tr("Progress of the job"))
        self.bar.setToolTip(self.tr("How far the job is; without a length while that is not known."))
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(self.fontMetrics().averageCharWidth() * 24)
        self.bar.setFixedHeight(max(8, self.fontMetrics().height() * 2 // 3))
        self.left = QLabel(self)
        self.left.setObjectName("statusTimeLeft")
        self.cancel = QToolButton(self)
        self.cancel.setObjectName("statusCancel")
        self.cancel.setDefaultAction(cancel)
        self.cancel.setAccessibleName(self.tr("Cancel job"))
        self.engine = QLabel(self)
        self.engine.setObjectName("statusEngine")
        self.engine.setProperty("faint", True)
        self.data = QLabel(self)
        self.data.setObjectName("statusData")
        self.data.setProperty("faint", True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.setSpacing(10)
        layout.addWidget(self.text, 1)
        for widget in (self.bar, self.left, self.cancel, self.data, self.engine):
            layout.addWidget(widget)
        # A job must not move the panels above it.
        self.setFixedHeight(self.cancel.sizeHint().height() + 4)
        self._working = ""
        self.show_idle("")

    def show_idle(self, text: str) -> None:
        """Show a sentence; no job runs."""
        self._working = ""
        self.text.setText(text)
        for widget in (self.bar, self.left, self.cancel):
            widget.hide()

    def show_job(self, title: str, waiting: str = "") -> None:
        """Show that a job has begun, or what it waits for."""
        if title == self._working and not waiting:
            return
        self._working = title
        self.text.setText(f"{title} … {waiting}".rstrip())
        self.bar.setRange(0, 0)
        self.left.setText("")
        for widget in (self.bar, self.left, self.cancel):
            widget.show()

    def show_progress(self, progress: Progress) -> None:
        """Show how far the job is."""
        count = ""
        if progress.total > 0:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
            count = self.tr("{done} of {total}").format(done=progress.done, total=progress.total)
        else:
            self.bar.setRange(0, 0)
        self.text.setText(f"{progress.phase}  {count}".rstrip())
        left = progress.seconds_left
        self.left.setText("" if left is None else self.tr("{time} left").format(time=formatting.duration(left)))

    def show_data(self, data: DataDescription | None) -> None:
        """Show which data is open and how its samples are used."""
        self.data.setVisible(data is not None)
        if data is None:
            return
        source = formatting.shortened(formatting.short_source(data.source), 28)
        counts = self.tr("{calibration} to calibrate, {evaluation} to evaluate").format(
            calibration=data.calibration, evaluation=data.evaluation
        )
        self.data.setText(source)
        shape = ", ".join(formatting.shape(shape) for shape in data.input_shapes)
        self.data.setToolTip(f"{data.source}: {counts}. {self.tr('Input')} {shape}.")

    def show_engine(self, state: WorkerState, machine: MachineDescription | None, backend: str, threads: int) -> None:
        """Show how the engine is and what it computes with."""
        if state is WorkerState.STARTING:
            self.engine.setText(self.tr("engine is starting …"))
            self.engine.setToolTip(self.tr("PyTorch is being loaded in a process of its own."))
        elif state is WorkerState.BROKEN:
            self.engine.setText(self.tr("✕ engine does not start"))
            self.engine.setToolTip(self.tr("The log says more; the next job tries again."))
        elif machine is not None:
            threads_text = self.tr("{count} thread") if threads == 1 else self.tr("{count} threads")
            self.engine.setText(f"{backend} · {threads_text.format(count=threads)}")
            self.engine.setToolTip(
                self.tr("{cpu}, {cores} cores, {capability}, PyTorch {version}").format(
                    cpu=machine.cpu,
                    cores=machine.cores,
                    capability=machine.capability,
                    version=machine.torch_version,
                )
            )
        else:
            self.engine.setText("")
