"""The shape of the layer table: modules as branches, layers as rows, fused layers under the head they follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qgui.core.layers import Layer, ModelDescription


@dataclass(slots=True, eq=False)
class Row:
    """A row of the layer table.

    Attributes:
        path: Dotted path of the module or layer.
        label: What is shown: the path without that of the parent row.
        layer: The layer; None for a module that only holds others.
        parent: The row above it in the tree; None for the invisible root.
        position: Its place among the parent's rows.
        number: Its place in the list of all rows.
        rows: Rows beneath.
    """

    path: str
    label: str
    layer: Layer | None
    parent: Row | None
    position: int = 0
    number: int = 0
    rows: list[Row] = field(default_factory=list)

    def layers(self) -> Iterator[Layer]:
        """Yield the layer of this row and those of all rows beneath."""
        if self.layer is not None:
            yield self.layer
        for row in self.rows:
            yield from row.layers()

    def heads(self) -> Iterator[Layer]:
        """Yield the layers of this row and beneath that carry a rule."""
        return (layer for layer in self.layers() if layer.head)


def build(model: ModelDescription | None, flat: bool) -> tuple[Row, list[Row]]:
    """Return the root and all rows in order.

    Args:
        model: The open model; without one there are no rows.
        flat: Whether layers stand in one list (with fused layers under their heads), for sorting over the whole model.
    """
    root = Row("", "", None, None)
    layers = model.layers if model else ()
    by_path: dict[str, Row] = {}
    fused: list[Layer] = []
    for layer in layers:
        if not layer.head:
            fused.append(layer)
            continue
        parent = root if flat else _branch(root, by_path, layer.name)
        existing = by_path.get(layer.name)
        if existing is not None and existing.layer is None:
            existing.layer = layer
        else:
            by_path[layer.name] = _append(parent, layer.name, layer)
    for layer in fused:
        head = by_path.get(layer.group)
        _append(head or root, layer.name, layer, "" if flat else _common_path(layer.name, layer.group))
    rows: list[Row] = []
    _number(root, rows)
    return root, rows


def _branch(root: Row, by_path: dict[str, Row], path: str) -> Row:
    """Return the row under which a path belongs, making the rows of modules on the way."""
    row = root
    end = path.find(".")
    while end != -1:
        prefix = path[:end]
        if prefix not in by_path:
            by_path[prefix] = _append(row, prefix, None)
        row = by_path[prefix]
        end = path.find(".", end + 1)
    return row


def _append(parent: Row, path: str, layer: Layer | None, prefix: str | None = None) -> Row:
    before = parent.path if prefix is None else prefix
    label = path[len(before) + 1 :] if before and path.startswith(before + ".") else path
    row = Row(path, label, layer, parent, position=len(parent.rows))
    parent.rows.append(row)
    return row


def _common_path(name: str, head: str) -> str:
    """Return the module path that a fused layer and its head have in common."""
    shared = []
    for a, b in zip(name.split(".")[:-1], head.split("."), strict=False):
        if a != b:
            break
        shared.append(a)
    return ".".join(shared)


def _number(row: Row, rows: list[Row]) -> None:
    for position, child in enumerate(row.rows):
        child.position = position
        child.number = len(rows)
        rows.append(child)
        _number(child, rows)
