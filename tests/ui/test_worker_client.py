import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from qgui.core import messages
from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.jobs import Job
from qgui.ui.worker_client import WorkerClient, WorkerState

Heard = Callable[[], list[str]]


def open_model(client: WorkerClient, source: str) -> Job:
    return client.submit(Job(messages.OpenModel(model=ModelReference(source)), "Opening model"))


def prepare(qtbot: QtBot, client: WorkerClient, source: str) -> None:
    """Open model and data."""
    open_model(client, source)
    with qtbot.waitSignal(client.finished, check_params_cb=lambda job: isinstance(job.command, messages.OpenData)):
        client.submit(Job(messages.OpenData(data=DataReference("example:digits")), "Opening data"))
        client.start()


def calibrate(client: WorkerClient, tmp_path: Path) -> Job:
    return client.submit(Job(messages.Calibrate(path=str(tmp_path / "statistics.npz")), "Calibrating"))


def test_that_jobs_run_in_order_and_report_success(qtbot: QtBot, client: WorkerClient, heard: Heard) -> None:
    answers: list[messages.Event] = []
    client.submit(Job(messages.OpenModel(model=ModelReference("example:a")), "Opening").success(answers.append))
    client.submit(Job(messages.OpenData(data=DataReference("example:b")), "Opening").success(answers.append))
    with qtbot.waitSignal(client.finished, check_params_cb=lambda job: isinstance(job.command, messages.OpenData)):
        client.start()
    assert [type(answer).__name__ for answer in answers] == ["ModelOpened", "DataOpened"]
    assert heard() == ["OpenModel", "OpenData"]


def test_that_a_failure_goes_to_its_job_or_is_announced(qtbot: QtBot, client: WorkerClient) -> None:
    failures: list[messages.Failed] = []
    command = messages.OpenModel(model=ModelReference("example:missing"))
    client.submit(Job(command, "Opening").failure(failures.append))
    with qtbot.waitSignal(client.failed) as announced:
        open_model(client, "example:missing")
        client.start()
    assert failures[0].why == "no such example"
    assert announced.args[1].next_step == "Choose another."


def test_that_progress_names_its_job(qtbot: QtBot, client: WorkerClient, tmp_path: Path) -> None:
    prepare(qtbot, client, "example:a")
    with qtbot.waitSignal(client.progressed) as signal, qtbot.waitSignal(client.finished):
        job = calibrate(client, tmp_path)
    assert signal.args[0] is job
    assert (signal.args[1].done, signal.args[1].total) == (3, 10)


def test_that_cancel_stops_a_job_that_cooperates(qtbot: QtBot, client: WorkerClient, tmp_path: Path) -> None:
    prepare(qtbot, client, "example:slow")
    stopped: list[bool] = []
    with qtbot.waitSignal(client.progressed):
        job = calibrate(client, tmp_path).stopped(lambda: stopped.append(True))
    with qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is job):
        client.cancel()
    assert stopped == [True]
    assert client.state is WorkerState.READY


def test_that_a_job_which_does_not_stop_is_ended_and_a_fresh_worker_takes_over(
    qtbot: QtBot, client: WorkerClient, tmp_path: Path, heard: Heard
) -> None:
    prepare(qtbot, client, "example:stubborn")
    with qtbot.waitSignal(client.progressed):
        job = calibrate(client, tmp_path)
    with (
        qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is job),
        qtbot.waitSignal(client.replaced) as replaced,
        qtbot.waitSignal(client.ready),
    ):
        client.cancel()
    assert "did not stop" in replaced.args[0]
    after = Job(messages.Quantize(recipe=_recipe()), "Quantizing")
    with qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is after):
        client.submit(after)
    assert heard() == ["OpenModel", "OpenData", "Calibrate", "Cancel", "OpenModel", "OpenData", "Quantize"]


def test_that_a_crash_costs_the_job_only_and_the_next_job_runs(
    qtbot: QtBot, client: WorkerClient, tmp_path: Path, heard: Heard
) -> None:
    prepare(qtbot, client, "example:crash")
    with qtbot.waitSignal(client.failed) as failed:
        calibrate(client, tmp_path)
    assert "exit code 9" in failed.args[1].why
    assert "out of memory" in failed.args[1].details
    again: list[messages.Event] = []
    job = Job(messages.Calibrate(path=str(tmp_path / "statistics.npz")), "Calibrating").success(again.append)
    with qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is job):
        client.submit(job)
    assert isinstance(again[0], messages.Calibrated)
    assert heard() == ["OpenModel", "OpenData", "Calibrate", "OpenModel", "OpenData", "Calibrate"]


def test_that_statistics_survive_a_crash(qtbot: QtBot, client: WorkerClient, tmp_path: Path, heard: Heard) -> None:
    prepare(qtbot, client, "example:a")
    with qtbot.waitSignal(client.finished):
        calibrate(client, tmp_path)
    prepare_again = Job(messages.OpenModel(model=ModelReference("example:missing")), "Opening")
    with qtbot.waitSignal(client.replaced), qtbot.waitSignal(client.ready):
        client.submit(prepare_again)
        client.abandon()
    after = Job(messages.Quantize(recipe=_recipe()), "Quantizing")
    with qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is after):
        client.submit(after)
    assert heard()[-4:] == ["OpenModel", "OpenData", "UseStatistics", "Quantize"]


def test_that_cancelling_while_a_fresh_worker_takes_over_loses_nothing(
    qtbot: QtBot, client: WorkerClient, tmp_path: Path, heard: Heard
) -> None:
    prepare(qtbot, client, "example:a")
    with qtbot.waitSignal(client.finished):
        calibrate(client, tmp_path)
    stopped: list[bool] = []
    with qtbot.waitSignal(client.ready):
        os.kill(client._process.processId(), signal.SIGKILL)  # type: ignore[union-attr]
        qtbot.waitUntil(lambda: client.state is WorkerState.STARTING)
        client.submit(Job(messages.Quantize(recipe=_recipe()), "Quantizing").stopped(lambda: stopped.append(True)))
        client.cancel()
    client.cancel()
    assert stopped == [True]
    after = Job(messages.Quantize(recipe=_recipe()), "Quantizing")
    with qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is after):
        client.submit(after)
    assert heard()[-4:] == ["OpenModel", "OpenData", "UseStatistics", "Quantize"]


def test_that_a_worker_which_dies_while_taking_over_is_given_up_and_another_model_opens(
    qtbot: QtBot, client: WorkerClient, tmp_path: Path
) -> None:
    prepare(qtbot, client, "example:doomed crash")
    failures: list[messages.Failed] = []
    client.failed.connect(lambda _job, event: failures.append(event))
    calibrate(client, tmp_path)
    qtbot.waitUntil(lambda: client.state is WorkerState.BROKEN)
    assert [failure.what for failure in failures] == ["Calibrating did not finish", "No fresh engine could take over"]
    opened: list[messages.Event] = []
    job = Job(messages.OpenModel(model=ModelReference("example:a")), "Opening model").success(opened.append)
    with qtbot.waitSignal(client.finished, check_params_cb=lambda ended: ended is job):
        client.submit(job)
    assert isinstance(opened[0], messages.ModelOpened)


def test_that_a_model_which_a_fresh_worker_cannot_open_again_is_told(
    qtbot: QtBot, client: WorkerClient, tmp_path: Path, heard: Heard
) -> None:
    prepare(qtbot, client, "example:vanishing crash")
    failures: list[messages.Failed] = []
    client.failed.connect(lambda _job, event: failures.append(event))
    calibrate(client, tmp_path)
    qtbot.waitUntil(lambda: len(failures) == 2)
    assert failures[1].what == "A fresh engine could not take over: Could not open the model"
    assert failures[1].why == "there is no file"
    assert heard()[-2:] == ["Calibrate", "OpenModel"]


def test_that_a_worker_which_never_starts_is_given_up_with_a_reason(qtbot: QtBot, tmp_path: Path) -> None:
    broken = WorkerClient([sys.executable, "-c", "import sys; sys.exit('no torch here')"])
    with qtbot.waitSignal(broken.failed) as failed:
        broken.start()
    assert broken.state is WorkerState.BROKEN
    assert "no torch here" in failed.args[1].details
    broken.shut_down()


def test_that_a_missing_program_is_reported(qtbot: QtBot, tmp_path: Path) -> None:
    broken = WorkerClient([str(tmp_path / "nothing")])
    with qtbot.waitSignal(broken.failed) as failed:
        broken.start()
    assert failed.args[1].what == "The engine does not start"
    broken.shut_down()


@pytest.mark.parametrize("started", [False, True])
def test_that_shutting_down_ends_the_process(qtbot: QtBot, client: WorkerClient, started: bool) -> None:
    if started:
        with qtbot.waitSignal(client.ready):
            client.start()
    else:
        client.start()
    client.shut_down()
    assert client.state is WorkerState.STOPPED


def _recipe() -> object:
    from qgui.core.recipe import Recipe

    return Recipe()
