"""Logits on disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from autoseg.core.errors import StorageError
from autoseg.inference import spill


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_a_tensor_on_disk_keeps_what_it_is_given(tmp_path: Path, kind: torch.dtype) -> None:
    made = spill.empty_on_disk(tmp_path / "new", (3, 4, 5), kind)
    values = torch.randn(3, 4, 5).to(kind)
    made.tensor[:] = values
    made.release()
    assert torch.equal(made.tensor, values)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_full_disk_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spill.os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"disk is full|No space"):
        spill.empty_on_disk(tmp_path, (3, 4, 5), torch.float32)


def test_systems_without_a_way_to_reserve_or_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(spill.os, "posix_fallocate")
    monkeypatch.delattr(spill.mmap, "MADV_DONTNEED")
    made = spill.empty_on_disk(tmp_path, (2, 2), torch.float32)
    made.tensor[0] = 1
    made.release()
    assert made.tensor.tolist() == [[1, 1], [0, 0]]
