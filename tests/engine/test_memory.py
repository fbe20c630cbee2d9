"""Memory that is held while work goes on is given back afterwards."""

from __future__ import annotations

import pytest
import torch

from qgui.engine import memory


def test_errors_of_torch_on_memory_are_known() -> None:
    assert memory.ran_out(MemoryError())
    assert memory.ran_out(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not memory.ran_out(RuntimeError("shapes differ"))


def test_what_is_computed_is_the_same_with_held_memory_and_errors_pass() -> None:
    torch.manual_seed(0)
    values = torch.randn(1024, 1024)
    with memory.held():
        inside = values @ values
    assert torch.equal(inside, values @ values)
    with pytest.raises(ValueError, match="as it is"), memory.held():
        raise ValueError("as it is")
