"""The fixed grid of minicubes and the walk through it."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.imageops.grid import core_corners, core_starts
from autoseg.sampling.minicubes import MinicubeSampler, Options


@dataclass(frozen=True)
class Shaped:
    shape: tuple[int, int, int]


def sampler(core=(4, 4, 4), source=None, per_case=8):
    return MinicubeSampler(
        Options(patches_per_case=per_case), patch_size_voxels=core, source_size_voxels=source or core
    )


@given(st.integers(1, 300), st.integers(1, 120))
def test_cores_tile_an_axis_without_overlap(size, core):
    starts = core_starts(size, core)
    covered = [voxel for start in starts for voxel in range(start, start + core)]
    assert len(covered) == len(set(covered))
    assert set(range(size)) <= set(covered)
    before, after = -starts[0], starts[-1] + core - size
    assert 0 <= after - before <= 1, "what is too much lies evenly beyond both ends"
    assert before + after < core, "no core lies outside"


def test_the_published_volume_has_eight_minicubes():
    assert len(core_corners((160, 192, 192), (80, 96, 96))) == 8
    assert core_corners((155, 192, 192), (80, 96, 96))[0] == (-2, 0, 0)


@given(
    st.lists(st.tuples(*[st.integers(1, 20)] * 3), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(0, 10**6),
)
def test_a_pass_sees_every_core_of_every_case(shapes, per_case, seed):
    cases = [Shaped(shape) for shape in shapes]
    drawn = sampler((7, 7, 7), per_case=per_case)
    places = [drawn.place(number, cases=cases, seed=seed) for number in range(drawn.per_pass(cases))]
    for index, case in enumerate(cases):
        assert {corner for chosen, corner in places if chosen == index} == set(core_corners(case.shape, (7, 7, 7)))


@pytest.mark.parametrize("steps", [1, 4])
def test_a_case_stays_for_its_steps_and_shows_each_core_once(steps):
    cases = [Shaped((8, 8, 8)), Shaped((6, 7, 8)), Shaped((8, 5, 7))]
    drawn = sampler(per_case=2 * steps)
    visits = [[drawn.place(8 * v + n, cases=cases, seed=5) for n in range(8)] for v in range(6)]
    per_visit = 2 * steps
    flat = [place for visit in visits for place in visit]
    for first in range(0, len(flat), per_visit):
        assert len({chosen for chosen, _ in flat[first : first + per_visit]}) == 1
        assert len({corner for _, corner in flat[first : first + per_visit]}) == per_visit
    first_tour = [flat[first][0] for first in range(0, 3 * per_visit, per_visit)]
    assert sorted(first_tour) == [0, 1, 2]


def test_places_depend_on_number_and_seed_alone():
    cases = [Shaped((8, 8, 8))] * 3
    numbers = range(48)
    first = [sampler().place(n, cases=cases, seed=1) for n in numbers]
    assert first == [sampler().place(n, cases=cases, seed=1) for n in reversed(numbers)][::-1]
    assert first != [sampler().place(n, cases=cases, seed=2) for n in numbers]


@given(st.tuples(*[st.integers(1, 30)] * 3), st.tuples(*[st.integers(0, 6)] * 3))
def test_context_lies_evenly_around_the_core(shape, context):
    core = (8, 8, 8)
    source = tuple(edge + 2 * more for edge, more in zip(core, context, strict=True))
    places = [sampler(core, source).place(n, cases=[Shaped(shape)], seed=0)[1] for n in range(64)]
    found = {tuple(np.add(place, context).tolist()) for place in places}
    assert found == set(core_corners(shape, core))


def test_slices_are_the_cores_of_2d_patches():
    drawn = sampler((1, 8, 8), (1, 12, 12), per_case=5)
    places = [drawn.place(n, cases=[Shaped((5, 8, 8))], seed=0)[1] for n in range(5)]
    assert sorted(places) == [(z, -2, -2) for z in range(5)]
