"""Stored cases come back as they were, in whole or by the patch, or are not there at all."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.errors import AutosegError, DatasetError
from autoseg.io._chunks import chunks_and_blocks
from autoseg.io.case_store import CaseCache, StoredCase, remove_case, save_case, stored_cases, stored_record
from autoseg.specs.case import CaseRecord, Grid

SHAPE = (13, 20, 17)


def _record(case_id: str = "a", shape: tuple[int, int, int] = SHAPE) -> CaseRecord:
    grid = Grid(
        shape=shape,
        spacing_mm=(1.0, 1.0, 1.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    return CaseRecord(
        case_id=case_id,
        original=grid,
        orient_axes=(0, 1, 2),
        orient_flips=(False, False, False),
        transpose=(0, 1, 2),
        transposed_shape_voxels=shape,
        crop_start_voxels=(0, 0, 0),
        crop_stop_voxels=shape,
        cropped_spacing_mm=(1.0, 1.0, 1.0),
        spacing_mm=(1.0, 1.0, 1.0),
        shape_voxels=shape,
    )


def _arrays(channels: int = 2) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    generator = np.random.default_rng(0)
    image = generator.standard_normal((channels, *SHAPE)).astype(np.float16).astype(np.float32)
    return image, generator.integers(-1, 3, SHAPE).astype(np.int16)


def _saved(folder: Path, **changes: Any) -> StoredCase:
    image, labels = _arrays()
    locations = {"liver": np.argwhere(labels == 1), "tumour/core": np.zeros((0, 3), np.int64)}
    values: dict[str, Any] = {
        "image": image,
        "labels": labels,
        "locations": locations,
        "patch_size_voxels": (8, 8, 8),
    } | changes
    save_case(folder, _record(), **values)
    return StoredCase(folder, "a")


def test_a_case_comes_back(tmp_path: Path) -> None:
    image, labels = _arrays()
    case = _saved(tmp_path)
    stored_image, stored_labels = case.read()
    assert stored_labels is not None
    np.testing.assert_array_equal(stored_image, image)
    np.testing.assert_array_equal(stored_labels, labels)
    assert (stored_image.dtype, stored_labels.dtype) == (np.float16, np.int8)
    assert (case.shape, case.channels, case.record) == (SHAPE, 2, _record())
    np.testing.assert_array_equal(case.locations["liver"], np.argwhere(labels == 1))
    assert case.locations["tumour/core"].shape == (0, 3)
    assert stored_cases(tmp_path) == ("a",)
    assert stored_record(tmp_path, "a") == _record()


BOUND = st.tuples(*[st.integers(-9, 25)] * 3)
EXTENT = st.tuples(*[st.integers(1, 15)] * 3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredCase:
    return _saved(tmp_path_factory.mktemp("cases"))


@settings(max_examples=80)
@given(start=BOUND, extent=EXTENT, limit=st.sampled_from([None, 0, 10**6]))
def test_any_patch_equals_the_padded_volume(
    stored: StoredCase, start: tuple[int, int, int], extent: tuple[int, int, int], limit: int | None
) -> None:
    image, labels = _arrays()
    case = StoredCase(stored.folder, "a", None if limit is None else CaseCache(limit))
    stop = [first + size for first, size in zip(start, extent, strict=True)]
    box = tuple(slice(first + 50, last + 50) for first, last in zip(start, stop, strict=True))
    got_image, got_labels = case.read_patch(start, stop)
    np.testing.assert_array_equal(got_image, np.pad(image, [(0, 0), *[(50, 50)] * 3])[(slice(None), *box)])
    np.testing.assert_array_equal(got_labels, np.pad(labels, 50, constant_values=-1)[box])


def test_large_values_keep_float32(tmp_path: Path) -> None:
    image, _ = _arrays()
    assert _saved(tmp_path, image=image * 2e4).read()[0].dtype == np.float32
    assert _saved(tmp_path, half=False).read()[0].dtype == np.float32


@pytest.mark.parametrize(("highest", "kind"), [(127, np.int8), (128, np.int16), (40_000, np.int32), (2**40, np.int64)])
def test_labels_take_the_smallest_type(tmp_path: Path, highest: int, kind: type) -> None:
    labels = np.full(SHAPE, highest, np.int64)
    _, stored = _saved(tmp_path, labels=labels).read()
    assert stored is not None
    assert stored.dtype == kind
    np.testing.assert_array_equal(stored, labels)


def test_a_case_without_labels(tmp_path: Path) -> None:
    case = _saved(tmp_path, labels=None, locations={})
    assert case.read()[1] is None
    assert case.read_patch((0, 0, 0), (2, 2, 2))[1] is None
    assert case.locations == {}


def test_coordinates_beyond_16_bit_survive(tmp_path: Path) -> None:
    points = np.array([[0, 0, 40_000]])
    np.testing.assert_array_equal(_saved(tmp_path, locations={"far": points}).locations["far"], points)


def test_a_second_save_replaces_the_first(tmp_path: Path) -> None:
    _saved(tmp_path)
    assert _saved(tmp_path, labels=None).read()[1] is None
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_removed_case_is_gone(tmp_path: Path) -> None:
    _saved(tmp_path)
    remove_case(tmp_path, "a")
    remove_case(tmp_path, "never there")
    assert not StoredCase.exists(tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_case_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no preprocessed case in .*b: run preprocess"):
        StoredCase(tmp_path, "b")
    assert stored_record(tmp_path, "b") is None


@pytest.mark.parametrize("written", range(4))
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, full_disk: Callable[..., None], written: int
) -> None:
    full_disk(after=written)
    with pytest.raises(AutosegError, match=r"cannot write .*free some space"):
        _saved(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_in_another_process_opens_its_own_files(stored: StoredCase) -> None:
    case = StoredCase(stored.folder, "a", CaseCache(10**6))
    case.read()
    copies = pickle.loads(pickle.dumps([case, case, stored]))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(copies[0].read()[0], case.read()[0])
    assert copies[0].cache is copies[1].cache
    assert copies[2].cache is None


def test_a_cache_holds_no_more_than_its_limit(tmp_path: Path) -> None:
    image, labels = _arrays()
    for case_id in "ab":
        save_case(tmp_path, _record(case_id), image, labels, {}, patch_size_voxels=(8, 8, 8))
    size = StoredCase(tmp_path, "a").nbytes
    cache = CaseCache(size + 1)
    first, second = StoredCase(tmp_path, "a", cache), StoredCase(tmp_path, "b", cache)
    assert cache.get(first) is cache.get(first)
    assert cache.get(second) is None
    assert cache.used_bytes == size


@settings(max_examples=100)
@given(
    shape=st.tuples(st.integers(1, 4), *[st.integers(1, 400)] * 3),
    patch=st.lists(st.integers(1, 300), min_size=2, max_size=3),
    itemsize=st.sampled_from([1, 2, 4]),
)
def test_chunks_are_bounded(shape: tuple[int, int, int, int], patch: list[int], itemsize: int) -> None:
    chunks, blocks = chunks_and_blocks(shape, patch, itemsize=itemsize)
    assert all(1 <= block <= chunk <= size for block, chunk, size in zip(blocks, chunks, shape, strict=True))
    assert np.prod(chunks) * itemsize <= 4 * 2**20
    assert np.prod(blocks) * itemsize <= 2**17


def test_planar_patches_get_planar_blocks() -> None:
    # Halving the longest axis must not stall on the axis of one slice.
    assert chunks_and_blocks((1, 90, 512, 512), (300, 300), itemsize=4) == ((1, 11, 300, 300), (1, 1, 75, 150))
