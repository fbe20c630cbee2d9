"""What a training minimizes: cross-entropy, distillation from the float model, or a person's own function."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.training import CROSS_ENTROPY, DISTILL, Training
from qgui.engine import python_source
from qgui.engine.batch import Batch
from qgui.engine.outputs import is_class_scores, main_output

WHAT = say("Could not train")
#: Outputs of the float model that are kept, so that it runs once per sample and not once per epoch.
KEPT_BYTES = 64 * 2**20

#: From outputs, outputs of the float model, and target to the loss, a tensor without dimensions.
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


class Teacher:
    """The outputs of the float model, each computed once as long as they are small.

    Args:
        module: The float model's graph.
        names: Names of its inputs.
        device: Where outputs are wanted.
    """

    def __init__(self, module: nn.Module, names: list[str], device: torch.device) -> None:
        self._module, self._names, self._device = module, names, device
        self._kept: dict[int, torch.Tensor] = {}
        self._bytes = 0

    def outputs(self, batch: Batch) -> torch.Tensor:
        """Return the float model's output for a batch."""
        if all(index in self._kept for index in batch.indices):
            return torch.cat([self._kept[index] for index in batch.indices]).to(self._device)
        with torch.no_grad():
            output = main_output(self._module(*batch.positional(self._names))).float()
        by_sample = output.dim() > 0 and len(output) == len(batch.indices)
        size = output.numel() * output.element_size()
        if by_sample and self._bytes + size <= KEPT_BYTES:
            for index, row in zip(batch.indices, output, strict=True):
                self._bytes += row.numel() * row.element_size() if index not in self._kept else 0
                self._kept[index] = row.unsqueeze(0).clone()
        return output.to(self._device)


def loss_of(settings: Training, labelled: bool) -> Loss:
    """Return the loss that resolved settings name.

    Raises:
        QguiError: It needs labels and there are none, or names nothing that can be called.
    """
    if settings.loss == CROSS_ENTROPY:
        if not labelled:
            why = say("cross-entropy needs a label for every sample and the data has none")
            raise QguiError(WHAT, why, say("Choose the loss 'distill', which learns from the float model."))
        return _cross_entropy
    if settings.loss == DISTILL:
        return _distillation(settings.temperature, settings.output_share)
    if python_source.split_callable(settings.loss) is None:
        raise QguiError(
            WHAT,
            say("there is no loss '{loss}'", loss=settings.loss),
            say(
                "Write {cross_entropy}, {distill}, PATH.py:CALLABLE or package.module:CALLABLE.",
                cross_entropy=CROSS_ENTROPY,
                distill=DISTILL,
            ),
        )
    return _callable(settings.loss)


def _cross_entropy(output: torch.Tensor, _: torch.Tensor, target: torch.Tensor | None) -> torch.Tensor:
    if not is_class_scores(output):
        shape = "x".join(map(str, output.shape))
        why = say("cross-entropy needs one score per class for each sample and the model gives {shape}", shape=shape)
        raise QguiError(WHAT, why, say("Choose the loss 'distill' or a function of your own."))
    if target is None:
        raise QguiError(WHAT, say("a sample of the data has no label"), say("Choose the loss 'distill'."))
    labels = target.reshape(-1).long()
    classes = output.shape[1]
    if len(labels) != len(output) or int(labels.min()) < 0 or int(labels.max()) >= classes:
        why = say(
            "the labels do not name the model's {classes} classes (found {least} to {greatest})",
            classes=classes,
            least=int(labels.min()),
            greatest=int(labels.max()),
        )
        raise QguiError(WHAT, why, say("Check the labels, or choose the loss 'distill'."))
    return F.cross_entropy(output, labels)


def _distillation(temperature: float, output_share: float) -> Loss:
    """Return the divergence of the classes (Hinton et al., 2015) and the noise-to-signal ratio, in their shares."""

    def loss(output: torch.Tensor, teacher: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
        energy = teacher.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
        ratio = F.mse_loss(output, teacher) / energy
        if not is_class_scores(output):
            return ratio
        divergence = F.kl_div(
            F.log_softmax(output / temperature, 1),
            F.log_softmax(teacher / temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1.0 - output_share) * divergence * temperature**2 + output_share * ratio

    return loss


def _callable(source: str) -> Loss:
    function = python_source.load_callable(source, WHAT)

    def loss(output: torch.Tensor, _: torch.Tensor, target: torch.Tensor | None) -> torch.Tensor:
        found = python_source.call(function, source, WHAT, output, target)
        if not isinstance(found, torch.Tensor) or found.numel() != 1 or not found.is_floating_point():
            kind = (
                say("tensor of shape {shape}", shape=tuple(found.shape))
                if isinstance(found, torch.Tensor)
                else type(found).__name__
            )
            why = say("{source} returned a {kind} and a training needs a scalar tensor", source=source, kind=kind)
            raise QguiError(WHAT, why, say("Let it return a loss of one element."))
        return found.reshape(())

    return loss
