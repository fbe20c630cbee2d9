"""Quantization-aware training: fake quantize in the forward pass, a short run, weights back into the float graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    QConfig,
    default_fixed_qparams_range_0to1_fake_quant,
    default_fixed_qparams_range_neg1to1_fake_quant,
)
from torch.ao.quantization.quantize_fx import prepare_qat_fx

from qgui.core.errors import QguiError
from qgui.engine.batch import Batch
from qgui.engine.data import Data
from qgui.engine.fx import plain
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress

EPOCHS = 2
LEARNING_RATE = 1e-4
MOMENTUM = 0.9
BATCH_SIZE = 16


class PresetFakeQuantize(plain.Preset):
    """Rounds an activation to the grid that calibration chose, with the straight-through gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor after rounding to int8 and back."""
        return torch.fake_quantize_per_tensor_affine(
            x, float(self.scale[0]), int(self.zero_point[0]), self.quant_min, self.quant_max
        )


def trained(
    module: fx.GraphModule, decisions: plain.Decisions, data: Data, progress: Progress, seed: int = 0
) -> tuple[fx.GraphModule, str]:
    """Return the canonical graph with weights trained under fake quantization, and what was done as a sentence.

    Activations keep the ranges of calibration, BatchNorm keeps its statistics; weights, biases and BatchNorm's scale
    and shift are trained with SGD on the calibration samples: cross-entropy where they have labels, else distillation
    from the float model (mean squared error of the outputs).

    Args:
        module: Canonical graph in evaluation mode; left as it is.
        decisions: What the lowering will be told.
        data: Opened data.
        progress: Told after every batch, asked within it whether to stop.
        seed: Seed of the sample order.

    Raises:
        QguiError: The loss is not finite.
        Cancelled: The person asked to stop.
    """
    with plain.engine(decisions["backend"]), plain.quiet():
        prepared = _prepare(module, decisions)
    names = [str(node.target) for node in module.graph.nodes if node.op == "placeholder"]
    labelled = data.samples.labelled
    parameters = [p for p in prepared.parameters() if p.requires_grad]
    _stop_within_a_batch(prepared, parameters, progress)
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)
    total, done = EPOCHS * len(data.calibration), 0
    for batch in _shuffled(data, seed):
        progress.step("Training", done, total)
        output = main_output(prepared(*batch.positional(names)))
        if labelled and batch.target is not None and output.dim() == 2:
            loss = F.cross_entropy(output, batch.target.reshape(-1).long())
        else:
            with torch.no_grad():
                teacher = main_output(module(*batch.positional(names)))
            loss = F.mse_loss(output, teacher)
        if not torch.isfinite(loss):
            why = f"the loss became {loss.item()} after {done} samples"
            raise QguiError("Training stopped", why, "Calibrate with more samples, or choose static for some layers.")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        done += len(batch.indices)
    progress.step("Training", total, total)
    kind = "cross-entropy" if labelled else "distillation from the float model"
    note = f"Trained {EPOCHS} epochs on {len(data.calibration)} samples with {kind}, learning rate {LEARNING_RATE:g}."
    return _weights_back(module, prepared), note


def _stop_within_a_batch(prepared: fx.GraphModule, parameters: list[nn.Parameter], progress: Progress) -> None:
    """Let cancelling take effect at every module and every gradient: a batch of a large network takes seconds."""
    for inner in prepared.modules():
        inner.register_forward_pre_hook(lambda *_: progress.check())
    for parameter in parameters:
        parameter.register_hook(lambda _: progress.check())


def _shuffled(data: Data, seed: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        order = torch.randperm(len(data.calibration), generator=generator).tolist()
        yield from data.batches([data.calibration[i] for i in order], BATCH_SIZE)


def _prepare(module: fx.GraphModule, decisions: plain.Decisions) -> fx.GraphModule:
    folded = plain.fold_clamps(module, decisions["folded"]).train()
    mapping = plain.qconfig_mapping(folded, decisions, _qconfig)
    prepared: fx.GraphModule = prepare_qat_fx(folded, mapping, (), plain.prepare_custom(decisions["leaves"]))
    plain.preset_activations(prepared, decisions["tensors"], PresetFakeQuantize)
    prepared.apply(freeze_bn_stats)
    for inner in prepared.modules():
        if isinstance(inner, nn.modules.batchnorm._BatchNorm):
            inner.eval()
    return prepared


def _qconfig(decision: dict[str, Any], module: nn.Module | None) -> QConfig | None:
    """Return the qconfig of a static or QAT layer; dynamic layers train in float."""
    if decision["mode"] == "dynamic":
        return None
    decided = decision.get("weight", {})
    per_channel = str(decided.get("qscheme", "")).startswith("per_channel")
    observer = MovingAveragePerChannelMinMaxObserver if per_channel else MovingAverageMinMaxObserver
    weight = FakeQuantize.with_args(
        observer=observer,
        quant_min=-128,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric,
        averaging_constant=1.0,
    )
    if isinstance(module, plain.FIXED_MODULES):
        signed = isinstance(module, nn.Tanh)
        fixed = (
            default_fixed_qparams_range_neg1to1_fake_quant if signed else default_fixed_qparams_range_0to1_fake_quant
        )
        return QConfig(activation=fixed, weight=weight)
    return QConfig(activation=PresetFakeQuantize, weight=weight)


def _weights_back(module: fx.GraphModule, prepared: fx.GraphModule) -> fx.GraphModule:
    """Return a copy of the canonical graph with the trained weights; a fused ConvBn gives its BatchNorm back too."""
    result = copy.deepcopy(module)
    own = dict(result.named_modules())
    batch_norm_of = {
        str(node.args[0].target): str(node.target)
        for node in result.graph.nodes
        if node.op == "call_module"
        and isinstance(own[str(node.target)], nn.modules.batchnorm._BatchNorm)
        and node.args[0].op == "call_module"
    }
    with torch.no_grad():
        for path, source in prepared.named_modules():
            target = own.get(path)
            if target is None or not isinstance(getattr(source, "weight", None), torch.Tensor):
                continue
            target.weight.copy_(source.weight)
            if isinstance(getattr(target, "bias", None), torch.Tensor) and source.bias is not None:
                target.bias.copy_(source.bias)
            inner = getattr(source, "bn", None)
            if isinstance(inner, nn.modules.batchnorm._BatchNorm) and path in batch_norm_of:
                own[batch_norm_of[path]].load_state_dict(inner.state_dict())
    return result.eval()
