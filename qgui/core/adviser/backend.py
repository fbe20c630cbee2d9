"""Which engine is advised, and on what grounds."""

from __future__ import annotations

from typing import Literal

from qgui.core import advice, legality, slowness
from qgui.core.adviser.matter import Known, Piece, Section, named
from qgui.core.adviser.proposals import Proposal
from qgui.core.language import say
from qgui.core.results import BackendTiming

#: An engine this much faster than the one in use is worth a change.
FASTER = 1.05


def backend_section(known: Known) -> Section:
    """Return which engine is advised, and why."""
    machine, backend = known.machine, known.recipe.backend
    advised, why = advice.advised_backend(known.model, machine)
    told = [say("In use: {backend}.", backend=backend)]
    if advised == backend:
        told.append(why)
    else:
        told.append(say("Advised without measuring: {backend}. {why}", backend=advised, why=why))
    pieces = [_timing_piece(known), *_speed_pieces(known), _processor_piece(known), _bits_piece(known)]
    return Section("backend", say("Which backend"), " ".join(told), tuple(pieces))


def _timing_piece(known: Known) -> Piece:
    title, present = say("Measured times"), known.recipe.backend
    ran = [timing for timing in known.timings if timing.median_ms is not None]
    if len(known.machine.backends) < 2:
        return Piece("timing", title, say("This machine has one backend only; there is nothing to choose."))
    if not ran:
        return Piece(
            "timing",
            title,
            say("Not measured yet. Which backend is fastest depends on the model: time this one on each."),
            say("available: {names}", names=", ".join(known.machine.backends)),
            job="backends",
        )
    figures = " · ".join(_timing_told(timing) for timing in ran)
    fastest = advice.fastest_backend(ran)
    times = {timing.backend: timing.median_ms or 0.0 for timing in ran}
    sentences = []
    if fastest == present or times.get(present, float("inf")) < FASTER * times[fastest]:
        sentences.append(say("{backend}, which is in use, is as fast as any here.", backend=present))
    elif present in times:
        gain = times[present] / times[fastest]
        told = say("{fastest} is {gain:.2f} times as fast as {present}.", fastest=fastest, gain=gain, present=present)
        sentences.append(told)
    else:
        sentences.append(say("{fastest} is the fastest; {present} does not run it.", fastest=fastest, present=present))
    if min(times, key=lambda name: times[name]) != fastest:
        told = say(
            "A faster one is left out: its output is more than {db:.0f} dB further from float.", db=advice.SQNR_SLACK_DB
        )
        sentences.append(told)
    if known.timings_stale:
        sentences.append(say("The modes have changed since."))
    better = fastest != present and times.get(present, float("inf")) >= FASTER * times[fastest]
    return Piece(
        "timing",
        title,
        " ".join(sentences),
        figures,
        Proposal("backend", backend=fastest) if better else None,
        done="" if better else say("The fastest backend is in use."),
        job="backends" if known.timings_stale else "",
    )


def _timing_told(timing: BackendTiming) -> str:
    told = say("{backend} {ms:.3g} ms", backend=timing.backend, ms=timing.median_ms or 0.0)
    return told if timing.sqnr_db is None else f"{told} ({timing.sqnr_db:.1f} dB)"


def _speed_pieces(known: Known) -> list[Piece]:
    if known.comparison is None:
        return []
    found = slowness.explain(known.comparison, known.model, known.machine)
    job: Literal["", "slowness"] = "slowness" if found.findings else ""
    return [Piece("speed", say("Measured speed"), found.summary, job=job)]


def _processor_piece(known: Known) -> Piece:
    machine = known.machine
    if machine.arm:
        text = say("An ARM processor: QNNPACK's kernels are written for it.")
    elif machine.vnni:
        text = say("It adds products of 8-bit integers in one instruction (VNNI), which is where int8 gets its speed.")
    else:
        text = say(
            "It has no VNNI instructions: int8 needs several where others need one, so expect less speed; "
            "memory shrinks all the same."
        )
    return Piece("processor", say("Processor"), text, f"{machine.cpu} · {machine.capability}")


def _bits_piece(known: Known) -> Piece:
    backend = known.recipe.backend
    heads = [layer for layer in known.model.layers if layer.head and layer.tensor]
    narrow = [layer for layer in heads if legality.needs_reduced_range(layer, backend)]
    title = say("Seven or eight bits")
    if known.machine.reduce_range.get(backend, False):
        text = say("On this processor {backend} adds in 16 bits: all activations keep to seven bits.", backend=backend)
        return Piece("bits", title, text)
    if narrow:
        text = say(
            "{backend} adds the products of depthwise convolutions in 16 bits: what they read keeps to seven bits, "
            "which costs up to 6 dB there.",
            backend=backend,
        )
        told = say(
            "activations with seven bits: {count} ({names})",
            count=len(narrow),
            names=named([layer.name for layer in narrow]),
        )
        return Piece("bits", title, text, told)
    return Piece("bits", title, say("On {backend} every activation of this model has all eight bits.", backend=backend))
