"""The machine underneath: which device and number format to use, how many threads, and how memory is kept."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import torch

from tx.errors import TxError
from tx.nn.cores import n_cores


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is the first GPU, or the CPU. Raises TxError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TxError(f"there is no device called '{name}'", "use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TxError(
            f"device {name} is not there: this machine shows {torch.cuda.device_count()} CUDA GPUs to torch",
            "use --device auto, or a build of torch for your GPU",
        )
    return device


def set_threads(threads: int = 0) -> int:
    """Use `threads` CPU threads; 0: one for each core this process may use. Returns their number."""
    if not threads and "OMP_NUM_THREADS" not in os.environ:
        threads = n_cores()
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: if asked for, and by itself where the processor multiplies it faster.

    Raises TxError for fp16, which needs its losses scaled: a thing that only fine-tuning does.
    """
    if precision == "fp16":
        raise TxError("fp16 is for fine-tuning Whisper", "use --precision bf16, or auto")
    if precision == "auto":
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        return bool({"avx512_bf16", "amx_bf16"} & set(_cpu_info().split()))
    return precision == "bf16"


def keep_freed_memory() -> None:
    """Tell the C library to keep what is freed, as the next batch needs it again at once.

    By default glibc maps every large tensor anew, and the kernel zeroes its pages each time: a tenth of the time
    of a training step. Where there is no glibc this does nothing.
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
    """Let matrix products in float32 run as fast as they can: TF32 on a GPU, oneDNN on some CPUs.

    PyTorch multiplies with MKL, which uses half the width of AVX-512 on processors not made by Intel. There
    oneDNN is twice as fast at the same precision. What sends products to oneDNN also permits it to round
    them to bfloat16 where AMX units can, so a product is tried: if it is not as exact as float32, MKL stays.
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
    """Whether `prefer_fast_products` chose oneDNN."""
    return torch.get_float32_matmul_precision() == "medium"


@cache
def _cpu_info() -> str:
    """What Linux says of the processors; elsewhere nothing."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def peak_memory(device: torch.device) -> int:
    """The largest number of bytes held so far: by tensors on a GPU, by this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on every system, and only needed here

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
