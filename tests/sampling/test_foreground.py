"""Where patches are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.sampling.foreground import ForegroundSampler, Options

sizes = st.tuples(*[st.integers(1, 40)] * 3)


def sampler(patch=(8, 8, 8), source=None, **options):
    return ForegroundSampler(Options(**options), patch_size_voxels=patch, source_size_voxels=source or patch)


@pytest.mark.parametrize(("batch", "foreground"), [(2, [1]), (7, [5, 6]), (12, [8, 9, 10, 11])])
def test_share_of_the_batch_is_nnunets(batch, foreground):
    drawn = sampler(share=0.33)
    assert [i for i in range(batch) if drawn.is_foreground(i, batch_size=batch)] == foreground


def test_without_replacement_every_case_comes_once_per_round():
    drawn = sampler(replacement=False)
    rounds = [[drawn.case_index(n, cases=7, seed=1) for n in range(7 * r, 7 * r + 7)] for r in range(3)]
    assert [sorted(one) for one in rounds] == [list(range(7))] * 3
    assert rounds[0] != rounds[1]


def test_with_replacement_draws_depend_on_number_and_seed_alone():
    drawn = sampler()
    first = [drawn.case_index(n, cases=50, seed=3) for n in range(20)]
    assert first == [drawn.case_index(n, cases=50, seed=3) for n in range(20)]
    assert first != [drawn.case_index(n, cases=50, seed=4) for n in range(20)]


@given(sizes, sizes, st.tuples(*[st.integers(0, 12)] * 3), st.integers(0, 10**6), st.booleans())
def test_the_patch_stays_inside_wherever_it_fits(shape, patch, margin, seed, foreground):
    source = tuple(p + m for p, m in zip(patch, margin, strict=True))
    if patch[0] == 1:
        source = (1, *source[1:])
    voxels = np.array([[s - 1 for s in shape]])  # the far corner: the border that the peer forgets
    locations = {"1": voxels} if foreground else None
    corner = sampler(patch, source).corner(np.random.default_rng(seed), shape=shape, locations=locations)
    for size, width, read, low in zip(shape, patch, source, corner, strict=True):
        start = low + (read - width) // 2
        if size >= read:
            assert start >= 0
            assert start + width <= size + 1
        else:
            assert start + width > 0
            assert start < size


def test_foreground_patches_hold_their_voxel():
    voxels = np.array([[30, 2, 17]])
    corner = sampler().corner(np.random.default_rng(0), shape=(40, 40, 40), locations={"1": voxels, "2": voxels[:0]})
    assert all(low <= voxel < low + 8 for low, voxel in zip(corner, voxels[0], strict=True))
