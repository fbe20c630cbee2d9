"""The fake-quantized model: the graph that lowering converts, with fake quantization where int8 will be.

It is made by the same `prepare_fx` as the int8 model, so that both quantize at the same places; each convolution and
linear layer keeps its weight and its BatchNorm apart, as training needs them, and quantizes them folded, as shipped.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.ao.quantization import QConfig
from torch.ao.quantization.observer import ObserverBase

from qgui.core.layers import ModelDescription, Tensor
from qgui.core.qparams import Grid
from qgui.core.recipe import Mode, ObserverKind, Recipe
from qgui.core.training import RangeMethod, Training
from qgui.engine.fx import plain
from qgui.engine.fx.fake_quantize import ActivationFakeQuantize, FakeQuantize, WeightFakeQuantize

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BatchNorm = nn.modules.batchnorm._BatchNorm
_SMALLEST_FACTOR = 1e-8
#: Engines whose convolutions and linear layers (oneDNN's) round the sum of scaled value and zero point. The others
#: round first: for odd zero points a value halfway between two levels goes the other way.
_ZERO_POINT_FIRST = frozenset({"onednn", "x86"})


@dataclass(frozen=True)
class TrainedRange:
    """Scale and zero point that training left.

    Attributes:
        scale: Shape `(channels,)`, float32.
        zero_point: Shape `(channels,)`, int32.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor


@dataclass(frozen=True)
class Trained:
    """What training leaves, on the CPU: enough to convert without training again.

    Attributes:
        weights: State dict of the canonical graph.
        activations: Range of each quantized activation whose range moved while training.
        layers: Range of each layer's weight, by node of the canonical graph.
    """

    weights: dict[str, torch.Tensor]
    activations: dict[str, TrainedRange]
    layers: dict[str, TrainedRange]

    def decide(self, decisions: plain.Decisions) -> None:
        """Put the trained ranges in place of those chosen from statistics, in what the lowering will be told."""
        tensors = decisions["tensors"]
        for name, found in self.activations.items():
            trained = {"scale": float(found.scale[0]), "zero_point": int(found.zero_point[0])}
            tensors[name] = {**tensors[name], **trained}
        for node, decision in decisions["layers"].items():
            weight = self.layers.get(node)
            if weight is not None and "scale" in decision.get("weight", {}):
                decision["weight"] |= {"scale": weight.scale.tolist(), "zero_point": weight.zero_point.tolist()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return everything as named tensors, for a file."""
        named = {f"weights/{name}": value for name, value in self.weights.items()}
        for kind, ranges in (("activations", self.activations), ("layers", self.layers)):
            for name, found in ranges.items():
                named[f"{kind}/scale/{name}"] = found.scale
                named[f"{kind}/zero_point/{name}"] = found.zero_point
        return named

    @classmethod
    def of_tensors(cls, named: Mapping[str, torch.Tensor]) -> Trained:
        """Return what `tensors` gave."""
        weights = {key.removeprefix("weights/"): value for key, value in named.items() if key.startswith("weights/")}
        found: dict[str, dict[str, TrainedRange]] = {"activations": {}, "layers": {}}
        for kind, ranges in found.items():
            prefix = f"{kind}/scale/"
            for key in named:
                if key.startswith(prefix):
                    name = key.removeprefix(prefix)
                    ranges[name] = TrainedRange(named[key], named[f"{kind}/zero_point/{name}"])
        return cls(weights, **found)


class SimulatedLayer(nn.Module):
    """A convolution or linear layer with BatchNorm and ReLU as the int8 kernel computes them, in float.

    While BatchNorm keeps its statistics it is folded into the weight, and the folded weight is rounded. While it still
    takes them from the batch, the weight is rounded under the running statistics and the output is scaled back before
    it is normalized (Jacob et al., "Quantization and Training of Neural Networks ...", 2018).

    Args:
        layer: The layer of the canonical graph.
        batch_norm: The BatchNorm that is fused into it, None without one.
        relu: Whether a ReLU is fused into it.
    """

    def __init__(self, layer: nn.Module, batch_norm: nn.Module | None, relu: bool) -> None:
        super().__init__()
        self.layer = layer
        self.batch_norm: Any = batch_norm
        self.relu = relu
        self.weight_fake_quantize: WeightFakeQuantize | None = None
        #: What fake-quantizes the input, held so that it does not become a part of this layer.
        self.input_fake_quantize: tuple[FakeQuantize, ...] = ()
        #: What fake-quantizes the output, where the kernel adds the zero point before it rounds.
        self.output_fake_quantize: tuple[FakeQuantize, ...] = ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        norm = self.batch_norm
        if norm is not None and norm.training:
            y = self._normalized(x, norm)
        elif self.input_fake_quantize and self.weight_fake_quantize is not None and not torch.is_grad_enabled():
            y = self._in_integers(x, self.input_fake_quantize[0], self.weight_fake_quantize)
        else:
            y = self._computed(x, self._quantized(self.folded_weight()), self._folded_bias())
        y = F.relu(y) if self.relu else y
        if self.output_fake_quantize and not torch.is_grad_enabled():
            return self.output_fake_quantize[0].rounded_with_zero_point(y)
        return y

    def _in_integers(self, x: torch.Tensor, given: FakeQuantize, weight: WeightFakeQuantize) -> torch.Tensor:
        """Return the output from sums of whole numbers, which float32 holds exactly, as an int8 kernel adds them."""
        levels = torch.round(x / given.scale)
        folded = self.folded_weight()
        scale = self._along_outputs(weight.scale, folded.dim()) if weight.scale.numel() > 1 else weight.scale
        steps = torch.round(weight.rounded(folded) / scale)
        sums = self._computed(levels, steps, None)
        channel = [1, -1, *[1] * (sums.dim() - 2)] if not isinstance(self.layer, nn.Linear) else [-1]
        y = sums * (given.scale * weight.scale).reshape(channel)
        bias = self._folded_bias()
        return y if bias is None else y + bias.reshape(channel)

    def folded_weight(self) -> torch.Tensor:
        """Return the weight with BatchNorm folded in, as it is quantized."""
        weight: torch.Tensor = self.layer.weight  # type: ignore[assignment]
        factor = self._factor()
        return weight if factor is None else weight * self._along_outputs(factor, weight.dim())

    def _folded_bias(self) -> torch.Tensor | None:
        """Return the bias with BatchNorm folded in, in the order of operations of `fuse_conv_bn_weights`."""
        bias: torch.Tensor | None = self.layer.bias  # type: ignore[assignment]
        norm = self.batch_norm
        if norm is None:
            return bias
        centred: torch.Tensor = -norm.running_mean if bias is None else bias - norm.running_mean
        folded = centred * torch.rsqrt(norm.running_var + norm.eps)
        return folded if norm.weight is None else folded * norm.weight + norm.bias

    def _factor(self) -> torch.Tensor | None:
        norm = self.batch_norm
        if norm is None:
            return None
        inverse = torch.rsqrt(norm.running_var + norm.eps)
        return inverse if norm.weight is None else norm.weight * inverse

    def _along_outputs(self, factor: torch.Tensor, dimensions: int) -> torch.Tensor:
        shape = [1] * dimensions
        shape[1 if isinstance(self.layer, _TRANSPOSED) else 0] = -1
        return factor.reshape(shape)

    def _normalized(self, x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        factor = self._factor()
        assert factor is not None
        tiny = torch.where(factor < 0, -_SMALLEST_FACTOR, _SMALLEST_FACTOR)
        safe = torch.where(factor.abs() < _SMALLEST_FACTOR, tiny, factor)
        y = self._computed(x, self._quantized(self.folded_weight()), None)
        channel = [1, -1, *[1] * (y.dim() - 2)]
        y = y / safe.reshape(channel)
        bias: torch.Tensor | None = self.layer.bias  # type: ignore[assignment]
        result: torch.Tensor = norm(y if bias is None else y + bias.reshape(channel))
        return result

    def _quantized(self, weight: torch.Tensor) -> torch.Tensor:
        if self.weight_fake_quantize is None:
            return weight
        rounded: torch.Tensor = self.weight_fake_quantize(weight)
        return rounded

    def _computed(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        layer: Any = self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        if isinstance(layer, _TRANSPOSED):
            names = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
            function: Any = names[weight.dim() - 2]
            sizes = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
            transposed: torch.Tensor = function(x, weight, bias, *sizes)
            return transposed
        convolved: torch.Tensor = layer._conv_forward(x, weight, bias)
        return convolved


class SimulatedModel:
    """A model as its int8 form will compute, with weights and ranges that can be trained.

    Args:
        canonical: Canonical graph in evaluation mode; left as it is.
        description: The loaded model.
        recipe: The decisions.
        decisions: What the lowering will be told, from the float weights.
        settings: The training settings in numbers.

    Attributes:
        module: What runs.
        names: Names of its inputs.
        layers: Node to simulated layer.
        activations: Owner of a range to its fake quantization.
        observed: Tensor to the node that fake-quantizes it.
    """

    def __init__(
        self,
        canonical: fx.GraphModule,
        description: ModelDescription,
        recipe: Recipe,
        decisions: plain.Decisions,
        settings: Training,
    ) -> None:
        self._description = description
        self._settings = settings
        self._work = copy.deepcopy(canonical).eval()
        self._decisions = decisions
        self._trained_nodes = self._nodes_to_train(recipe)
        self.layers: dict[str, SimulatedLayer] = {}
        self.activations: dict[str, ActivationFakeQuantize] = {}
        self.observed: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self.names = [str(node.target) for node in canonical.graph.nodes if node.op == "placeholder"]
        with plain.engine(decisions["backend"]), plain.quiet():
            self.module = self._prepared()
        self._place_activations(recipe)
        self._place_layers()
        self._choose_parameters()

    def to(self, device: torch.device) -> SimulatedModel:
        """Move everything to a device."""
        self._work.to(device)
        self.module.to(device)
        return self

    def lay_out(self, inputs: Collection[torch.Tensor]) -> None:
        """Keep feature maps channels-last, a quarter faster on CPUs, unless the model looks at how they lie.

        Args:
            inputs: A sample, on the device.
        """
        self.module.to(memory_format=torch.channels_last)
        self.evaluate()
        try:
            with torch.no_grad():
                self.module(*inputs)
        except RuntimeError:
            self.module.to(memory_format=torch.contiguous_format)

    @property
    def has_batch_norm(self) -> bool:
        """Whether a BatchNorm layer is trained."""
        return any(True for _ in self._trained_norms())

    @property
    def dynamic_layers(self) -> tuple[str, ...]:
        """Nodes that become dynamic and are float here."""
        return tuple(n for n, d in self._decisions["layers"].items() if d.get("mode") == "dynamic")

    def parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
        """Return what is trained: weights, other parameters (biases, BatchNorm), and logarithms of scales."""
        scales = [f.log_scale for f in self._fake_quantizes() if f.log_scale is not None]
        known = {id(p) for p in scales}
        rest = [p for p in self.module.parameters() if p.requires_grad and id(p) not in known]
        return [p for p in rest if p.dim() > 1], [p for p in rest if p.dim() <= 1], scales

    def set_phase(self, *, batch_norm_frozen: bool, ranges_frozen: bool) -> None:
        """Let BatchNorm take its statistics from the batches or keep them, and ranges move or stay."""
        for norm in self._trained_norms():
            norm.train(not batch_norm_frozen)
        for fake_quantize in self._fake_quantizes():
            fake_quantize.frozen = ranges_frozen

    def evaluate(self) -> None:
        """Compute as the int8 model will, until the next `set_phase`."""
        self.module.eval()

    def learn_extremes(self) -> None:
        """Watch which extremes the activations have at the start, until `begin`."""
        for fake_quantize in self.activations.values():
            fake_quantize.learning_extremes = True

    def take_over(self) -> None:
        """Let all ranges follow the last step."""
        for fake_quantize in self._fake_quantizes():
            fake_quantize.take_over()

    def note_extremes(self) -> None:
        """Count the extremes of the last batch among those at the start."""
        for fake_quantize in self.activations.values():
            fake_quantize.note_extremes()

    def begin(self) -> None:
        """Hold the ranges against the extremes seen since `learn_extremes`."""
        for fake_quantize in self.activations.values():
            fake_quantize.begin()

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the present ends of every range that moves, by the tensor that owns it."""
        return {name: f.range for name, f in self.activations.items() if f.moves}

    def state(self) -> dict[str, torch.Tensor]:
        """Return a copy of everything that training changes, on the CPU."""
        values = {f"weights/{name}": value for name, value in self._work.state_dict().items()}
        values |= {f"activations/{n}/{k}": v for n, f in self.activations.items() for k, v in f.state_dict().items()}
        for node, layer in self.layers.items():
            if layer.weight_fake_quantize is not None:
                state = layer.weight_fake_quantize.state_dict()
                values |= {f"layers/{node}/{key}": value for key, value in state.items()}
        return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in values.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError: A tensor is missing.
            RuntimeError: A tensor has another shape.
        """
        self._work.load_state_dict({name: state[f"weights/{name}"] for name in self._work.state_dict()})
        for name, fake_quantize in self._named_fake_quantizes():
            keys = fake_quantize.state_dict()
            fake_quantize.load_state_dict({key: state[f"{name}/{key}"] for key in keys})

    def trained(self) -> Trained:
        """Return weights and ranges as they are now, for conversion."""
        self.settle()
        weights = {n: v.detach().to("cpu", copy=True).contiguous() for n, v in self._work.state_dict().items()}
        moved = {name: self.activations[owner] for name, owner in self._owners.items()}
        activations = {name: _range_of(f) for name, f in moved.items() if f.moves}
        layers = {
            node: _range_of(layer.weight_fake_quantize)
            for node, layer in self.layers.items()
            if layer.weight_fake_quantize is not None and node in self._trained_nodes
        }
        return Trained(weights, activations, layers)

    def settle(self) -> None:
        """Bring the ranges of weights up to the last step."""
        for layer in self.layers.values():
            if layer.weight_fake_quantize is not None:
                layer.weight_fake_quantize.follow(layer.folded_weight())

    def unfinite_weight(self) -> str:
        """Return the first node with a weight or statistic that is NaN or infinite, empty where all are finite."""
        for node, layer in self.layers.items():
            if not all(bool(torch.isfinite(value).all()) for value in layer.state_dict().values()):
                return node
        return ""

    def unfinite_gradient(self) -> str:
        """Return the node whose gradient became NaN or infinite first, going back from the output; empty for none."""
        for node, layer in reversed(self.layers.items()):
            gradients = [p.grad for p in layer.parameters() if p.grad is not None]
            if not all(bool(torch.isfinite(value).all()) for value in gradients):
                return node
        return ""

    def layer_of(self, node: str) -> str:
        """Return the path of the layer that a node of the graph belongs to, the node's own name where there is none."""
        return next((layer.name for layer in self._description.layers if layer.node == node), node)

    # Building

    def _nodes_to_train(self, recipe: Recipe) -> frozenset[str]:
        """Return the nodes whose weights are trained."""
        if not self._settings.only_qat:
            return frozenset(node.name for node in self._work.graph.nodes)
        return frozenset(
            layer.node
            for layer in self._description.layers
            if layer.node and recipe.rule(layer.group or layer.name).mode is Mode.QAT
        )

    def _prepared(self) -> fx.GraphModule:
        folded = plain.fold_clamps(self._work, self._decisions["folded"])
        mapping = plain.qconfig_mapping(folded, self._decisions, _static_qconfig)
        leaves: Collection[str] = self._decisions["leaves"]
        prepared = plain.prepare(folded, mapping, leaves)
        plain.preset_activations(prepared, self._decisions["tensors"])
        return prepared

    def _place_activations(self, recipe: Recipe) -> None:
        """Put fake quantization in place of the observers, one module for all tensors that share a range."""
        tensors = {tensor.name: tensor for tensor in self._description.tensors}
        modules = dict(self.module.named_modules(remove_duplicate=False))
        for node in self.module.graph.nodes:
            observer = modules.get(str(node.target)) if node.op == "call_module" else None
            if not isinstance(observer, ObserverBase):
                continue
            name = node.args[0].name
            self.observed[name] = node.name
            tensor = tensors.get(name)
            owner = tensors[tensor.owner] if tensor is not None and tensor.owner in tensors else tensor
            if owner is None or not isinstance(observer, plain.Preset):
                placed: nn.Module = _staying(observer)
            else:
                if owner.name not in self.activations:
                    self.activations[owner.name] = self._activation(observer, owner, recipe)
                placed = self.activations[owner.name]
                self._owners[name] = owner.name
            self.module.set_submodule(str(node.target), placed)

    def _activation(self, observer: plain.Preset, owner: Tensor, recipe: Recipe) -> ActivationFakeQuantize:
        rule = recipe.rule(owner.layer)
        layer = next((x for x in self._description.layers if x.name == owner.layer), None)
        chosen = layer is not None and layer.kind != "input" and (not self._settings.only_qat or rule.mode is Mode.QAT)
        typed = rule.activation.observer.kind is ObserverKind.FIXED
        moves = chosen and owner.fixed is None and not typed
        symmetric = rule.activation.qscheme == "per_tensor_symmetric"
        return ActivationFakeQuantize(
            observer.scale,
            observer.zero_point,
            Grid("quint8", observer.quant_min, observer.quant_max, symmetric),
            self._settings.ranges if moves else None,
            self._settings.averaging_constant,
            owner.clamp,
        )

    def _place_layers(self) -> None:
        """Put simulated layers in place of fused ones, and let every other module be that of the working graph."""
        norms = self._fused_norms()
        own = dict(self._work.named_modules())
        for node in self.module.graph.nodes:
            if node.op == "get_attr":
                _share_attribute(self.module, self._work, str(node.target))
            if node.op != "call_module":
                continue
            path = str(node.target)
            present, source = plain.called(node, self.module), own.get(path)
            parts = list(present) if isinstance(present, nn.Sequential) else [present]
            if source is None or present is None:
                continue
            relu = len(parts) > 1 and isinstance(parts[-1], nn.ReLU)
            if isinstance(source, _LAYERS):
                layer = SimulatedLayer(source, norms.get(node.name), relu)
                layer.weight_fake_quantize = self._weight(node.name, layer)
                layer.input_fake_quantize = self._given(node)
                if layer.input_fake_quantize and self._decisions["backend"] in _ZERO_POINT_FIRST:
                    layer.output_fake_quantize = self._taken(node)
                self.layers[node.name] = layer
                self.module.set_submodule(path, layer)
            elif isinstance(source, _BatchNorm):
                self.module.set_submodule(path, nn.Sequential(source, nn.ReLU()) if relu else source)
            elif list(source.parameters()) or list(source.buffers()):
                self.module.set_submodule(path, source)

    def _given(self, node: fx.Node) -> tuple[FakeQuantize, ...]:
        """Return what fake-quantizes the input of a node with symmetric weights."""
        source = node.args[0]
        found = plain.called(source, self.module) if isinstance(source, fx.Node) else None
        decided = self._decisions["layers"].get(node.name, {}).get("weight", {})
        symmetric = str(decided.get("qscheme", "")).endswith("_symmetric")
        return (found,) if isinstance(found, FakeQuantize) and symmetric else ()

    def _taken(self, node: fx.Node) -> tuple[FakeQuantize, ...]:
        """Return what fake-quantizes the output of a node."""
        readers = (plain.called(user, self.module) for user in node.users)
        return tuple(reader for reader in readers if isinstance(reader, FakeQuantize))[:1]

    def _fused_norms(self) -> dict[str, nn.Module]:
        """Return the BatchNorm that is fused into a node."""
        present = {node.name for node in self.module.graph.nodes}
        norms: dict[str, nn.Module] = {}
        for node in self._work.graph.nodes:
            target = plain.called(node, self._work)
            if isinstance(target, _BatchNorm) and node.name not in present:
                norms[node.args[0].name] = target
        return norms

    def _weight(self, node: str, layer: SimulatedLayer) -> WeightFakeQuantize | None:
        decided = self._decisions["layers"].get(node, {})
        weight = decided.get("weight", {})
        if decided.get("mode") != "static" or "scale" not in weight:
            return None
        trained = node in self._trained_nodes
        method: RangeMethod | None = self._settings.ranges if trained else None
        symmetric = str(weight["qscheme"]).endswith("_symmetric")
        grid = Grid(weight["dtype"], weight["quant_min"], weight["quant_max"], symmetric)
        scale, zero_point = torch.tensor(weight["scale"]), torch.tensor(weight["zero_point"])
        return WeightFakeQuantize(scale, zero_point, grid, method, layer.folded_weight())

    def _choose_parameters(self) -> None:
        """Let the optimizer see what is to be trained and nothing else."""
        scales = {id(f.log_scale) for f in self._fake_quantizes() if f.log_scale is not None}
        for parameter in self.module.parameters():
            parameter.requires_grad_(id(parameter) in scales or not self._settings.only_qat)
        for node, layer in self.layers.items():
            if node in self._trained_nodes:
                for parameter in (*layer.layer.parameters(), *self._norm_parameters(layer)):
                    parameter.requires_grad_(True)

    def _norm_parameters(self, layer: SimulatedLayer) -> Iterator[nn.Parameter]:
        if layer.batch_norm is not None:
            yield from layer.batch_norm.parameters()

    def _trained_norms(self) -> Iterator[nn.Module]:
        for node, layer in self.layers.items():
            if layer.batch_norm is not None and node in self._trained_nodes:
                yield layer.batch_norm
        if not self._settings.only_qat:
            inside = {id(layer.batch_norm) for layer in self.layers.values()}
            yield from (m for m in self.module.modules() if isinstance(m, _BatchNorm) and id(m) not in inside)

    def _named_fake_quantizes(self) -> Iterator[tuple[str, FakeQuantize]]:
        yield from ((f"activations/{name}", f) for name, f in self.activations.items())
        for node, layer in self.layers.items():
            if layer.weight_fake_quantize is not None:
                yield f"layers/{node}", layer.weight_fake_quantize

    def _fake_quantizes(self) -> Iterator[FakeQuantize]:
        yield from (fake_quantize for _, fake_quantize in self._named_fake_quantizes())


def _static_qconfig(decision: dict[str, Any], module: nn.Module | None) -> QConfig | None:
    """Return the qconfig of a layer that becomes int8; dynamic layers are simulated in float."""
    return None if decision["mode"] == "dynamic" else plain.qconfig_of(decision, module)


def _staying(observer: ObserverBase) -> FakeQuantize:
    """Return fake quantization with the scale and zero point that an observer prescribes."""
    scale, zero_point = observer.calculate_qparams()
    low, high = int(observer.quant_min), int(observer.quant_max)  # type: ignore[arg-type]
    return FakeQuantize(scale, zero_point, Grid("quint8", low, high, symmetric=False))


def _share_attribute(module: fx.GraphModule, work: fx.GraphModule, path: str) -> None:
    holder, _, name = path.rpartition(".")
    try:
        value = plain.value_at(work, path)
    except AttributeError:
        return
    setattr(module.get_submodule(holder), name, value)


def _range_of(fake_quantize: FakeQuantize) -> TrainedRange:
    scale = fake_quantize.scale.detach().to("cpu", copy=True)
    return TrainedRange(scale, fake_quantize.zero_point.detach().to("cpu", copy=True))
