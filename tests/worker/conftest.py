"""Real worker processes, and data that takes long."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worker_process import Worker

from qgui.core import messages

LONG_DATA = """
import torch
from torch.utils.data import Dataset

print("printed while the file is imported")

class Endless(Dataset):
    def __len__(self):
        return 200000

    def __getitem__(self, i):
        print("printed for each sample")
        return torch.full((1, 8, 8), (i % 17) / 16), i % 10

def build():
    print("printed while the data is built")
    return Endless()
"""


@pytest.fixture
def fresh_worker(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Return the starter of workers of a test's own."""
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(tmp_path / f"worker-{len(started)}.log"))
        started[-1].next(messages.Ready)
        return started[-1]

    yield start
    for worker in started:
        worker.end()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for the tests that leave it usable."""
    worker = Worker(tmp_path_factory.mktemp("worker") / "worker.log")
    worker.next(messages.Ready)
    yield worker
    worker.end()


@pytest.fixture(scope="module")
def long_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data source that takes minutes to run through, and prints."""
    file = tmp_path_factory.mktemp("data") / "endless.py"
    file.write_text(LONG_DATA)
    return f"{file}:build"


BADLY_SCALED = """
import torch
from torch import nn

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 5, 3)
    def forward(self, x): return self.b(torch.relu(self.a(x)))

def pair():
    torch.manual_seed(0)
    module = Pair()
    with torch.no_grad():
        module.a.weight.mul_(torch.logspace(-1, 1, 8).reshape(8, 1, 1, 1))
        module.b.weight.div_(torch.logspace(-1, 1, 8).reshape(1, 8, 1, 1))
    return module.eval()
"""


@pytest.fixture(scope="module")
def badly_scaled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model source of two convolutions whose channels are scaled against each other badly."""
    file = tmp_path_factory.mktemp("model") / "badly_scaled.py"
    file.write_text(BADLY_SCALED)
    return f"{file}:pair"
