"""Ranges of weights: what each observer would choose for a layer's weight, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qgui.core import legality, ranges
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.plan import Choice
from qgui.core.qparams import weight_grid
from qgui.core.ranges import Distribution
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Observer, WeightSetting
from qgui.engine.fx import decide
from qgui.engine.opened import OpenedModel

#: Points of all channels together that are written for drawing and dragging.
_CHANNEL_POINTS = 1 << 18
_LEAST_POINTS = 16


def write_ranges(model: OpenedModel, layer: str, path: Path) -> None:
    """Write what each observer would choose for a layer's weight, per tensor and per channel, to an `.npz`.

    Raises:
        QguiError: The layer has no weight that can be quantized.
    """
    rows = rows_of(model, layer)
    if rows is None:
        raise QguiError(
            say("Could not show the weight"),
            say("{layer} has no single weight", layer=layer),
            say("Choose a Conv or Linear layer."),
        )
    arrays: dict[str, Any] = {"minimum": rows.min(axis=1), "maximum": rows.max(axis=1)}
    arrays["counts"], arrays["edges"] = np.histogram(rows, bins=512)
    arrays |= _drawn(rows)
    embedding = model.description.layer(layer).type in legality.EMBEDDINGS
    wide, narrow = WeightSetting(qscheme="per_tensor_symmetric"), WeightSetting(qscheme="per_channel_symmetric")
    settings = (WeightSetting("quint8", "per_channel_affine_float_qparams"),) if embedding else (wide, narrow)
    by_channel = ranges.of_weight(rows, True)
    for setting in settings:
        distribution = by_channel if setting.per_channel else ranges.of_weight(rows, False)
        for choice in choices(model, layer, setting, distribution):
            key = f"{setting.granularity}/{choice.observer.kind.value}"
            cost = ranges.assess(by_channel, choice.qparams)
            noise = cost.rounding + cost.clipping
            by_row = [ranges.decibel(float(s), float(n)) for s, n in zip(cost.energy, noise, strict=True)]
            arrays |= {
                f"{key}/low": choice.qparams.low,
                f"{key}/high": choice.qparams.high,
                f"{key}/scale": choice.qparams.scale,
                f"{key}/zero_point": choice.qparams.zero_point,
                f"{key}/sqnr_db": np.array(choice.sqnr_db),
                f"{key}/clipped": np.array(choice.clipped),
                f"{key}/sqnr_by_row": np.array(by_row),
            }
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def _drawn(rows: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Return where the values of the whole weight and of each channel lie, bounded whatever the weight's size."""
    points = min(max(_CHANNEL_POINTS // len(rows), _LEAST_POINTS), 1024)
    found: dict[str, Any] = {}
    for name, distribution in (
        ("whole", ranges.of_weight(rows, False)),
        ("channels", ranges.of_weight(rows, True, points)),
    ):
        found |= {
            f"{name}/points": distribution.points.astype(np.float32),
            f"{name}/mass": distribution.mass.astype(np.float32),
            f"{name}/zeros": distribution.zeros,
            f"{name}/width": distribution.width,
        }
    return found


def choices(
    model: OpenedModel, layer: str, setting: WeightSetting, distribution: Distribution | None = None
) -> list[Choice]:
    """Return what every automatic observer that a layer's weight may have would choose, and what that costs.

    Args:
        model: The open model.
        layer: Layer path.
        setting: Weight setting; its observer does not matter.
        distribution: Where the weight's values lie, if that is known already.
    """
    rows = rows_of(model, layer)
    if rows is None:
        return []
    distribution = distribution or ranges.of_weight(rows, setting.per_channel)
    grid, reasons = weight_grid(setting), legality.weight_observers(model.description.layer(layer), setting)
    found = []
    for kind in AUTOMATIC_OBSERVERS:
        if reasons[kind]:
            continue
        qparams = ranges.chosen_qparams(Observer(kind), distribution, grid, setting.per_channel)
        found.append(Choice(Observer(kind), qparams, ranges.assess(distribution, qparams)))
    return found


def rows_of(model: OpenedModel, name: str) -> npt.NDArray[np.float32] | None:
    """Return a layer's weight as it is quantized, shape `(channels, elements)`; None where it has no single one."""
    layer = model.description.layer(name)
    if not legality.has_weight(layer) or layer.type in legality.RECURRENT:
        return None
    if layer.kind != "inside":
        return decide.float_weight(model.graphs, layer) if model.graphs is not None else None
    weight = getattr(model.loaded.module.get_submodule(name), "weight", None)
    return decide.channel_rows(weight.detach(), layer.type) if isinstance(weight, torch.Tensor) else None
