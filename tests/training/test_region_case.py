"""The box around an organ, read as if it were the whole case."""

from __future__ import annotations

import numpy as np
import pytest
from cases import MemoryCase
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.errors import DatasetError
from autoseg.sampling import samplers
from autoseg.specs.plan import Region
from autoseg.training.loader import BatchLoader
from autoseg.training.previous import CascadeCase
from autoseg.training.readers import open_cases
from autoseg.training.region import RegionCase, box_around

REGION = Region(labels=(1,), host=1, found_as=(1,), volume_ml=(1.0, 2.0), margin_mm=2.0)
SHAPE = (12, 14, 16)
BOX = (slice(2, 10), slice(3, 12), slice(4, 13))


class Organ:
    """The organ's labels in memory."""

    def __init__(self, labels):
        self.labels, self.shape = labels, labels.shape

    def read_patch(self, start, stop):
        return self.labels[tuple(slice(*ends) for ends in zip(start, stop, strict=True))]


def region_case(region=REGION, *, box=BOX, **options):
    case = MemoryCase("a")
    organ = np.zeros(SHAPE, np.int16)
    organ[4:9, 5:10, 6:11] = 1
    both = CascadeCase(case, Organ(organ))
    return case, organ, RegionCase(both, box, region=region, **options)


@given(ends=st.tuples(*[st.tuples(st.integers(0, 8), st.integers(0, 8)) for _ in range(3)]))
@settings(max_examples=30)
def test_a_part_of_the_view_is_that_part_of_the_crop(ends) -> None:
    case, organ, view = region_case()
    assert view.shape == (8, 9, 9)
    start, stop = [min(pair) for pair in ends], [max(pair) for pair in ends]
    inside = tuple(slice(*pair) for pair in zip(start, stop, strict=True))
    image, labels = view.read_patch(start, stop)
    np.testing.assert_array_equal(image, case.image[(slice(None), *BOX)][(slice(None), *inside)])
    np.testing.assert_array_equal(labels[0], case.labels[BOX][inside])
    np.testing.assert_array_equal(labels[1], organ[BOX][inside])


def test_places_are_those_inside_in_the_boxs_coordinates() -> None:
    case, _, view = region_case()
    inside = [tuple(point) for point in np.argwhere(case.labels[BOX])]
    assert sorted(map(tuple, view.locations["ball"].tolist())) == sorted(map(tuple, inside))
    assert 0 < len(inside) < len(case.locations["ball"]), "the box cuts the ball"
    assert view.case_id == "a"
    assert (view.channels, view.annotated) == (case.channels, case.annotated)


def test_a_class_outside_of_the_box_has_no_places() -> None:
    _, _, view = region_case(box=(slice(0, 2), slice(0, 3), slice(0, 2)))
    assert view.locations["ball"].shape == (0, 3)


def test_blanking_and_the_channel_are_choices() -> None:
    blank = REGION.model_copy(update={"blank_outside": True})
    case, organ, view = region_case(blank)
    image, labels = view.read_patch((0, 0, 0), view.shape)
    np.testing.assert_array_equal(image, case.image[(slice(None), *BOX)] * organ[BOX].astype(np.float16))
    assert image.dtype == case.image.dtype
    _, _, no_organ = region_case(blank, has_organ=False)
    assert (no_organ.read_patch((0, 0, 0), view.shape)[0] != 0).all()
    _, _, no_channel = region_case(REGION.model_copy(update={"input_channel": False}))
    np.testing.assert_array_equal(no_channel.read_patch((0, 0, 0), view.shape)[1], labels[0])


def test_the_loader_takes_it_for_a_case() -> None:
    _, _, view = region_case()
    size = {"patch_size_voxels": (6, 6, 6), "source_size_voxels": (6, 6, 6)}
    sampler = samplers.build("foreground", {"share": 1.0}, **size)
    loader = BatchLoader([view], sampler, batch_size=4, source_size_voxels=(6, 6, 6), seed=0, label_maps=2)
    batch = loader.batch(0)
    assert batch.labels.shape == (4, 2, 6, 6, 6)
    assert (batch.labels[:, 0] == 1).flatten(1).any(1).all(), "every patch holds foreground"
    assert (batch.labels >= 0).all(), "patches stay inside of the box"


@pytest.mark.parametrize("margin_mm", [0.0, 2.0, 100.0])
def test_boxes_have_their_margin_in_millimetres(margin_mm) -> None:
    organ = np.zeros(SHAPE, np.int16)
    organ[5:7, 6:9, 7:8] = 1
    voxels = [round(margin_mm / spacing) for spacing in (2.0, 1.0, 0.5)]
    expected = tuple(
        slice(max(0, start - more), min(size, stop + more))
        for start, stop, more, size in zip((5, 6, 7), (7, 9, 8), voxels, SHAPE, strict=True)
    )
    assert box_around(organ, (2.0, 1.0, 0.5), margin_mm) == expected


def test_without_an_organ_the_whole_case_is_seen() -> None:
    assert box_around(np.zeros(SHAPE, np.int16), (1.0, 1.0, 1.0), 5.0) == tuple(slice(0, size) for size in SHAPE)


def test_cases_that_are_not_there_are_named(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"2 cases are not preprocessed \(a, b, ...\)"):
        open_cases(tmp_path, ("a", "b"), None, previous=None)
