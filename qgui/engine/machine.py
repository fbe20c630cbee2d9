"""What this machine can do, asked of the machine."""

from __future__ import annotations

import functools
import importlib.util
import platform
from pathlib import Path

import psutil
import torch

from qgui.core.results import MachineDescription
from qgui.engine import memory
from qgui.engine.fx import plain

#: Backends in the order of preference where nothing was measured; on ARM the other way round.
_PREFERENCE = ("x86", "onednn", "fbgemm", "qnnpack")
#: Runtimes that take ONNX files, by the names of their packages.
OTHER_RUNTIMES = ("onnxruntime", "openvino")


def backends() -> tuple[str, ...]:
    """Return the quantized engines that torch supports here, the likely best first."""
    supported = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    order = tuple(reversed(_PREFERENCE)) if is_arm() else _PREFERENCE
    return tuple(sorted(supported, key=lambda name: order.index(name) if name in order else len(order)))


@functools.cache
def needs_reduced_range(backend: str) -> bool:
    """Whether an engine's convolutions add products in too few bits here, so that activations must keep to seven.

    Measured: the greatest activations and weights are multiplied and the sum is held against the exact one. Kernels
    for x86 without VNNI add pairs of 8-bit products in saturating 16-bit integers and fall short.
    """
    channels, size = 32, 3
    exact = channels * size * size * 255 * 127
    with plain.engine(backend), plain.quiet(), torch.no_grad():
        weight = torch.quantize_per_tensor(torch.full((channels, channels, size, size), 127.0), 1.0, 0, torch.qint8)
        packed = torch.ops.quantized.conv2d_prepack(weight, None, [1, 1], [0, 0], [1, 1], 1)
        inputs = torch.quantize_per_tensor(torch.full((1, channels, 8, 8), 255.0), 1.0, 0, torch.quint8)
        found = torch.ops.quantized.conv2d(inputs, packed, exact / 200.0, 0).dequantize()
    return bool(found.min() < 0.98 * exact)


def is_arm() -> bool:
    """Whether the processor is an ARM one."""
    return platform.machine().lower().startswith(("arm", "aarch64"))


def has_vnni() -> bool:
    """Whether the processor adds products of 8-bit integers in one instruction (AVX-512 VNNI)."""
    return bool(torch.cpu._is_vnni_supported())


def devices() -> tuple[str, ...]:
    """Return the devices on which this machine can train."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


def describe() -> MachineDescription:
    """Return what the window and the command line show of this machine."""
    engines = backends()
    return MachineDescription(
        cpu=_processor(),
        cores=psutil.cpu_count(logical=False) or 1,
        threads=torch.get_num_threads(),
        backends=engines,
        default_backend=engines[0] if engines else "",
        reduce_range={name: needs_reduced_range(name) for name in engines},
        capability=torch.backends.cpu.get_cpu_capability(),
        torch_version=str(torch.__version__),
        devices=devices(),
        vnni=has_vnni(),
        arm=is_arm(),
        runtimes=tuple(name for name in OTHER_RUNTIMES if importlib.util.find_spec(name) is not None),
        limits_memory=memory.can_limit(),
    )


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
