"""Sessions that are opened and calibrated once for all tests of the engine."""

from collections.abc import Iterator

import pytest
import torch
from sessions import QUIET, Calibrated, open_session

from qgui.engine.session import Session


@pytest.fixture(scope="session")
def calibrated() -> Calibrated:
    """Return sessions by model and data, opened and calibrated once; a test may quantize again as it likes."""
    known: dict[tuple[str, str], Session] = {}

    def get(model: str, data: str = "images") -> Session:
        if (model, data) not in known:
            session = open_session(model, data)
            session.calibrate(QUIET)
            known[model, data] = session
        return known[model, data]

    return get


@pytest.fixture(autouse=True)
def global_state_is_restored() -> Iterator[None]:
    """Fail a test after which torch has another engine or another number of threads than before."""
    before = torch.backends.quantized.engine, torch.get_num_threads(), torch.is_grad_enabled()
    yield
    assert (torch.backends.quantized.engine, torch.get_num_threads(), torch.is_grad_enabled()) == before
