"""Memory as the container sees it."""

import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from autoseg.core.errors import BudgetError
from autoseg.devices import memory

GIB = 2**30


@pytest.fixture
def container(tmp_path: Path) -> tuple[Path, Path]:
    """A version-2 tree: 6 GiB around 4 GiB, of which 3 are charged and 1 is file cache."""
    cgroups, membership = tmp_path / "cgroup", tmp_path / "membership"
    inner = cgroups / "job" / "task"
    inner.mkdir(parents=True)
    (cgroups / "job" / "memory.max").write_text(f"{6 * GIB}\n")
    (cgroups / "job" / "memory.current").write_text(f"{3 * GIB}\n")
    (inner / "memory.max").write_text(f"{4 * GIB}\n")
    (inner / "memory.current").write_text(f"{3 * GIB}\n")
    (inner / "memory.stat").write_text(f"anon {2 * GIB}\ninactive_file {GIB}\n")
    membership.write_text("0::/job/task\n")
    return cgroups, membership


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 GiB, 32 of them free."""
    found = psutil.virtual_memory()._replace(total=64 * GIB, available=32 * GIB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: found)


def test_smallest_limit_on_the_way_up(container: tuple[Path, Path]) -> None:
    cgroups, membership = container
    assert memory.memory_limit_bytes(cgroups=cgroups, membership=membership) == 4 * GIB
    (cgroups / "job" / "task" / "memory.max").write_text("max\n")
    assert memory.memory_limit_bytes(cgroups=cgroups, membership=membership) == 6 * GIB


def test_available_leaves_out_the_file_cache(container: tuple[Path, Path]) -> None:
    cgroups, membership = container
    assert memory.available_memory_bytes(cgroups=cgroups, membership=membership) == 2 * GIB


def test_available_is_never_negative(container: tuple[Path, Path]) -> None:
    cgroups, membership = container
    (cgroups / "job" / "memory.max").write_text(f"{GIB}\n")
    assert memory.available_memory_bytes(cgroups=cgroups, membership=membership) == 0


def test_version_1(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(str(8 * GIB))
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text(str(3 * GIB))
    (tmp_path / "memory" / "memory.stat").write_text(f"total_inactive_file {GIB}\n")
    membership = tmp_path / "membership"
    membership.write_text("3:cpu:/x\n2:hugetlb,memory:/\n")
    assert memory.memory_limit_bytes(cgroups=tmp_path, membership=membership) == 8 * GIB
    assert memory.available_memory_bytes(cgroups=tmp_path, membership=membership) == 6 * GIB


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert memory.memory_limit_bytes(cgroups=missing, membership=missing) == 64 * GIB
    assert memory.available_memory_bytes(cgroups=missing, membership=missing) == 32 * GIB


def test_resident_memory_follows_an_allocation_and_counts_children() -> None:
    # In a process of its own: here, memory freed by earlier tests may be used again.
    code = (
        "import numpy as np\n"
        "from autoseg.devices.memory import resident_bytes\n"
        "before = resident_bytes(with_children=False)\n"
        "block = np.ones(50_000_000, dtype=np.uint8)\n"
        "print(resident_bytes(with_children=False) - before)\n"
    )
    grown = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert 45e6 < grown < 60e6
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert memory.resident_bytes() > memory.resident_bytes(with_children=False)
    finally:
        child.communicate(b"\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_kept_memory_does_not_fault_again() -> None:
    # In a process of its own: malloc's settings cannot be taken back.
    code = (
        "import resource, numpy as np\n"
        "from autoseg.devices.memory import keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "np.ones(60_000_000, dtype=np.uint8)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): np.ones(60_000_000, dtype=np.uint8)\n"
        "faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "raise SystemExit(faults > 100)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_elsewhere_memory_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "win32")
    assert memory.keep_freed_memory() is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be forgotten on Linux only")
def test_a_peak_counts_from_when_it_was_forgotten() -> None:
    # In a process of its own: what other tests hold does not matter, and this malloc gives large blocks back.
    held = np.ones(800_000_000, dtype=np.uint8)  # what starts a process is not counted as its own
    code = (
        "import numpy as np, torch\n"
        "from autoseg.devices import memory\n"
        "cpu, block = torch.device('cpu'), 400_000_000\n"
        "np.ones(block, dtype=np.uint8)\n"
        "high = memory.peak_memory_bytes(cpu)\n"
        "memory.forget_peak_memory(cpu)\n"
        "low = memory.peak_memory_bytes(cpu)\n"
        "np.ones(block // 2, dtype=np.uint8)\n"
        "again = memory.peak_memory_bytes(cpu)\n"
        "print(high - low, again - low)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    freed, grown = map(int, said.split())
    del held
    assert freed > 300_000_000
    assert 100_000_000 < grown < 300_000_000


def test_without_a_way_to_tell_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STATUS", Path("/nowhere/status"))
    assert memory.peak_memory_bytes(torch.device("cpu")) > 10_000_000
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory.peak_memory_bytes(torch.device("cpu")) is None
    monkeypatch.setattr(memory, "CLEAR_REFS", Path("/nowhere/clear_refs"))
    memory.forget_peak_memory(torch.device("cpu"))


def test_a_full_gpu_is_named_with_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**8, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 * 10**9)
    with (
        pytest.raises(BudgetError, match=r"^the memory of cuda:1 is full, of 8 GB this process holds 3 GB: close it$"),
        memory.named_memory_errors(torch.device("cuda", 1), "close it"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_what_a_full_gpu_held_is_let_go() -> None:
    """Kept in the error, it would take the memory from the cases to come."""

    def fill() -> None:
        held.append(torch.zeros(9))
        watched.append(weakref.ref(held[0]))
        raise torch.OutOfMemoryError

    def work() -> None:
        mine = torch.zeros(9)
        watched.append(weakref.ref(mine))
        fill()

    held: list[torch.Tensor] = []
    watched: list[weakref.ref[torch.Tensor]] = []
    kept = None
    try:
        with memory.named_memory_errors(torch.device("cpu"), "close it"):
            work()
    except BudgetError as error:
        kept = error
    held.clear()
    assert kept is not None
    assert [reference() for reference in watched] == [None, None]


@pytest.mark.parametrize(
    "said",
    [
        "MPS backend out of memory (MPS allocated: 17.00 GB)",
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "FIND was unable to find an engine to execute this computation",
    ],
)
def test_full_memory_by_other_words(said: str) -> None:
    with pytest.raises(BudgetError), memory.named_memory_errors(torch.device("cpu"), ""):
        raise RuntimeError(said)


def test_memory_that_is_really_not_there() -> None:
    with (
        pytest.raises(BudgetError, match="the memory of cpu is full"),
        memory.named_memory_errors(torch.device("cpu"), ""),
    ):
        torch.empty(2**60, dtype=torch.uint8)


def test_a_gpu_is_opened_before_its_peak_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "init", lambda: done.append("init"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: done.append("reset"))
    memory.forget_peak_memory(torch.device("cuda", 0))
    assert done == ["init", "reset"]


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="mine"), memory.named_memory_errors(torch.device("cpu"), ""):
        raise ValueError("mine")
