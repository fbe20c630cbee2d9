"""Rows for what may be dynamic inside a module that does not trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch
from torch import nn

from qgui.core import legality
from qgui.core.errors import QguiError
from qgui.core.layers import Layer, Shape
from qgui.engine.fx.macs import module_macs
from qgui.engine.outputs import main_output


def inside_rows(module: nn.Module | None, path: str) -> list[Layer]:
    """Return rows for the Linear, recurrent and embedding modules inside a module that does not trace.

    Args:
        module: The leaf, or the whole model where its root does not trace.
        path: Its path, empty for the root.
    """
    rows = []
    wanted = legality.DYNAMIC_TYPES | {"NonDynamicallyQuantizableLinear", "RNN"}
    for name, inner in module.named_modules() if module is not None else ():
        kind = type(inner).__name__
        if not name or kind not in wanted or (kind.endswith("Cell") and not list(inner.parameters())):
            continue
        weight = getattr(inner, "weight", None)
        if isinstance(inner, (nn.LSTM, nn.GRU)):
            weight = inner.weight_ih_l0
        elif isinstance(inner, (nn.LSTMCell, nn.GRUCell, nn.RNNCell)):
            weight = inner.weight_ih
        rows.append(
            Layer(
                name=f"{path}.{name}" if path else name,
                type=kind,
                kind="inside",
                parameters=sum(p.numel() for p in inner.parameters()),
                weight_shape=tuple(weight.shape) if isinstance(weight, torch.Tensor) else None,
                fusion="proj_size" if getattr(inner, "proj_size", 0) else "",
                inside=path,
            )
        )
    return rows


def with_shapes(rows: Sequence[Layer], model: nn.Module, run: Callable[[], object]) -> tuple[Layer, ...]:
    """Return rows with the shapes and MACs of those inside, as the first call in a run of the model has them.

    Args:
        rows: Rows of the layer table; those that do not lie inside stay as they are.
        model: The model itself.
        run: Runs it on a sample. Modules that this sample does not reach keep unknown shapes.
    """
    seen: dict[str, tuple[Shape | None, Shape | None]] = {}

    def note(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, arguments: Any, outputs: Any) -> None:
            seen.setdefault(path, (_shape(arguments), _shape(outputs)))

        return hook

    modules = {row.name: model.get_submodule(row.name) for row in rows if row.kind == "inside"}
    hooks = [module.register_forward_hook(note(path)) for path, module in modules.items()]
    try:
        if hooks:
            with torch.inference_mode():
                run()
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(_shaped(row, modules.get(row.name), *seen.get(row.name, (None, None))) for row in rows)


def _shaped(row: Layer, module: nn.Module | None, source: Shape | None, output: Shape | None) -> Layer:
    if output is None:
        return row
    macs = module_macs(module, source, output)
    return msgspec.structs.replace(row, input_shape=source, output_shape=output, macs=macs)


def _shape(values: Any) -> Shape | None:
    try:
        return tuple(main_output(values).shape)
    except QguiError:
        return None
