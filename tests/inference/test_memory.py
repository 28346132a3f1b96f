"""Estimates of memory: what each step of leanness saves, and which cases are in memory together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import small_configuration

from autoseg.core.geometry import Geometry
from autoseg.inference.memory import Demand, Machine, Pass, Work, peak
from autoseg.inference.thrift import Thrift
from autoseg.io.stored_size import CaseSize
from autoseg.specs.plan import Configuration

MACHINE = Machine(on_cpu=True, bytes_each=4, passes=4, threads=4, planar_windows=8)
WAYS = tuple(Thrift(3).leaner(disk=Path("/disk"), passes=4))


def configuration(patch: tuple[int, ...]) -> Configuration:
    return small_configuration(
        "2d" if len(patch) == 2 else "3d_fullres",
        patch,
        features=(16, 32),
        preprocessing={"orientation": "as_stored", "transpose": (0, 1, 2), "spacing_mm": (2.0, 2.0, 2.0)},
    )


def work(patch: tuple[int, ...], *, heads: int = 3, machine: Machine = MACHINE, extra: int = 0) -> Work:
    only = Pass(configuration(patch), channels=1, heads=heads, extra_channels=extra, machine=machine)
    return Work((only,), 1, 1, 1)


def size(*shape: int) -> CaseSize:
    first, second, third = shape
    voxels = first * second * third
    return CaseSize(Geometry((first, second, third), (1.0, 1.0, 1.0)), 1, 4 * voxels, 0, 8 * voxels)


def test_the_ways_become_leaner_one_step_at_a_time() -> None:
    said = [str(way) for way in WAYS]
    assert said == [
        "3 read and written beside one in work",
        "2 read and written beside one in work",
        "1 read and written beside one in work",
        "one case at a time",
        "one case at a time, logits on disk",
        "one case at a time, logits on disk, 3 passes side by side",
        "one case at a time, logits on disk, 2 passes side by side",
        "one case at a time, logits on disk, one pass at a time",
    ]


@settings(max_examples=25)
@given(
    st.sampled_from([(16, 32, 32), (64, 64)]),
    st.integers(2, 60),
    st.lists(st.tuples(st.integers(8, 90), st.integers(8, 90), st.integers(8, 90)), min_size=1, max_size=5),
)
def test_a_leaner_way_never_needs_more(patch: tuple[int, ...], heads: int, shapes: list[tuple[int, int, int]]) -> None:
    task = work(patch, heads=heads)
    needs = [peak([task.demand("a", size(*shape), way) for shape in shapes], way) for way in WAYS]
    assert needs == sorted(needs, reverse=True)
    assert min(needs) > 0


def test_more_classes_take_more_and_another_device_takes_the_activations() -> None:
    few, many = (work((16, 32, 32), heads=heads).demand("a", size(60, 80, 80), Thrift()) for heads in (3, 60))
    assert many.computing > few.computing
    assert many.finishing - few.finishing > 57 * 4 * 30 * 40 * 40
    elsewhere = Machine(on_cpu=False, bytes_each=2, passes=4, threads=4, planar_windows=8)
    assert work((16, 32, 32), machine=elsewhere).demand("a", size(60, 80, 80), Thrift()).computing < few.computing


def test_labels_of_a_previous_stage_are_channels() -> None:
    plain, fed = (work((16, 32, 32), extra=extra).demand("a", size(60, 80, 80), Thrift()) for extra in (0, 5))
    assert fed.computing - plain.computing > 5 * 4 * 30 * 40 * 40


@pytest.mark.parametrize(("ahead", "expected"), [(0, 90), (1, 1 + 90 + 7), (2, 2 + 1 + 90 + 7 + 5)])
def test_neighbours_are_read_and_written_meanwhile(ahead: int, expected: int) -> None:
    demands = [
        Demand("a", 3, 10, 2),
        Demand("b", 3, 10, 1),
        Demand("c", 3, 90, 50),
        Demand("d", 7, 8, 1),
        Demand("e", 5, 8, 1),
    ]
    assert peak(demands, Thrift(ahead)) == expected
