"""The number format follows the device."""

import pytest
import torch

from autoseg.core.errors import SpecError
from autoseg.devices import precision
from autoseg.devices.precision import choose_precision, cpu_prefers_bfloat16, torch_dtype

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture(autouse=True)
def forget_the_probe():
    cpu_prefers_bfloat16.cache_clear()
    yield
    cpu_prefers_bfloat16.cache_clear()


def test_a_wish_is_taken() -> None:
    assert choose_precision(CPU, "float16") == "float16"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2"}, "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16"), ({"bf16"}, "bfloat16")],
)
def test_cpu_by_its_flags(monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: str) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    assert choose_precision(CPU) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.9, "float32"), (0.5, "bfloat16")])
def test_cpu_without_flags_is_timed(monkeypatch: pytest.MonkeyPatch, seconds: float, expected: str) -> None:
    monkeypatch.setattr(precision, "cpu_flags", frozenset)
    monkeypatch.setattr(precision, "_seconds", lambda dtype: seconds if dtype == torch.bfloat16 else 1.0)
    assert choose_precision(CPU) == expected


def test_the_probe_runs() -> None:
    assert 0 < precision._seconds(torch.float32) < 10


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_gpu_by_its_generation(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert choose_precision(CUDA) == expected


def test_other_devices_stay_exact() -> None:
    assert choose_precision(MPS) == "float32"


def test_names_of_types() -> None:
    assert torch_dtype("bfloat16") == torch.bfloat16
    with pytest.raises(SpecError, match="did you mean 'bfloat16'"):
        torch_dtype("bfloat")
