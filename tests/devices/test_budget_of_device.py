"""The device that a plan is made for, found without torch."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from autoseg.devices import budget


class FakeDriver:
    """Answers like NVML for two GPUs of 8 and 24 GB."""

    def __init__(self, *, broken: str = "") -> None:
        self.broken = broken
        self.asked: list[int] = []
        self.nvmlShutdown = lambda: 0

    def nvmlInit_v2(self) -> int:  # noqa: N802 - the driver's name
        return int(self.broken == "init")

    def nvmlDeviceGetHandleByIndex_v2(self, index: ctypes.c_uint, handle: object) -> int:  # noqa: N802
        self.asked.append(index.value)
        return int(index.value > 1 or self.broken == "handle")

    def nvmlDeviceGetHandleByUUID(self, identifier: ctypes.c_char_p, handle: object) -> int:  # noqa: N802
        self.asked.append(1)
        return int(identifier.value != b"MIG-8f21-whole")

    def nvmlDeviceGetMemoryInfo(self, handle: object, memory: SimpleNamespace) -> int:  # noqa: N802
        memory._obj.total = (8_000_000_000, 24_000_000_000)[self.asked[-1]]
        return int(self.broken == "memory")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    found = FakeDriver()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(budget.ctypes, "CDLL", lambda _: found)
    return found


@pytest.mark.parametrize(("name", "memory"), [("auto", 8.0), ("cuda", 8.0), ("cuda:1", 24.0)])
def test_gpu_memory_by_name(driver: FakeDriver, name: str, memory: float) -> None:
    found = budget.measure_device(name)
    assert (found.kind, found.memory_gb) == ("gpu", memory)
    assert f"{memory:.1f} GB" in found.description


@pytest.mark.parametrize(
    ("visible", "memory"),
    [
        ("1,0", 24_000_000_000),
        ("", None),
        ("-1", None),
        ("MIG-8f21-whole", 24_000_000_000),
        ("GPU-4f2c", 8_000_000_000),  # cut short: the first GPU is taken for it
    ],
)
def test_hidden_gpus_do_not_count(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, visible: str, memory: int | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert budget.gpu_memory_bytes(0) == memory


@pytest.mark.parametrize("broken", ["init", "handle", "memory"])
def test_broken_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(budget.ctypes, "CDLL", lambda _: FakeDriver(broken=broken))
    assert budget.measure_device("auto").kind == "cpu"


def test_no_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(budget.ctypes, "CDLL", missing)
    assert budget.measure_device("cuda:1").kind == "cpu"


def test_cpu_is_taken_when_asked_for(driver: FakeDriver) -> None:
    assert budget.measure_device("cpu").kind == "cpu"
    assert driver.asked == []


@pytest.mark.parametrize(
    ("flags", "gflops"),
    [({"avx2", "avx512f", "avx512_bf16"}, 800), ({"avx2", "avx512f"}, 400), ({"avx2"}, 200), (set(), 200)],
)
def test_cpu_speed_by_instruction_set(flags: set[str], gflops: float) -> None:
    found = budget.cpu_budget(4, frozenset(flags))
    assert found.gflops == gflops
    assert f"{gflops:g} GFLOP/s" in found.description


def test_planning_never_imports_torch() -> None:
    code = (
        "import sys, autoseg.stages.fingerprint, autoseg.stages.plan, autoseg.networks.residual_encoder_unet;"
        "autoseg.stages.plan.measure_device(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
