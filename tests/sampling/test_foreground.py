"""Where patches are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.io.case_store import ANNOTATED
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
    drawn = sampler(patch, source)
    rng = np.random.default_rng(seed)
    corner = drawn.corner(rng, shape=shape, locations={"1": voxels}, is_foreground=foreground)
    for size, width, read, low in zip(shape, patch, source, corner, strict=True):
        start = low + (read - width) // 2
        if size >= read:
            assert start >= 0
            assert start + width <= size + 1
        else:
            assert start + width > 0
            assert start < size


@pytest.mark.parametrize(
    ("is_foreground", "extra", "centre"),
    [
        (True, {}, [30, 2, 17]),
        (True, {ANNOTATED: [[9, 9, 9]]}, [30, 2, 17]),
        (False, {ANNOTATED: [[9, 9, 9]]}, [9, 9, 9]),
    ],
)
def test_patches_hold_the_voxel_they_are_centred_on(is_foreground, extra, centre):
    locations = {"1": np.array([[30, 2, 17]]), "2": np.zeros((0, 3), int)} | {k: np.array(v) for k, v in extra.items()}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        corner = sampler().corner(rng, shape=(40, 40, 40), locations=locations, is_foreground=is_foreground)
        assert all(low <= voxel < low + 8 for low, voxel in zip(corner, centre, strict=True))
