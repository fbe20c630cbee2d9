"""The files from which graphs are drawn."""

from pathlib import Path

import onnx
import pytest
import torch
from sessions import QUIET, Calibrated, recipe_of, session_of
from torch import nn

from qgui.core.errors import QguiError
from qgui.engine import graphs


def test_that_nodes_carry_layer_and_mode_and_large_weights_are_left_out(calibrated: Calibrated, tmp_path: Path) -> None:
    session = calibrated("residual")
    session.quantize(recipe_of(session), QUIET)
    for kind, mode in (("float", "float"), ("quantized", "static")):
        written = graphs.write(session, kind, tmp_path / f"{kind}.onnx")  # type: ignore[arg-type]
        model = onnx.load(written.path)
        assert written.nodes == len(model.graph.node)
        noted = [{entry.key: entry.value for entry in node.metadata_props} for node in model.graph.node]
        layers = {layer.name for layer in session.opened_model.description.layers}
        assert {"stem.0", "blocks.0.add", "fc"} <= {facts.get("layer") for facts in noted} <= {*layers, None}
        assert mode in {facts.get("mode") for facts in noted}
        pairs = zip(model.graph.node, noted, strict=True)
        assert all(node.name.startswith(facts.get("layer", "")) for node, facts in pairs)
        assert all(len(tensor.raw_data) <= 1_024 for tensor in model.graph.initializer)
        assert written.left_out > 0
        assert [path.name for path in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize(
    ("node", "layer"),
    [("a.0", "a.0"), ("a.0/quantize", "a.0"), ("a.0.weight/dequantize", "a.0"), ("x/int8/quantize", "x"), ("end", "")],
)
def test_that_the_layer_of_a_node_is_read_off_its_name(node: str, layer: str) -> None:
    assert graphs.layer_of(node, {"a.0", "x"}) == layer


def test_that_a_model_that_onnx_cannot_express_is_refused_in_words(tmp_path: Path) -> None:
    class Sorted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.qr(x)[0]

    session = session_of(Sorted(), torch.randn(4, 3, 3), calibrate=False)
    with pytest.raises(QguiError, match="Could not draw the graph"):
        graphs.write(session, "float", tmp_path / "float.onnx")
