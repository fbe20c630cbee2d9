"""What this machine can do, asked of the machine."""

from __future__ import annotations

import cpuinfo
import psutil
import torch

from qgui.core.results import MachineDescription

#: Backends in the order of preference where nothing was measured.
_PREFERENCE = ("x86", "onednn", "fbgemm", "qnnpack")


def backends() -> tuple[str, ...]:
    """Return the quantized engines that torch supports here, the likely best first."""
    supported = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    arm = torch.backends.cpu.get_cpu_capability().startswith("SVE") or _flags() & {"neon", "asimd"}
    order = tuple(reversed(_PREFERENCE)) if arm else _PREFERENCE
    return tuple(sorted(supported, key=lambda name: order.index(name) if name in order else len(order)))


def needs_reduced_range(backend: str) -> bool:
    """Whether int8 products may overflow 16 bits on this CPU, so that activations must keep to seven bits.

    The x86 kernels without VNNI add pairs of 8-bit products in 16 bits; QNNPACK widens first and never overflows.
    """
    if backend == "qnnpack" or not _flags() & {"sse2", "avx", "avx2"}:
        return False
    return not _flags() & {"avx512_vnni", "avx512vnni", "avx_vnni", "avxvnni"}


def describe() -> MachineDescription:
    """Return what the window and the command line show of this machine."""
    engines = backends()
    return MachineDescription(
        cpu=str(_cpu().get("brand_raw", "unknown processor")),
        cores=psutil.cpu_count(logical=False) or 1,
        threads=torch.get_num_threads(),
        backends=engines,
        default_backend=engines[0] if engines else "",
        reduce_range={name: needs_reduced_range(name) for name in engines},
        capability=torch.backends.cpu.get_cpu_capability(),
        torch_version=torch.__version__,
    )


_known: dict[str, object] = {}


def _cpu() -> dict[str, object]:
    if not _known:
        _known.update(cpuinfo.get_cpu_info())
    return _known


def _flags() -> set[str]:
    flags = _cpu().get("flags", [])
    return {str(flag) for flag in flags} if isinstance(flags, list) else set()
