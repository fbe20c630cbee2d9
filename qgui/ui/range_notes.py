"""Why a tensor's range is what it is, in sentences."""

from __future__ import annotations

from qgui.core.language import say
from qgui.core.layers import Layer, Tensor
from qgui.core.recipe import Mode
from qgui.ui import formatting
from qgui.ui.document import Document


def range_notes(document: Document, layer: Layer) -> list[str]:
    """Return what a person should know about the range of a layer's output."""
    tensor = document.tensor_of(layer)
    owner = document.owner_of(layer)
    if tensor is None or owner is None:
        return []
    notes = []
    if owner.layer != layer.name:
        sentence = say("The range is that of {owner}, because {type} keeps it. Changing it here changes it there.")
        notes.append(sentence.format(owner=owner.layer, type=layer.type))
    elif len(owner.sources) > 1:
        sentence = say("{count} tensors share this range because PyTorch requires it: {names}.")
        notes.append(sentence.format(count=len(owner.sources), names=", ".join(owner.sources)))
    if owner.clamp is not None:
        notes.append(clamp_sentence(owner))
    if owner.fixed is not None:
        sentence = say("{type} prescribes scale {scale} and zero point {zero}.")
        scale, zero = owner.fixed
        notes.append(sentence.format(type=layer.type, scale=formatting.scale(scale), zero=zero))
    return notes


def clamp_sentence(tensor: Tensor) -> str:
    """Return why the range ends where the readers cut the values."""
    readers = ", ".join(tensor.clamp_readers)
    low, high = tensor.clamp or (None, None)
    if low is not None and high is not None:
        sentence = say("Nothing but {readers} reads it: range of the clamped values [{low}, {high}].")
    elif low is not None:
        sentence = say("Nothing but {readers} reads it: range of the values from {low} up.")
    else:
        sentence = say("Nothing but {readers} reads it: range of the values up to {high}.")
    return sentence.format(readers=readers, low=formatting.number(low), high=formatting.number(high))


def mode_note(mode: Mode) -> str:
    """Return what a layer's mode means for the range of its output; empty where the range decides."""
    if mode is Mode.DYNAMIC:
        return say("Dynamic: the range of the input is computed for each batch at run time.")
    if mode is Mode.FLOAT:
        return say("Float: this range is used only where a static layer reads the output.")
    return ""
