"""Classification networks of torchvision, untrained and at small sizes: all-static lowering works and stays in int8."""

import copy
import warnings

import pytest
import torch
import torchvision
from sessions import QUIET, count_conversions, output_sqnr, quantized_graph, recipe_of, session_of
from torch import nn
from torch.ao.quantization import MinMaxObserver, QConfig, QConfigMapping, default_per_channel_weight_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from qgui.core.ranges import decibel
from qgui.engine.fx import plain

#: Network to side of the image and greatest number of quantize and dequantize operations in one forward pass. Where
#: there are more than two, PyTorch has no int8 kernel for something between the layers (SiLU; scaling by a parameter).
NETWORKS = {
    "alexnet": (63, 2),
    "vgg11_bn": (32, 2),
    "squeezenet1_1": (32, 2),
    "densenet121": (32, 2),
    "googlenet": (32, 2),
    "inception_v3": (75, 2),
    "shufflenet_v2_x0_5": (64, 2),
    "mobilenet_v2": (32, 2),
    "mobilenet_v3_small": (32, 2),
    "mobilenet_v3_large": (32, 2),
    "mnasnet0_5": (64, 2),
    "resnet18": (32, 2),
    "resnet50": (32, 2),
    "resnext50_32x4d": (32, 2),
    "wide_resnet50_2": (32, 2),
    "regnet_x_400mf": (32, 2),
    "regnet_y_400mf": (32, 2),
    "efficientnet_b0": (32, 200),
    "efficientnet_v2_s": (32, 220),
    "convnext_tiny": (32, 200),
}


def untrained(name: str, images: torch.Tensor) -> nn.Module:
    """Return a network whose BatchNorm layers know the images, so that activations have ordinary sizes."""
    torch.manual_seed(0)
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=10, **options).eval()
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.train()
            norm.momentum = 1.0
    with torch.no_grad():
        model(images)
    return model.eval()


def sqnr_of_torch(graph: torch.fx.GraphModule, images: torch.Tensor, backend: str) -> float:
    """Return the output's SQNR in dB of what PyTorch's own calibration and conversion make of a graph."""
    qconfig = QConfig(MinMaxObserver.with_args(dtype=torch.quint8), default_per_channel_weight_observer)
    with plain.engine(backend), plain.quiet(), torch.inference_mode():
        mapping = QConfigMapping().set_global(qconfig)
        warnings.filterwarnings("ignore", "All inputs of this cat operator must share")
        prepared = prepare_fx(copy.deepcopy(graph), mapping, (images,))
        reference = prepared(images)
        noise = reference - convert_fx(prepared)(images)
    return decibel(float(reference.square().sum()), float(noise.square().sum()))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NETWORKS)
def test_all_static_lowering_is_no_worse_than_pytorch_s(name: str) -> None:
    side, most = NETWORKS[name]
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    session = session_of(untrained(name, images), images)
    assert session.model is not None
    assert session.model.graphs is not None
    assert not session.model.graphs.leaves
    recipe = recipe_of(session)
    session.quantize(recipe, QUIET)
    quantize, dequantize = count_conversions(quantized_graph(session))
    ours, theirs = output_sqnr(session), sqnr_of_torch(session.model.graphs.canonical, images, recipe.backend)
    print(f"{name}: {quantize} quantize, {dequantize} dequantize, {ours:.1f} dB, PyTorch {theirs:.1f} dB")
    assert quantize + dequantize <= most
    assert ours > min(theirs - 2.0, 30.0)
