"""Memory this process may use, as its container sees it, and memory it does use."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from autoseg.core.errors import BudgetError
from autoseg.core.sizes import describe_size

if TYPE_CHECKING:
    import torch

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
CLEAR_REFS = Path("/proc/self/clear_refs")
"""Writing 5 sets the peak of resident memory back to what is resident (Linux, proc(5))."""
STATUS = Path("/proc/self/status")
"""Holds that peak as `VmHWM` (proc(5))."""
MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -4, -3, -1, -8
"""`M_MMAP_MAX`, `M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD` and `M_ARENA_MAX` of glibc's malloc.h."""
LARGEST_INT = 2**31 - 1


def memory_limit_bytes(*, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """The smaller of the machine's memory and the limits of the control groups around this process."""
    limits = [limit for _, limit in _groups(cgroups, membership)]
    return min([int(psutil.virtual_memory().total), *limits])


def available_memory_bytes(*, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """What can still be allocated without swapping, on the machine and under each control group's limit."""
    free = [int(psutil.virtual_memory().available)]
    for folder, limit in _groups(cgroups, membership):
        free.append(max(0, limit - _used_bytes(folder)))
    return min(free)


def resident_bytes(*, with_children: bool = True) -> int:
    """Resident memory of this process and, unless told otherwise, of its children; pages they share count twice."""
    process = psutil.Process()
    family = [process, *(process.children(recursive=True) if with_children else [])]
    total = 0
    for member in family:
        try:
            total += int(member.memory_info().rss)
        except psutil.NoSuchProcess:
            # It ended between listing and asking.
            continue
    return total


FRUGAL_BYTES = 32 << 20
"""Tensors from here on are given back by `frugal`; glibc allows no higher threshold."""


def keep_freed_memory(*, frugal: bool = False) -> bool:
    """Ask glibc to reuse freed tensors instead of giving them back to the kernel at every step.

    Large tensors are otherwise mapped anew each time and every page of them faults: 52,000 to 130,000 faults per
    training step of a width-16 U-Net (batch 7 of 40x56x40), 7 to 14 % of its time; 8 of 66 s of predicting 60 cases.
    Threads share one heap, so that what one has freed the next one takes: 466 instead of 664 MB for those cases. Call
    it before work on a CPU, before its threads are started; the process keeps its peak memory afterwards.

    Args:
        frugal: Still give back tensors of `FRUGAL_BYTES` and more, between which the heap would be left full of holes:
            2.4 instead of 3.1 GiB for minicubes of 104x120x120 at width 32, whose steps take a sixth longer.

    Returns:
        Whether it could be done (glibc only).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return False
    large = (MMAP_THRESHOLD, FRUGAL_BYTES) if frugal else (MMAP_MAX, 0)
    settings = (large, (TRIM_THRESHOLD, LARGEST_INT), (ARENA_MAX, 1))
    done = [library.mallopt(*setting) for setting in settings]
    return all(done)


def give_back_memory() -> None:
    """Give what earlier work has freed back to the system: glibc keeps it, and it would count as used."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def forget_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_bytes` count from now on, as far as the system allows, after `give_back_memory`."""
    if device.type == "cuda":
        import torch

        torch.cuda.init()  # type: ignore[no-untyped-call] # else torch knows no device yet whose peak it could forget
        torch.cuda.reset_peak_memory_stats(device)
        return
    give_back_memory()
    with contextlib.suppress(OSError):
        CLEAR_REFS.write_text("5")


def peak_memory_bytes(device: torch.device) -> int | None:
    """Largest memory held since `forget_peak_memory`: tensors on a GPU, else resident memory of this process.

    Returns:
        None where the system does not say (Windows).
    """
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError, StopIteration):
        # Linux. `getrusage` would also count what the process held that started this one.
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


REFUSALS = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "unable to find an engine")
"""Words of torch for full memory where it has no class for it: on MPS, on CPUs, and where cuDNN found no room to try
its kernels in (https://github.com/pytorch/pytorch/issues/108645)."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device has refused memory."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in REFUSALS)


@contextlib.contextmanager
def named_memory_errors(device: torch.device, cure: str) -> Iterator[None]:
    """Turn a device's refusal into one line that says how much of a GPU's memory this process holds.

    Args:
        device: That is worked on.
        cure: What to do about it.

    Raises:
        BudgetError: The memory is full.
    """
    import torch

    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # who keeps the error would keep the tensors in them
        held = ""
        if device.type == "cuda":
            sizes = torch.cuda.memory_reserved(device), torch.cuda.mem_get_info(device)[1]
            held = ", of {1} this process holds {0}".format(*map(describe_size, sizes))
        raise BudgetError(f"the memory of {device} is full{held}", cure) from error


def _groups(cgroups: Path, membership: Path) -> Iterator[tuple[Path, int]]:
    """Each control group that has a limit, with that limit: version 2 walks up to the root, version 1 is one file."""
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _with_limits(cgroups, path, name="memory.max")
        elif "memory" in controllers.split(","):
            yield from _with_limits(cgroups / "memory", path, name="memory.limit_in_bytes")


def _with_limits(root: Path, path: str, *, name: str) -> Iterator[tuple[Path, int]]:
    folder = root / path.lstrip("/")
    while True:
        text = _text(folder / name).strip()
        if text.isdigit():
            yield folder, int(text)
        if folder == root:
            return
        folder = folder.parent


def _used_bytes(folder: Path) -> int:
    """Charged memory without the file cache that the kernel drops first."""
    current = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes")
    cache = 0
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file"):
            cache = max(cache, int(value))
    return max(0, int(current or 0) - cache)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
