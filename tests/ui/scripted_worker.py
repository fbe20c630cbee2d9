"""A worker that answers from a script: what it does follows from the names of the sources it is asked to open.

Run as `scripted_worker.py FOLDER`; it writes every command it hears to `FOLDER/heard.txt`, one line each.
"""

import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import ui_samples

from qgui.core import measured, messages, statistics
from qgui.core.results import BackendTiming
from qgui.core.slowness import WayOutEffect
from qgui.core.training import Training
from qgui.core.training_run import CHECKPOINT

FOLDER = Path(sys.argv[1])


def send(event: messages.Event) -> None:
    sys.stdout.buffer.write(messages.frame(event))
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    with (FOLDER / "heard.txt").open("a") as file:
        file.write(text + "\n")


class Script:
    def __init__(self) -> None:
        self.source = ""
        self.waiting = 0
        self.recipe = None
        self.training = Training()

    def answer(self, command: messages.AnyCommand) -> messages.Event | None:
        job = command.job
        match command:
            case messages.OpenModel():
                self.source = command.model.source
                return self.open_model(command)
            case messages.OpenData():
                if command.data.source == "example:empty":
                    return messages.Failed(job=job, what="Could not open the data", why="it is empty")
                return messages.DataOpened(job=job, data=ui_samples.data(), reference=command.data)
            case messages.Calibrate():
                return self.calibrate(command)
            case messages.UseStatistics():
                return messages.StatisticsTaken(job=job, path=command.path)
            case messages.Quantize():
                self.recipe = command.recipe
                return messages.Quantized(job=job, result=ui_samples.result(command.recipe))
            case messages.Train():
                return self.train(command)
            case messages.KeepTraining():
                self.recipe = command.recipe
                return ui_samples.trained(job, command.recipe)
            case messages.EstimateTraining():
                return messages.TrainingEstimated(job=job, estimate=ui_samples.estimate(command.recipe))
            case messages.SteerTraining():
                return self.steer(command)
            case messages.Compare():
                return messages.Compared(job=job, comparison=ui_samples.comparison(self.recipe))
            case messages.MeasureActivations():
                if self.source.endswith("unmeasurable"):
                    return messages.Failed(job=job, what="Could not measure", why="it is dark")
                measured.save(ui_samples.measured(self.recipe), Path(command.path))
                return messages.ActivationsMeasured(job=job, path=command.path)
            case messages.ShowSamples():
                return messages.SamplesShown(job=job, samples=ui_samples.samples(command.samples, Path(command.folder)))
            case messages.MeasureBackends():
                timings = (BackendTiming("onednn", "torchscript", 0.8), BackendTiming("x86", "eager", 1.1))
                return messages.BackendsMeasured(job=job, timings=timings)
            case messages.MeasureRuntimes():
                return messages.RuntimesMeasured(job=job, table=ui_samples.runtime_table(self.recipe))
            case messages.MeasureWayOut():
                effect = WayOutEffect(command.way, 3.0, 9.0, 1.5, 20.0, 22.0)
                if command.way.kind == "runtime":
                    effect = WayOutEffect(command.way, 3.0, 9.0, None, problem="It does not run there.")
                return messages.WayOutMeasured(job=job, effect=effect)
            case messages.Export() if self.source.endswith("lingering"):
                send(messages.Progress(job=job, phase="Exporting", done=1, total=3))
                self.waiting = job
                return None
            case messages.Export():
                path = Path(command.folder) / "model.pt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"int8")
                return messages.Exported(job=job, exports=ui_samples.exports(path))
            case messages.WeightRanges():
                write_weight(Path(command.path))
                return messages.WeightRangesWritten(job=job, layer=command.layer, path=command.path)
            case messages.WriteGraph() if self.source.endswith("inexpressible"):
                return messages.Failed(job=job, what="Could not draw the graph", why="ONNX has no operator for it")
            case messages.WriteGraph():
                graph = ui_samples.graph(command.kind, Path(command.path))
                nodes = 2_001 if self.source.endswith("huge") else graph.nodes
                return messages.GraphWritten(job=job, graph=msgspec.structs.replace(graph, nodes=nodes))
            case messages.CheckBenchmarks():
                states = ui_samples.benchmark_states(command.settings)
                return messages.BenchmarksChecked(job=job, states=states, cpu="a processor", versions={"torch": "2.9"})
            case messages.RunBenchmark(key="latency/bert"):
                return messages.Failed(job=job, what="Could not run BERT", why="it is dark", next_step="Wait.")
            case messages.RunBenchmark(key="latency/mobilenet_v2"):
                send(messages.Progress(job=job, phase="Measuring latency", done=1, total=9))
                self.waiting = job
                return None
            case messages.RunBenchmark():
                return messages.BenchmarkRun(job=job, result=ui_samples.benchmark_result(command.key))
            case messages.Cancel():
                if self.waiting and not self.source.endswith("stubborn"):
                    stopped, self.waiting = self.waiting, 0
                    return messages.Stopped(job=stopped)
        return None

    def open_model(self, command: messages.OpenModel) -> messages.Event:
        if self.source == "evil.pt" and not command.trust:
            return messages.Failed(
                job=command.job, what="Could not open evil.pt", why="it wants to run code", needs_trust=True
            )
        if (FOLDER / "crashed").exists():
            if self.source.endswith("doomed crash"):
                os._exit(9)
            if self.source.endswith("vanishing crash"):
                return messages.Failed(job=command.job, what="Could not open the model", why="there is no file")
        if self.source == "example:missing":
            return messages.Failed(
                job=command.job, what="Could not open the model", why="no such example", next_step="Choose another."
            )
        return messages.ModelOpened(job=command.job, model=ui_samples.model(self.source), reference=command.model)

    def train(self, command: messages.Train) -> messages.Event | None:
        """Tell an epoch and leave its checkpoint; go on only where the recipe asks for no more than one epoch."""
        self.recipe, self.training = command.recipe, command.recipe.training
        folder = Path(command.folder)
        if self.training.loss == "nan":
            return messages.Failed(job=command.job, what="Training stopped", why="the loss became nan in stem.conv")
        first = ui_samples.training_update(command.recipe, resumed=command.resume)
        send(messages.TrainingProgress(job=command.job, update=first))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CHECKPOINT).write_bytes(msgspec.json.encode(ui_samples.checkpoint(command.recipe)))
        if self.training.epochs == 1:
            return ui_samples.trained(command.job, command.recipe)
        self.waiting = command.job
        return None

    def steer(self, command: messages.SteerTraining) -> messages.Event | None:
        if command.job != self.waiting:
            return None
        if command.action == "finish":
            self.waiting = 0
            return ui_samples.trained(command.job, self.recipe, self.training.steering)
        if command.change is not None:
            self.training = msgspec.structs.replace(self.training, steering=(command.change,))
        resting = command.action == "pause"
        update = ui_samples.training_update(self.recipe, paused=resting, settings=self.training)
        return messages.TrainingProgress(job=command.job, update=update)

    def calibrate(self, command: messages.Calibrate) -> messages.Event | None:
        send(messages.Progress(job=command.job, phase="Calibrating", done=3, total=10, seconds_left=7.0))
        if self.source.endswith("crash") and not (FOLDER / "crashed").exists():
            (FOLDER / "crashed").touch()
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(9)
        if self.source.endswith("nan") and not (command.recipe and command.recipe.data.finite_only):
            return messages.Failed(
                job=command.job, what="Calibration stopped", why="the output of head holds NaN", needs_consent=True
            )
        if self.source.endswith(("slow", "stubborn")):
            self.waiting = command.job
            return None
        statistics.save(ui_samples.record(recipe=command.recipe), Path(command.path))
        return messages.Calibrated(job=command.job, path=command.path, samples=20, seconds=0.1)


def write_weight(path: Path) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (16, 27)).astype(np.float32)
    counts, edges = np.histogram(weight, 64)
    arrays = {"minimum": weight.min(axis=1), "maximum": weight.max(axis=1), "counts": counts, "edges": edges}
    for granularity, rows in (("per-channel", 16), ("per-tensor", 1)):
        for kind in ("minmax", "mse"):
            arrays[f"{granularity}/{kind}/low"] = np.full(rows, -3.0)
            arrays[f"{granularity}/{kind}/high"] = np.full(rows, 3.0)
            arrays[f"{granularity}/{kind}/sqnr_db"] = np.array(40.0)
            arrays[f"{granularity}/{kind}/sqnr_by_row"] = np.linspace(20, 40, 16)[:: -1 if rows == 1 else 1]
    for name, rows in (("whole", weight.reshape(1, -1)), ("channels", weight)):
        arrays[f"{name}/points"], arrays[f"{name}/mass"] = np.sort(rows, axis=1), np.ones(rows.shape)
        arrays[f"{name}/zeros"] = arrays[f"{name}/width"] = np.zeros(len(rows))
    np.savez(path, **arrays)


def main() -> None:
    script = Script()
    reader = messages.FrameReader()
    send(messages.LogLine(level="info", text="hello"))
    send(messages.Ready(machine=ui_samples.MACHINE))
    while data := os.read(0, 1 << 16):
        for body in reader.feed(data):
            command = messages.decode_command(body)
            if isinstance(command, messages.Shutdown):
                return
            note(type(command).__name__)
            event = script.answer(command)
            if event is not None:
                send(event)


main()
