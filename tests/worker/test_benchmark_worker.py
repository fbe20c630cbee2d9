"""Published rows through a real worker process."""

from pathlib import Path

from worker_process import Worker

from qgui.core import messages
from qgui.core.benchmarks import BenchmarkSettings
from qgui.core.recipe import ModelReference


def test_that_the_worker_says_what_each_row_lacks_and_refuses_to_run_it_so(worker: Worker) -> None:
    checked = worker.do(messages.CheckBenchmarks, settings=BenchmarkSettings(weights="/no/such"))
    assert isinstance(checked, messages.BenchmarksChecked), checked
    states = {state.key: state for state in checked.states}
    assert len(states) == 11
    assert states["latency/resnet50"].missing == ()
    assert checked.cpu
    assert "torchvision" in checked.versions
    failed = worker.do(messages.RunBenchmark, key="accuracy/resnet50", settings=BenchmarkSettings())
    assert isinstance(failed, messages.Failed), failed
    assert failed.what == "Could not run ResNet-50 (accuracy)"
    assert failed.next_step == states["accuracy/resnet50"].needs


def test_that_a_row_is_cancelled_and_the_open_model_stays(worker: Worker, tmp_path: Path) -> None:
    opened = worker.do(messages.OpenModel, model=ModelReference("example:digits-cnn"))
    assert isinstance(opened, messages.ModelOpened), opened
    worker.send(messages.RunBenchmark(job=900, key="latency/mobilenet_v2", settings=BenchmarkSettings()))
    worker.until(lambda event: isinstance(event, messages.Progress) and event.phase == "Calibrating")
    worker.send(messages.Cancel(job=900))
    ended = worker.until(lambda event: isinstance(event, (messages.Stopped, messages.BenchmarkRun)))
    assert isinstance(ended, messages.Stopped), ended
    layer = next(layer.name for layer in opened.model.layers if layer.weight_shape)
    shown = worker.do(messages.WeightRanges, layer=layer, path=str(tmp_path / "w.npz"))
    assert isinstance(shown, messages.WeightRangesWritten), shown


def test_that_an_unknown_row_fails(worker: Worker) -> None:
    failed = worker.do(messages.RunBenchmark, key="latency/none", settings=BenchmarkSettings())
    assert isinstance(failed, messages.Failed), failed
    assert failed.why == "there is no row latency/none"
