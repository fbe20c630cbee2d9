"""Times of layers in both models, the float islands between int8 layers, and what a way out comes to."""

import msgspec
import pytest
import torch
from sessions import QUIET, Calibrated, open_session, quantized_graph, recipe_of, session_of
from torch import nn

from qgui.core.recipe import Mode
from qgui.core.slowness import WayOut
from qgui.engine import comparison, ways_out
from qgui.engine.session import Session


class Between(nn.Module):
    """A GELU, which has no int8 kernel, between two convolutions, and one behind the last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 4, 10)
        self.end = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.last(self.middle(self.first(x))).flatten(1))


def quantized(module: nn.Module, float_layers: tuple[str, ...] = ()) -> Session:
    session = session_of(module.eval(), torch.randn(6, 3, 12, 12))
    recipe = recipe_of(session)
    rules = {name: msgspec.structs.replace(recipe.rule(name), mode=Mode.FLOAT) for name in float_layers}
    session.quantize(recipe.with_rules(rules), QUIET)
    return session


def test_that_float_work_between_int8_layers_is_an_island_and_that_at_the_end_is_none() -> None:
    (island,) = comparison.compare(quantized(Between()), QUIET, runs=1).islands
    assert island.layers == ("middle",)
    assert min(island.dequantize_ms, island.work_ms, island.quantize_ms) > 0.0
    assert island.total_ms == pytest.approx(island.dequantize_ms + island.work_ms + island.quantize_ms)


def test_that_neighbouring_float_layers_are_one_island() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3), nn.Flatten())
    (island,) = comparison.compare(quantized(module, ("2",)), QUIET, runs=1).islands
    assert island.layers == ("1", "2")


def test_that_a_model_int8_throughout_has_no_islands(calibrated: Calibrated) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    assert comparison.compare(session, QUIET, runs=1).islands == ()


@pytest.mark.parametrize("way", [WayOut("backend", backend="onednn"), WayOut("float", layers=("middle",))])
def test_that_a_way_out_is_measured_against_the_present_and_nothing_is_kept(way: WayOut) -> None:
    session = quantized(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten()))
    before = quantized_graph(session)
    recipe = recipe_of(session, backend="x86")
    way = msgspec.structs.replace(way, layers=("2",) if way.kind == "float" else ())
    effect = ways_out.measure(session, recipe, way, QUIET, runs=2)
    assert effect.way == way
    assert effect.after_ms is not None
    assert min(effect.float_ms, effect.before_ms, effect.after_ms) > 0.0
    assert effect.gain == pytest.approx(effect.before_ms / effect.after_ms)
    assert effect.before_db is not None
    assert effect.before_db > 15.0
    assert quantized_graph(session) is before


def test_that_a_way_out_changes_only_what_it_says() -> None:
    session = open_session("residual")
    recipe, model = recipe_of(session), session.opened_model.description
    left = ways_out.taken(recipe, WayOut("float", layers=("fc",)), model)
    changed = {name for name in recipe.rules if left.rule(name) != recipe.rule(name)}
    assert changed == {"fc"}
    assert left.rule("fc").mode is Mode.FLOAT
    assert ways_out.taken(left, WayOut("static", layers=("fc",)), model).rules == recipe.rules
    assert ways_out.taken(recipe, WayOut("backend", backend="qnnpack"), model).backend == "qnnpack"


def test_that_a_way_out_which_does_not_convert_is_told() -> None:
    session = quantized(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()))
    recipe = recipe_of(session, backend="x86")
    effect = ways_out.measure(session, recipe, WayOut("backend", backend="none such"), QUIET, runs=1)
    assert effect.after_ms is None
    assert effect.gain is None
    assert effect.problem
