"""The hardware: device, number format, threads, and the memory allocator."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import torch

from tx.errors import TxError
from tx.nn.cores import n_cores


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is the first GPU, else the CPU. Raises TxError if there is no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TxError(f"there is no device called '{name}'", "use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TxError(
            f"there is no device {name}: PyTorch finds {torch.cuda.device_count()} CUDA GPUs",
            "use --device auto, or install a build of torch for your GPU",
        )
    return device


def prepare_device(name: str = "auto", threads: int = 0) -> torch.device:
    """Set up threads, memory and matrix products for this process; the device called `name`, see `choose_device`."""
    set_threads(threads)
    keep_freed_memory()
    prefer_fast_matmul()
    return choose_device(name)


def set_threads(threads: int = 0) -> int:
    """Use `threads` CPU threads, or with 0 one per available core. Returns their number."""
    if not threads and "OMP_NUM_THREADS" not in os.environ:
        threads = n_cores()
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; with "auto", where the processor multiplies bfloat16 faster than float32.

    Raises TxError for fp16, which needs loss scaling and is only supported in fine-tuning Whisper.
    """
    if precision == "fp16":
        raise TxError("fp16 is only supported for fine-tuning Whisper", "use --precision bf16, or auto")
    if precision == "auto":
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        return bool({"avx512_bf16", "amx_bf16"} & set(_cpu_info().split()))
    return precision == "bf16"


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next batch instead of returning it to the system.

    By default glibc maps every large tensor anew and the kernel zeroes its pages, which takes a tenth of the time of
    a training step. Without glibc this function does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
    except (OSError, AttributeError):
        return


def prefer_fast_matmul() -> None:
    """Use the fastest float32 matrix products: TF32 on a GPU, oneDNN on some CPUs.

    PyTorch multiplies with MKL, which uses half the width of AVX-512 on processors not made by Intel; there oneDNN
    is twice as fast at the same precision. The setting that selects oneDNN also allows it to round to bfloat16 on
    AMX units. A product is therefore computed and compared: unless it has float32 precision, MKL is used.
    """
    torch.set_float32_matmul_precision("high")
    made_by_intel = "GenuineIntel" in _cpu_info() or not sys.platform.startswith("linux")
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or made_by_intel:
        return
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    torch.set_float32_matmul_precision("medium")
    if ((a @ b - exact).abs() / exact).max() > 1e-5:
        torch.set_float32_matmul_precision("high")


def matmul_by_onednn() -> bool:
    """Whether `prefer_fast_matmul` chose oneDNN."""
    return torch.get_float32_matmul_precision() == "medium"


@cache
def _cpu_info() -> str:
    """The content of /proc/cpuinfo; empty on other systems than Linux."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: of the tensors on a GPU, of this process on a CPU (0 where that is unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
