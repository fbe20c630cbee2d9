"""Why int8 is not faster: layers that became slower, float work between int8 layers, the causes, and the ways out.

What the kernels of x86 do is read off PyTorch's and FBGEMM's sources: `should_use_onednn_quant` in
`ATen/native/quantized/cpu/OnednnUtils.h` chooses the library, `takeDepthWiseFastPath` and `fbgemmOptimizedGConv` in
FBGEMM's `FbgemmConv.cc` say which convolutions have kernels of their own.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from qgui.core import legality
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.recipe import Mode
from qgui.core.results import Comparison, Island, LayerResult, MachineDescription
from qgui.core.runtimes import RUNTIMES

#: A layer this much slower in int8 is listed.
SLOWER = 1.1
#: What a layer must lose at least to be listed: in milliseconds, and as a share of the whole model's int8 time.
LOST_MS = 0.005
LOST_SHARE = 0.001
#: A float layer of fewer milliseconds is too small for int8 to pay: starting a kernel takes a few hundredths.
SMALL_MS = 0.15
#: With more groups the engine `x86` computes a convolution with FBGEMM, with fewer with oneDNN.
X86_GROUPS = 100
#: Engines whose int8 kernels add with VNNI where the processor has it.
VNNI_ENGINES = ("onednn", "x86", "fbgemm")


class Cause(enum.StrEnum):
    """Why a layer is slower in int8."""

    DEPTHWISE = "depthwise"
    GROUPED = "grouped"
    FOLLOWS = "follows"
    ENGINE = "engine"
    NO_VNNI = "no_vnni"
    UNFOLDED_CLAMP = "unfolded_clamp"
    DYNAMIC = "dynamic"
    SMALL = "small"
    PLAIN_KERNEL = "plain_kernel"
    UNKNOWN = "unknown"


#: Causes that lie in the kernel alone: the layer is computed by a general one.
OFF_PATH = frozenset({Cause.DEPTHWISE, Cause.GROUPED})


class WayOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that can be decided about it.

    Attributes:
        kind: `backend`: another quantized engine; `runtime`: another runtime, which is reached by exporting; `float`:
            leave layers float; `static`: make layers int8 too, which fuses them with what they follow.
        backend: The engine, for `backend`.
        runtime: Key in `qgui.core.runtimes.RUNTIMES`, for `runtime`.
        layers: The layers, for `float` and `static`.
    """

    kind: Literal["backend", "runtime", "float", "static"]
    backend: str = ""
    runtime: str = ""
    layers: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What is done, as a short command."""
        if self.kind == "backend":
            return say("Use the backend {backend}", backend=self.backend)
        if self.kind == "runtime":
            return say("Run it in {runtime}", runtime=RUNTIMES[self.runtime])
        which = self.layers[0] if len(self.layers) == 1 else say("these {count} layers", count=len(self.layers))
        return (
            say("Leave {which} float", which=which)
            if self.kind == "float"
            else say("Make {which} int8 too", which=which)
        )


class SlowLayer(msgspec.Struct, frozen=True):
    """A layer that takes longer in int8 than in float.

    Attributes:
        name: Layer path.
        type: Layer type.
        float_ms: Median in the float model in milliseconds.
        quantized_ms: Median in the quantized model in milliseconds.
        cause: Why, as far as it is known.
        reason: The same as a sentence.
        ways: What can be done.
    """

    name: str
    type: str
    float_ms: float
    quantized_ms: float
    cause: Cause
    reason: str
    ways: tuple[WayOut, ...] = ()

    @property
    def lost_ms(self) -> float:
        """How much longer it takes, in milliseconds."""
        return self.quantized_ms - self.float_ms


class SlowIsland(msgspec.Struct, frozen=True):
    """Float work between int8 layers.

    Attributes:
        island: What it costs.
        float_ms: What the same layers take in the float model in milliseconds.
        reason: Why it is there, as a sentence.
        ways: What can be done.
    """

    island: Island
    float_ms: float
    reason: str
    ways: tuple[WayOut, ...] = ()

    @property
    def lost_ms(self) -> float:
        """How much longer it takes, in milliseconds."""
        return self.island.total_ms - self.float_ms


class WayOutEffect(msgspec.Struct, frozen=True):
    """What a way out comes to, measured in turn with the quantized model as it is now and with the float model.

    Attributes:
        way: What was tried.
        float_ms: Median of the best float in milliseconds.
        before_ms: Median of the quantized model as it is, in its faster runtime.
        after_ms: Median of the quantized model with the way out taken; None where that does not run.
        before_db: SQNR of the output as it is, in dB.
        after_db: The same with the way out taken.
        problem: Why it does not run.
    """

    way: WayOut
    float_ms: float
    before_ms: float
    after_ms: float | None
    before_db: float | None = None
    after_db: float | None = None
    problem: str = ""

    @property
    def gain(self) -> float | None:
        """How many times as fast as now; None where it does not run."""
        return self.before_ms / self.after_ms if self.after_ms else None


class Explanation(msgspec.Struct, frozen=True):
    """Why int8 is not faster, the greatest loss first.

    Attributes:
        summary: The whole in a sentence or two.
        layers: Layers that are slower in int8.
        islands: Float work between int8 layers.
        ways: All ways out, each once, the one that concerns the greatest loss first.
    """

    summary: str
    layers: tuple[SlowLayer, ...]
    islands: tuple[SlowIsland, ...]
    ways: tuple[WayOut, ...]

    @property
    def findings(self) -> list[SlowLayer | SlowIsland]:
        """Layers and islands together, the greatest loss first."""
        return sorted([*self.layers, *self.islands], key=_by_loss)


def _by_loss(finding: SlowLayer | SlowIsland) -> float:
    return -finding.lost_ms


def explain(comparison: Comparison, model: ModelDescription, machine: MachineDescription) -> Explanation:
    """Return which layers of a comparison lose time in int8, why, and what can be done about it."""
    rows = {layer.name: layer for layer in model.layers}
    total = sum(result.quantized_ms or 0.0 for result in comparison.layers)
    found: list[tuple[LayerResult, Cause, str]] = []
    for result in comparison.layers:
        layer = rows.get(result.name)
        if layer is not None and _is_slow(result, total):
            found.append((result, *cause_of(layer, result, comparison.backend, machine)))
    off_path = {result.name: cause for result, cause, _ in found if cause in OFF_PATH}
    followers = _followers(comparison, off_path)
    alike: dict[Cause, list[str]] = {}
    for result, cause, _ in found:
        if cause in OFF_PATH or result.name not in followers:
            alike.setdefault(cause, []).append(result.name)
    layers = []
    for result, cause, reason in found:
        helped = cause
        if cause not in OFF_PATH and result.name in followers:
            helped, cause = off_path[followers[result.name]], Cause.FOLLOWS
            reason = _why_follows(followers[result.name])
        ways = ways_out(helped, alike[helped], comparison.backend, machine)
        times = result.float_ms or 0.0, result.quantized_ms or 0.0
        layers.append(SlowLayer(result.name, result.type, *times, cause, reason, ways))
    layers.sort(key=_by_loss)
    islands = [_explained(island, comparison, rows, machine) for island in comparison.islands]
    islands.sort(key=_by_loss)
    explained = Explanation(_summary(comparison, layers, islands, total), tuple(layers), tuple(islands), ())
    ways = tuple(dict.fromkeys(way for finding in explained.findings for way in finding.ways))
    return msgspec.structs.replace(explained, ways=ways)


def _followers(comparison: Comparison, off_path: Collection[str]) -> dict[str, str]:
    """Return for every layer that comes right after one of these which one that is."""
    names = [result.name for result in comparison.layers if result.quantized_ms is not None]
    return {after: before for before, after in itertools.pairwise(names) if before in off_path}


def _why_follows(before: str) -> str:
    return say(
        "It comes right after {before}, which is off the fast path and leaves the caches cold; help that one first.",
        before=before,
    )


def _is_slow(result: LayerResult, total: float) -> bool:
    if result.mode is Mode.FLOAT or result.float_ms is None or result.quantized_ms is None:
        return False
    lost = result.quantized_ms - result.float_ms
    return result.quantized_ms > SLOWER * result.float_ms and lost > max(LOST_MS, LOST_SHARE * total)


def cause_of(layer: Layer, result: LayerResult, backend: str, machine: MachineDescription) -> tuple[Cause, str]:
    """Return why a layer is slower in int8 on an engine, as a kind and as a sentence."""
    if backend == "qnnpack" and not machine.arm:
        return Cause.ENGINE, say("QNNPACK's int8 kernels are written for ARM; on x86 they use its oldest instructions.")
    if result.mode is not Mode.DYNAMIC and is_off_path(layer, backend, machine):
        if layer.depthwise:
            return Cause.DEPTHWISE, _why_off_the_fast_path(layer, backend)
        why = say(
            "FBGEMM, which computes it on {backend}, has kernels for 3x3 convolutions of 4, 8 or 16 channels a group; "
            "this one goes group by group through a general one.",
            backend=backend,
        )
        return Cause.GROUPED, why
    if layer.type in legality.CLAMPS and result.mode is not Mode.FLOAT:
        return Cause.UNFOLDED_CLAMP, _why_clamp_stays(layer, backend)
    if result.mode is Mode.DYNAMIC and layer.type in legality.DYNAMIC_TYPES:
        why = say("Finding the range of its input and quantizing it takes longer, at each call, than int8 saves.")
        return Cause.DYNAMIC, why
    if not machine.vnni and not machine.arm and layer.type in legality.WEIGHTED:
        why = say(
            "This processor has no VNNI instructions: adding products of 8-bit integers is hardly faster than float."
        )
        return Cause.NO_VNNI, why
    if (result.float_ms or 0.0) < SMALL_MS:
        return (
            Cause.SMALL,
            say("Too small to pay: in float it takes so little that starting an int8 kernel costs more."),
        )
    if layer.type not in legality.WEIGHTED:
        why = say(
            "PyTorch's engines make convolutions and Linear fast; int8 {type} is a plain kernel.", type=layer.type
        )
        return Cause.PLAIN_KERNEL, why
    return Cause.UNKNOWN, say("The cause is not known. Measure another backend or leave it float.")


def runs_on_fbgemm(layer: Layer, backend: str, machine: MachineDescription) -> bool:
    """Whether an engine computes a convolution with FBGEMM."""
    if backend == "x86":
        return not machine.vnni or layer.convolution_groups > X86_GROUPS
    return backend == "fbgemm"


def has_depthwise_kernel(layer: Layer) -> bool:
    """Whether FBGEMM has a kernel of its own for a depthwise convolution."""
    return not _against_depthwise_kernel(layer)


def _against_depthwise_kernel(layer: Layer) -> str:
    kernel = layer.weight_shape[2:] if layer.weight_shape is not None else ()
    if len(kernel) < 2:
        return say("this one has one dimension")
    if any(size not in (3, 5) for size in kernel) or kernel[-1] != kernel[-2]:
        return say("this one has a {kernel} kernel", kernel=_told(kernel))
    if layer.convolution_groups % 8:
        return say("this one has {convolution_groups}", convolution_groups=layer.convolution_groups)
    if any(step not in (1, 2) for step in layer.stride):
        return say("this one has stride {stride}", stride=_told(layer.stride))
    if any(step != 1 for step in layer.dilation):
        return say("this one is dilated by {dilation}", dilation=_told(layer.dilation))
    wished = tuple((size - 1) // 2 for size in kernel)
    if layer.padding and layer.padding != wished:
        return say(
            "this one has padding {padding}, where the kernel needs {wished}",
            padding=_told(layer.padding),
            wished=_told(wished),
        )
    return ""


def has_grouped_kernel(layer: Layer) -> bool:
    """Whether FBGEMM has a kernel of its own for a grouped convolution."""
    shape, groups = layer.weight_shape, layer.convolution_groups
    if shape is None or len(shape) != 4 or groups % 8:
        return False
    outputs, inputs = shape[0] // groups, shape[1]
    plain = all(step == 1 for step in (*layer.stride, *layer.dilation)) and set(layer.padding) <= {1}
    return inputs == outputs and inputs in (4, 8, 16) and shape[2:] == (3, 3) and plain


def _told(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))


def _why_off_the_fast_path(layer: Layer, backend: str) -> str:
    why = _against_depthwise_kernel(layer)
    chosen = (
        say("x86 leaves more than {x86_groups} groups to FBGEMM, whose", x86_groups=X86_GROUPS)
        if backend == "x86"
        else say("FBGEMM's")
    )
    return say(
        "Depthwise, off the fast path: {chosen} depthwise kernel takes 3x3 and 5x5, groups in multiples of 8, "
        "stride 1 or 2 and symmetric padding; {why}. It goes channel by channel through a general one.",
        chosen=chosen,
        why=why,
    )


def _why_clamp_stays(layer: Layer, backend: str) -> str:
    stays = say("It stays an operation of its own; it disappears where the range of the layer before clamps alike")
    if legality.needs_reduced_range(layer, backend):
        return say(
            "{stays}, which seven bits, as {backend} needs them before depthwise convolutions, do not.",
            stays=stays,
            backend=backend,
        )
    return say("{sentence}.", sentence=stays)


def ways_out(cause: Cause, alike: Sequence[str], backend: str, machine: MachineDescription) -> tuple[WayOut, ...]:
    """Return what can be done about a layer that is slower in int8.

    Args:
        cause: Why it is slower.
        alike: All layers that are slower for the same cause.
        backend: The present engine.
        machine: Says which engines there are.
    """
    others = [name for name in VNNI_ENGINES if name in machine.backends and name != backend]
    engines = tuple(WayOut("backend", backend=name) for name in others)
    elsewhere = tuple(WayOut("runtime", runtime=name) for name in machine.runtimes)
    leave = (WayOut("float", layers=tuple(alike)),)
    match cause:
        case Cause.DEPTHWISE | Cause.GROUPED:
            beside = tuple(way for way in engines if way.backend not in ("x86", "fbgemm"))
            return (*beside, *elsewhere, *leave)
        case Cause.ENGINE:
            return (*engines, *elsewhere)
        case Cause.UNFOLDED_CLAMP:
            return tuple(way for way in engines if way.backend == "onednn")
        case Cause.NO_VNNI | Cause.DYNAMIC:
            return (*elsewhere, *leave)
        case Cause.UNKNOWN | Cause.PLAIN_KERNEL:
            return (*engines[:1], *elsewhere, *leave)
        case Cause.SMALL | Cause.FOLLOWS:
            # Left float it would be converted before and after, which costs more than it does now.
            return ()


def _explained(
    island: Island, comparison: Comparison, rows: Mapping[str, Layer], machine: MachineDescription
) -> SlowIsland:
    backend = comparison.backend
    results = {result.name: result for result in comparison.layers}
    known = [rows[name] for name in island.layers if name in rows]
    float_ms = sum(results[layer.name].float_ms or 0.0 for layer in known if layer.name in results)
    impossible = [why for layer in known if (why := legality.mode_reasons(layer, backend)[Mode.STATIC])]
    off_path = [layer.name for layer in known if is_off_path(layer, backend, machine)]
    if impossible:
        return SlowIsland(island, float_ms, impossible[0])
    if off_path:
        reason = say(
            "It pays: on {backend} the int8 kernel of {off_path} would be off the fast path.",
            backend=backend,
            off_path=off_path[0],
        )
        return SlowIsland(island, float_ms, reason)
    if not known:
        reason = say("Values are converted to float and back because the layers around want other scales.")
        return SlowIsland(island, float_ms, reason)
    reason = say("Left float between int8 layers: values are converted before and after.")
    return SlowIsland(island, float_ms, reason, (WayOut("static", layers=tuple(layer.name for layer in known)),))


def is_off_path(layer: Layer, backend: str, machine: MachineDescription) -> bool:
    """Whether an engine has only a general int8 kernel for a depthwise or grouped convolution."""
    if layer.type not in legality.CONVOLUTIONS or layer.convolution_groups == 1:
        return False
    if not runs_on_fbgemm(layer, backend, machine):
        return False
    return not (has_depthwise_kernel(layer) if layer.depthwise else has_grouped_kernel(layer))


def _summary(comparison: Comparison, layers: Sequence[SlowLayer], islands: Sequence[SlowIsland], total: float) -> str:
    gain = comparison.speedup
    told = (
        say("{gain:.2f} times as fast as", gain=gain)
        if gain >= 1
        else say("{gain:.2f} times slower than", gain=1 / gain)
    )
    before, after = comparison.best_latency("float"), comparison.best_latency("quantized")
    times = say(
        "{median_ms:.2f} ms against {before_median_ms:.2f} ms",
        median_ms=after.median_ms,
        before_median_ms=before.median_ms,
    )
    sentences = [
        say(
            "On {backend}, int8 is {told} the best float in PyTorch: {times}.",
            backend=comparison.backend,
            told=told,
            times=times,
        )
    ]
    if layers:
        lost = sum(entry.lost_ms for entry in layers)
        which = say("1 layer is") if len(layers) == 1 else say("{count} layers are", count=len(layers))
        sentences.append(
            say(
                "{which} slower than in float and {lose} {lost:.2f} ms.",
                which=which,
                lose=say("loses") if len(layers) == 1 else say("lose"),
                lost=lost,
            )
        )
        depthwise = [entry for entry in layers if entry.cause is Cause.DEPTHWISE]
        if depthwise:
            spent = sum(entry.quantized_ms for entry in depthwise)
            share = 100 * spent / total if total else 0.0
            sentences.append(
                say(
                    "{count} of them are depthwise convolutions off the fast path, which take {share:.0f} % of "
                    "the time of all layers.",
                    count=len(depthwise),
                    share=share,
                )
            )
    if islands:
        spent = sum(entry.island.total_ms for entry in islands)
        which = (
            say("1 float island takes") if len(islands) == 1 else say("{count} float islands take", count=len(islands))
        )
        sentences.append(say("{which} {spent:.2f} ms.", which=which, spent=spent))
    if not layers and not islands:
        sentences.append(say("No layer is slower than in float, and no float work lies between int8 layers."))
    return " ".join(sentences)
