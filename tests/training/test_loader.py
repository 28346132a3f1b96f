"""Batches are pure functions of their index; what lies beyond the volume is padding."""

import itertools
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from cases import MemoryCase

from autoseg.core.errors import DatasetError
from autoseg.sampling import samplers
from autoseg.training.loader import BatchLoader

CASES = [MemoryCase(name) for name in "abc"]


def loader(source=(8, 8, 8), cases=CASES, batch_size=3, seed=5, **more):
    flat = (1,) * (3 - len(source))
    sampler = samplers.build("foreground", {}, patch_size_voxels=(*flat, *source), source_size_voxels=(*flat, *source))
    return BatchLoader(cases, sampler, batch_size=batch_size, source_size_voxels=source, seed=seed, **more)


def test_batch_depends_on_its_index_alone():
    with closing(loader().stream(0)) as stream:
        streamed = list(itertools.islice(stream, 4))
    again = loader().batch(3)
    assert again.cases == streamed[3].cases
    assert again.seeds == streamed[3].seeds
    assert torch.equal(again.image, streamed[3].image)
    assert not torch.equal(streamed[2].image, streamed[3].image)
    assert loader(seed=6).batch(3).seeds != again.seeds


def test_patches_are_cut_from_image_and_labels_alike():
    batch = loader().batch(0)
    assert batch.image.shape == (3, 1, 8, 8, 8)
    assert batch.labels.shape == (3, 1, 8, 8, 8)
    inside = batch.labels == 1
    assert batch.image[inside].mean() > 2
    assert abs(batch.image[batch.labels == 0].mean()) < 0.5


def test_beyond_the_volume_is_zero_and_marked():
    batch = loader(source=(20, 20, 20)).batch(0)
    outside = batch.labels == -1
    assert outside.sum() == 3 * (20**3 - 12 * 14 * 16)
    assert batch.image[outside].abs().max() == 0


def test_two_dimensional_patches_are_slices():
    batch = loader(source=(8, 8)).batch(2)
    assert batch.image.shape == (3, 1, 8, 8)
    assert batch.labels.shape == (3, 1, 8, 8)


@pytest.mark.parametrize("source", [(8, 8, 8), (9, 9)])
def test_pinned_batches_hold_the_same(monkeypatch, source):
    asked, full = [], torch.full

    def recorded(*arguments, pin_memory, **more):
        asked.append(pin_memory)
        return full(*arguments, **more)

    plain = loader(source).batch(0)
    assert not asked
    monkeypatch.setattr(torch, "full", recorded)
    pinned = loader(source, pinned=True).batch(0)
    assert asked == [True, True]
    assert torch.equal(pinned.image, plain.image)
    assert torch.equal(pinned.labels, plain.labels)
    assert (pinned.image.dtype, pinned.labels.dtype) == (plain.image.dtype, plain.labels.dtype)


def test_an_unreadable_case_is_named():
    class Broken(MemoryCase):
        def read_patch(self, start, stop):
            raise OSError("truncated")

    with (
        closing(loader(cases=[Broken("liver_7")]).stream(0)) as stream,
        pytest.raises(OSError, match="truncated") as info,
    ):
        next(stream)
    assert info.value.__notes__ == ["while reading case liver_7 for batch 0"]


def test_a_case_without_labels_is_named():
    class Unlabelled(MemoryCase):
        def read_patch(self, start, stop):
            return super().read_patch(start, stop)[0], None

    with pytest.raises(DatasetError, match="the preprocessed case liver_7 has no labels: run autoseg preprocess again"):
        loader(cases=[Unlabelled("liver_7")]).batch(0)


def test_batches_tell_what_their_samples_annotate():
    class Partly(MemoryCase):
        annotated = ("ball",)

    assert loader().batch(0).annotated is None
    batch = loader(cases=[MemoryCase("a"), Partly("b")], batch_size=8).batch(0)
    assert batch.annotated == tuple(("ball",) if name == "b" else None for name in batch.cases)
    assert set(batch.cases) == {"a", "b"}


class Counted(MemoryCase):
    """Counts how often it is read."""

    reads = 0

    def read_patch(self, start, stop):
        self.reads += 1
        return super().read_patch(start, stop)


def minicubes(core, source, per_case=8):
    options = {"patches_per_case": per_case}
    return samplers.build("minicubes", options, patch_size_voxels=core, source_size_voxels=source)


def test_a_case_is_read_once_for_its_four_steps():
    cases = [Counted("a"), Counted("b"), Counted("c")]
    core, source = (6, 7, 8), (10, 11, 12)
    loader = BatchLoader(cases, minicubes(core, source), batch_size=2, source_size_voxels=source, seed=3)
    batches = [loader.batch(index) for index in range(12)]
    assert [case.reads for case in cases] == [1, 1, 1]
    for first in range(0, 12, 4):
        assert len({name for batch in batches[first : first + 4] for name in batch.cases}) == 1
    fresh = BatchLoader(cases, minicubes(core, source), batch_size=2, source_size_voxels=source, seed=3)
    for index in (9, 2, 5):
        again = fresh.batch(index)
        assert torch.equal(again.image, batches[index].image)
        assert torch.equal(again.labels, batches[index].labels)


def test_minicubes_of_one_visit_put_the_volume_together():
    case = MemoryCase("a")
    loader = BatchLoader([case], minicubes((6, 7, 8), (6, 7, 8)), batch_size=8, source_size_voxels=(6, 7, 8), seed=0)
    batch = loader.batch(0)
    assert int((batch.labels == 1).sum()) == int(case.labels.sum())
    assert float(batch.image.sum()) == pytest.approx(float(case.image.astype("float32").sum()), abs=1e-2)


def test_parts_of_a_batch_are_as_equal_as_they_can_be():
    batch = BatchLoader(
        [MemoryCase("a")], minicubes((6, 7, 8), (6, 7, 8)), batch_size=5, source_size_voxels=(6, 7, 8), seed=0
    ).batch(0)
    assert [(rows.start, rows.stop) for rows, _ in batch.split(2)] == [(0, 2), (2, 5)]
    assert [rows.stop - rows.start for rows, _ in batch.split(9)] == [1] * 5
    partly = replace(batch, annotated=(None, None, ("x",), None, None))
    assert [names for _, names in partly.split(2)] == [None, (("x",), None, None)]
