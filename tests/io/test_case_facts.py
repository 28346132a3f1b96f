"""The fingerprint's memory of each case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.io import case_facts
from autoseg.io.case_facts import CaseFacts, content_digest, load_facts, save_facts, signature
from autoseg.specs.fingerprint import CaseFingerprint


def facts(case_id: str, lengths: tuple[int, ...]) -> CaseFacts:
    fingerprint = CaseFingerprint(
        case_id=case_id,
        content="abc",
        shape_voxels=(1, 2, 3),
        cropped_shape_voxels=(1, 2, 3),
        spacing_mm=(1.0, 0.1, 2.0),
        orientation="SPL",
        label_voxels={"0": 6},
    )
    arrays = tuple(
        (np.arange(size, dtype=np.float32), np.arange(size, dtype=np.int64) + 1, np.full(4, float(size)))
        for size in lengths
    )
    return CaseFacts(f"stamp of {case_id}", fingerprint, arrays)


def test_round_trip(tmp_path: Path) -> None:
    stored = {"b": facts("b", (3, 0)), "a": facts("a", (5, 2))}
    save_facts(tmp_path / "facts.npz", "setting", stored)
    loaded = load_facts(tmp_path / "facts.npz", "setting")
    assert loaded.keys() == stored.keys()
    for case_id, case in loaded.items():
        assert case.signature == stored[case_id].signature
        assert case.fingerprint == stored[case_id].fingerprint
        for ours, theirs in zip(case.intensities, stored[case_id].intensities, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                assert one.dtype == other.dtype
                assert one.tolist() == other.tolist()


def test_nothing_to_remember(tmp_path: Path) -> None:
    save_facts(tmp_path / "facts.npz", "setting", {})
    assert load_facts(tmp_path / "facts.npz", "setting") == {}
    assert load_facts(tmp_path / "none.npz", "setting") == {}


def test_other_setting_or_version_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_facts(tmp_path / "facts.npz", "setting", {"a": facts("a", (2,))})
    assert load_facts(tmp_path / "facts.npz", "other") == {}
    monkeypatch.setattr(case_facts, "VERSION", case_facts.VERSION + 1)
    assert load_facts(tmp_path / "facts.npz", "setting") == {}


def test_digest_depends_on_content_and_signature_on_name(tmp_path: Path) -> None:
    for name, content in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (tmp_path / name for name in "abc")
    assert content_digest([a]) == content_digest([b]) != content_digest([c])
    assert content_digest([a, c]) != content_digest([c, a])
    assert signature([a]) != signature([b])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*gone"):
        signature([tmp_path / "gone"])
    with pytest.raises(DatasetError, match=r"cannot read .*gone"):
        content_digest([tmp_path / "gone"])
