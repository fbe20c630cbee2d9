"""Which mode fits which kind of layers, and which layers stay float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from qgui.core import advice, legality, slowness
from qgui.core.adviser.kinds import KindShare, LayerKind, kinds_of
from qgui.core.adviser.matter import Known, Piece, Section, named
from qgui.core.adviser.proposals import Proposal
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.recipe import Mode, Rule, mode_name


def layers_section(known: Known, rules: Mapping[str, Rule]) -> Section:
    """Return which mode is advised for which kind of layers, and why."""
    model = known.model
    shares = kinds_of(model, known.comparison)
    counted = sum(len(share.layers) for share in shares)
    sentences = [
        say(
            "Layers to decide in {title}: {layers}; parameters: {parameters:,}.",
            title=model.title,
            layers=counted,
            parameters=model.parameters,
        ),
        advice.advised_mode(model)[1],
    ]
    if any(share.time_share is not None for share in shares):
        sentences.append(say("Times are those of the float model, as compared here."))
    pieces = tuple(_kind_piece(known, share, rules) for share in shares)
    return Section("layers", say("Which mode for which layers"), " ".join(sentences), pieces)


def _kind_piece(known: Known, share: KindShare, rules: Mapping[str, Rule]) -> Piece:
    advised = Counter(rules[layer.name].mode for layer in share.layers)
    mode = advised.most_common(1)[0][0]
    others = tuple(
        layer.name
        for layer in share.layers
        if rules[layer.name].mode is mode and known.recipe.rule(layer.name).mode is not mode
    )
    figures = [_modes_told(advised)]
    if share.parameter_share >= 0.0005:
        figures.append(say("{share:.1f} % of the parameters", share=100 * share.parameter_share))
    if share.float_ms is not None and share.time_share is not None:
        told = say("{ms:.3g} ms, {share:.0f} % of the time", ms=share.float_ms, share=100 * share.time_share)
        figures.append(told)
    return Piece(
        key=share.kind.value,
        title=_kind_title(share),
        text=_why_mode(known, share, mode),
        figures=" · ".join(figures),
        proposal=Proposal("mode", others, mode=mode) if others else None,
        done="" if others else say("Decided as advised."),
    )


def _modes_told(modes: Mapping[Mode, int]) -> str:
    if len(modes) == 1:
        return say("advised: {mode}", mode=mode_name(next(iter(modes))))
    told = ", ".join(f"{count} {mode_name(mode)}" for mode, count in modes.items())
    return say("advised: {modes}", modes=told)


def _kind_title(share: KindShare) -> str:
    count = len(share.layers)
    one, many = {
        LayerKind.CONVOLUTION: (say("1 convolution"), say("{count} convolutions", count=count)),
        LayerKind.DEPTHWISE: (say("1 depthwise convolution"), say("{count} depthwise convolutions", count=count)),
        LayerKind.TRANSPOSED: (say("1 transposed convolution"), say("{count} transposed convolutions", count=count)),
        LayerKind.LINEAR: (say("1 Linear layer"), say("{count} Linear layers", count=count)),
        LayerKind.RECURRENT: (say("1 recurrent layer"), say("{count} recurrent layers", count=count)),
        LayerKind.EMBEDDING: (say("1 embedding"), say("{count} embeddings", count=count)),
        LayerKind.WHOLE: (say("1 part that does not trace"), say("{count} parts that do not trace", count=count)),
        LayerKind.ARITHMETIC: (
            say("1 operation that joins or scales values"),
            say("{count} operations that join or scale values", count=count),
        ),
        LayerKind.PRESCRIBED: (
            say("1 operation with a prescribed range"),
            say("{count} operations with a prescribed range", count=count),
        ),
        LayerKind.PASSING: (
            say("1 operation that passes values on"),
            say("{count} operations that pass values on", count=count),
        ),
        LayerKind.OTHER: (say("1 other operation"), say("{count} other operations", count=count)),
    }[share.kind]
    types = Counter(layer.type for layer in share.layers)
    title = one if count == 1 else many
    plain = share.kind in {LayerKind.LINEAR, LayerKind.WHOLE} or (share.kind is LayerKind.DEPTHWISE and len(types) == 1)
    return title if plain else f"{title} ({named(types)})"


def _why_mode(known: Known, share: KindShare, mode: Mode) -> str:
    match share.kind, mode:
        case LayerKind.DEPTHWISE, Mode.STATIC:
            return _why_depthwise(known, share)
        case LayerKind.LINEAR, Mode.DYNAMIC:
            return say(
                "Linear layers spend their time reading weights, which int8 makes four times smaller. The range of "
                "what they read is found at each call: activations that vary with the input lose nothing, and nothing "
                "has to be calibrated."
            )
        case LayerKind.LINEAR, Mode.STATIC:
            return say(
                "Linear layers go on in int8 with what comes before; dynamic would find the range anew at each call."
            )
        case LayerKind.RECURRENT, Mode.DYNAMIC:
            return say(
                "Recurrent layers read all their weights at every time step; int8 makes these four times smaller."
            )
        case LayerKind.EMBEDDING, Mode.FLOAT:
            saved = 3 * share.parameters / 1e6
            return say(
                "Rows are looked up and not multiplied, so int8 saves no time; "
                "dynamic would save {mb:.3g} MB of memory.",
                mb=saved,
            )
        case LayerKind.CONVOLUTION, Mode.STATIC:
            return say(
                "Convolutions read each value many times; with ranges fixed by calibration it stays int8 between "
                "layers: here static gains most. PyTorch has no dynamic kernel for them."
            )
        case LayerKind.TRANSPOSED, Mode.STATIC:
            return say("Static as other convolutions; PyTorch's kernels take one scale for the whole weight.")
        case ((LayerKind.ARITHMETIC | LayerKind.PASSING | LayerKind.PRESCRIBED), Mode.STATIC):
            return say("Int8 as the layers around them: in float, values would be converted before and after.")
        case LayerKind.WHOLE, _:
            return say("torch.fx does not see inside; their Linear and recurrent layers are decided one by one.")
    return say("Float; the reasons stand under What stays float, and why.")


def _why_depthwise(known: Known, share: KindShare) -> str:
    backend, machine = known.recipe.backend, known.machine
    off_path = [layer for layer in share.layers if slowness.is_off_path(layer, backend, machine)]
    count, convolutions = len(share.layers), _convolutions(known.model)
    told = [
        say("1 of {all} convolutions is depthwise: one channel a group.", all=convolutions)
        if count == 1
        else say("{count} of {all} convolutions are depthwise: one channel a group.", count=count, all=convolutions),
        say("They do few multiplications for each value they read, so int8 gains less there than elsewhere."),
    ]
    if off_path:
        told.append(
            say(
                "Without a fast kernel on {backend}: {count} of them ({names}); another backend may be much faster.",
                count=len(off_path),
                backend=backend,
                names=named([layer.name for layer in off_path]),
            )
        )
    elif not machine.arm:
        told.append(say("On {backend} each of them has a fast kernel.", backend=backend))
    for other in slowness.VNNI_ENGINES:
        slow = sum(slowness.is_off_path(layer, other, machine) for layer in share.layers)
        if other != backend and other in machine.backends and slow > len(off_path):
            told.append(say("Without one on {backend}: {count} of them.", backend=other, count=slow))
    slower = [
        result.name
        for result in (known.comparison.layers if known.comparison is not None else ())
        if result.name in share.names
        and result.mode is not Mode.FLOAT
        and (result.quantized_ms or 0.0) > slowness.SLOWER * (result.float_ms or 0.0) > 0.0
    ]
    if slower:
        told.append(say("Slower in int8 than in float, as measured: {count} of them.", count=len(slower)))
    return " ".join(told)


def _convolutions(model: ModelDescription) -> int:
    return sum(layer.type in legality.CONVOLUTIONS for layer in model.layers)


# What stays float


def float_section(known: Known, mode: Mode, rules: Mapping[str, Rule]) -> Section:
    """Return which layers are advised to stay float, and why."""
    groups: dict[tuple[str, str], list[Layer]] = {}
    for layer in known.model.layers:
        if layer.name in rules and rules[layer.name].mode is Mode.FLOAT and layer.kind != "input":
            groups.setdefault(_why_float(layer, mode, known.recipe.backend), []).append(layer)
    title = say("What stays float, and why")
    pieces = tuple(
        _float_piece(known, place, topic, reason, layers)
        for place, ((topic, reason), layers) in enumerate(groups.items())
    )
    count = sum(map(len, groups.values()))
    if not count:
        return Section("float", title, say("No layer has to stay float."), ())
    total = sum(layer.head and layer.kind != "input" for layer in known.model.layers)
    text = say("Advised to stay float: {count} of {total} layers.", count=count, total=total)
    if mode is not Mode.DYNAMIC:
        text = " ".join((text, say("Between int8 layers each costs a conversion before and after.")))
    return Section("float", title, text, pieces)


def _why_float(layer: Layer, mode: Mode, backend: str) -> tuple[str, str]:
    """Return what the layers with the same reason are, and the reason; types without an int8 kernel go together."""
    reasons = legality.mode_reasons(layer, backend)
    if layer.type in legality.EMBEDDINGS:
        return say("Embeddings"), say("PyTorch's defaults leave them float: they save memory in int8, not time.")
    if layer.leaf_reason or layer.kind == "inside" or layer.calls > 1:
        return "", reasons[mode]
    if mode is Mode.DYNAMIC and not reasons[Mode.STATIC]:
        return say("Layers and operations between"), say(
            "Dynamic quantization exists for Linear, recurrent layers and embeddings; the rest computes in float."
        )
    if layer.type not in legality.STATIC_TYPES | legality.DYNAMIC_TYPES | {"RNN"}:
        return say("No int8 kernel"), say("PyTorch has none for these types.")
    return "", reasons[mode] or reasons[Mode.STATIC]


def _float_piece(known: Known, place: int, topic: str, reason: str, layers: Sequence[Layer]) -> Piece:
    types = Counter(layer.type for layer in layers)
    title = f"{topic}: {named(types)}" if topic else named([layer.name for layer in layers])
    figures = say("1 layer") if len(layers) == 1 else say("{count} layers", count=len(layers))
    if topic:
        figures = f"{figures}: {named([layer.name for layer in layers])}"
    embedded = [
        layer.name
        for layer in layers
        if layer.type in legality.EMBEDDINGS and known.recipe.rule(layer.name).mode is Mode.FLOAT
    ]
    offered = Proposal("mode", tuple(embedded), mode=Mode.DYNAMIC) if embedded else None
    return Piece(f"float{place}", title, reason, figures, offered)
