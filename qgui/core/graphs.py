"""A model as a picture of its graph: what the engine writes for it and the window shows."""

from __future__ import annotations

from typing import Literal

import msgspec

GraphKind = Literal["float", "quantized"]

#: A graph of more nodes takes long to lay out; the person is asked first.
LARGE_GRAPH = 2_000


class GraphFile(msgspec.Struct, frozen=True):
    """A graph in a file.

    Attributes:
        kind: Of which model.
        path: An ONNX file whose nodes are named after the layers; values of large tensors are left out.
        nodes: Number of its nodes.
        left_out: Bytes of weights that were left out.
    """

    kind: GraphKind
    path: str
    nodes: int
    left_out: int = 0
