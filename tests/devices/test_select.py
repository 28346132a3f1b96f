"""The device that was asked for, or why not."""

import os

import pytest
import torch

from autoseg.core.errors import AutosegError
from autoseg.devices.select import select_device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Make torch see so many GPUs, and MPS or not."""

    def pretend(gpus: int, *, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)

    return pretend


def test_auto_prefers_a_gpu(machine) -> None:
    machine(0)
    assert select_device().type == "cpu"
    machine(0, mps=True)
    assert select_device().type == "mps"
    machine(2, mps=True)
    assert select_device("auto").type == "cuda"


def test_what_is_there_is_taken(machine) -> None:
    machine(2, mps=True)
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("cuda:1") == torch.device("cuda", 1)
    assert select_device("mps").type == "mps"


def test_gpus_are_numbered_as_the_driver_does(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(2)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    select_device("cuda:1")
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    select_device("cuda:1")
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_kernels_are_tried_on_cuda_only(machine) -> None:
    machine(1)
    select_device("cpu")
    assert not torch.backends.cudnn.benchmark
    select_device("cuda")
    assert torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "unknown device 'gpu'"),
        ("cuda:x", "unknown device 'cuda:x'"),
        ("mps", "use --device cpu"),
        ("cuda", "--device cpu"),
    ],
)
def test_what_is_not_there_is_refused(machine, name: str, message: str) -> None:
    machine(0)
    with pytest.raises(AutosegError, match=message):
        select_device(name)


def test_a_gpu_too_many_is_refused(machine) -> None:
    machine(2)
    with pytest.raises(AutosegError, match="2"):
        select_device("cuda:2")
