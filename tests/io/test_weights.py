"""Weights survive the disk, and damage is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoseg.core.errors import CheckpointError
from autoseg.io.weights import load_weights, save_weights, weights_metadata


def tensors() -> dict[str, torch.Tensor]:
    shared = torch.randn(3, 4)
    return {"a": shared, "b": shared, "c": torch.randn(4, 4).t(), "d": torch.ones(2, dtype=torch.bfloat16)}


def test_weights_come_back_bit_equal(tmp_path: Path) -> None:
    stored, path = tensors(), tmp_path / "new" / "w.safetensors"
    digest = save_weights(path, stored, {"epoch": "3"})
    loaded = load_weights(path, sha256=digest)
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)
    assert weights_metadata(path) == {"epoch": "3"}


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    stored = tensors()
    digests = {save_weights(tmp_path / name, stored, {"b": "1", "a": "2"}) for name in ("1", "2")}
    assert len(digests) == 1


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, tensors())
    with pytest.raises(CheckpointError, match=r"w\.safetensors are damaged \(their SHA-256"):
        load_weights(path, sha256="0" * 64)


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, tensors())
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"w\.safetensors are damaged .*copy the model folder again"):
        load_weights(path)
    with pytest.raises(CheckpointError, match=r"w\.safetensors cannot be read"):
        weights_metadata(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors cannot be read \(No such file"):
        load_weights(tmp_path / "none.safetensors")


def test_files_of_others_have_no_texts(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert weights_metadata(tmp_path / "w.safetensors") == {}
