"""A job that needs more memory than the worker may take fails with a message, and the worker goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from worker_process import Worker

from qgui.core import messages
from qgui.core.recipe import DataReference, ModelReference


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits the memory of a process")
def test_a_job_over_the_limit_fails_and_the_worker_goes_on(worker: Worker, tmp_path: Path) -> None:
    code = tmp_path / "big.py"
    code.write_text("import torch\n\ndef build():\n    return torch.nn.Linear(70000, 70000)\n")
    opened = worker.do(messages.OpenModel, model=ModelReference("example:digits-cnn"))
    assert isinstance(opened, messages.ModelOpened)
    worker.send(messages.LimitMemory(gibibytes=4))
    failed = worker.do(messages.OpenModel, model=ModelReference(f"{code}:build"))
    assert isinstance(failed, messages.Failed)
    assert "memory" in f"{failed.why} {failed.details}"
    worker.send(messages.LimitMemory(gibibytes=0))
    assert isinstance(worker.do(messages.OpenData, data=DataReference("example:digits")), messages.DataOpened)
