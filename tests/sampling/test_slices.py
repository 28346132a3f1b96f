"""Every slice once per pass."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, SpecError
from autoseg.io.case_store import ANNOTATED
from autoseg.sampling.slices import Options, SliceSampler


@dataclass(frozen=True)
class Case:
    shape: tuple[int, int, int]
    locations: dict[str, np.ndarray] = field(default_factory=dict)


CASES = (Case((3, 8, 8)), Case((5, 8, 8)), Case((1, 8, 8)))


def sampler(patch=(1, 8, 8), source=None, **options):
    return SliceSampler(Options(**options), patch_size_voxels=patch, source_size_voxels=source or patch)


def walk(drawn, numbers, cases=CASES, seed=3):
    return [drawn.place(number, cases=cases, seed=seed) for number in numbers]


def test_every_slice_comes_once_per_pass_in_another_order():
    drawn = sampler()
    assert drawn.per_pass(CASES) == 9
    first, second = walk(drawn, range(9)), walk(drawn, range(9, 18))
    everything = [(case, (z, 0, 0)) for case, one in enumerate(CASES) for z in range(one.shape[0])]
    assert sorted(first) == sorted(second) == everything
    assert first != second


def test_a_place_depends_on_number_and_seed_alone():
    in_order = walk(sampler(), range(20))
    assert walk(sampler(), reversed(range(20))) == in_order[::-1]
    assert walk(sampler(), range(20), seed=4) != in_order


def test_larger_slices_are_cut_and_smaller_ones_padded_alike():
    cases = (Case((2, 20, 5)),)
    corners = {corner for _, corner in walk(sampler(), range(60), cases)}
    assert {y for _, y, _ in corners} <= set(range(13))
    assert len({y for _, y, _ in corners}) > 5
    assert {x for _, _, x in corners} == {-1}
    assert {z for z, _, _ in corners} == {0, 1}


def test_the_margin_of_rotation_lies_around_the_slice():
    assert {corner for _, corner in walk(sampler(source=(1, 12, 12)), range(9))} == {(z, -2, -2) for z in range(5)}


def test_only_slices_with_foreground():
    organ = np.array([[1, 0, 0], [3, 4, 4], [3, 5, 5]])
    cases = (Case((6, 8, 8), {"1": organ, ANNOTATED: np.array([[5, 0, 0]])}), Case((4, 8, 8), {"1": organ[:0]}))
    drawn = sampler(foreground_only=True)
    assert drawn.per_pass(cases) == 2
    assert {(case, z) for case, (z, _, _) in walk(drawn, range(4), cases)} == {(0, 1), (0, 3)}
    with pytest.raises(DatasetError, match=r"no case has a slice with foreground: set foreground_only = false"):
        drawn.place(0, cases=cases[1:], seed=0)


def test_volumes_are_refused():
    with pytest.raises(SpecError, match=r"the sampler 'slices' is for 2D configurations: set train.sampler.name"):
        sampler(patch=(8, 8, 8))
