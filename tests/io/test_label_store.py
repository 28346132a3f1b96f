"""Label maps on disk: what comes back, what is noticed."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.errors import DatasetError
from autoseg.io.label_store import StoredLabels, save_labels, stored_source


def labels_of(seed: int, highest: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, highest + 1, (9, 14, 11))


def save(folder: Path, labels: np.ndarray, source: str = "x") -> StoredLabels:
    save_labels(folder, "case", labels, patch_size_voxels=(8, 8, 8), source=source)
    return StoredLabels(folder, "case")


@pytest.mark.parametrize(("highest", "kind"), [(3, np.int8), (200, np.int16), (70_000, np.int32)])
def test_labels_come_back_in_the_smallest_type(tmp_path: Path, highest: int, kind: type) -> None:
    labels = labels_of(1, highest)
    labels[0, 0, 0] = highest
    stored = save(tmp_path, labels)
    assert stored.shape == labels.shape
    assert stored.read().dtype == kind
    np.testing.assert_array_equal(stored.read(), labels)


@settings(max_examples=30)
@given(st.tuples(*[st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted)] * 3))
def test_patches_are_parts_of_the_whole(tmp_path_factory: pytest.TempPathFactory, ends: tuple[list[int], ...]) -> None:
    labels = labels_of(2)
    stored = save(tmp_path_factory.mktemp("labels"), labels)
    start, stop = [low for low, _ in ends], [high + 1 for _, high in ends]
    box = tuple(slice(low, high) for low, high in zip(start, stop, strict=True))
    np.testing.assert_array_equal(stored.read_patch(start, stop), labels[box])


def test_digests_follow_the_values_and_sources_are_kept(tmp_path: Path) -> None:
    first = save(tmp_path, labels_of(3), "one source").digest
    same = save(tmp_path, labels_of(3).astype(np.uint8), "another\nsource")
    assert same.digest == first
    assert same.source == stored_source(tmp_path, "case") == "another\nsource"
    assert save(tmp_path, labels_of(4)).digest != first
    assert list(tmp_path.iterdir()) == [tmp_path / "case.b2nd"], "nothing half-written stays"


def test_a_copy_in_another_process_opens_its_own_file(tmp_path: Path) -> None:
    stored = save(tmp_path, labels_of(5))
    stored.read()
    np.testing.assert_array_equal(copy.copy(stored).read(), labels_of(5))
    assert copy.copy(stored).__dict__.keys() == StoredLabels(tmp_path, "case").__dict__.keys(), "nothing open is sent"


def test_missing_and_damaged_labels(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no labels in .*case\.b2nd: run the training again, which makes them"):
        StoredLabels(tmp_path, "case")
    assert stored_source(tmp_path, "case") is None
    path = save(tmp_path, labels_of(6)).path
    path.write_bytes(b"no array at all")
    assert stored_source(tmp_path, "case") is None
