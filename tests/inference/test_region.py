"""What a first stage means for the second: plausible organs, boxes, growth, fall-backs, merging."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import STATISTICS, two_levels

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.imageops.crop import dilate_box, mask_box
from autoseg.inference.case_log import CASE_LOG, CaseLog
from autoseg.inference.export import MemberLogits, decided_labels, merged_labels_on_native_grid
from autoseg.inference.region import Organ, Story, cut_sides, find_organ, merge_found, merge_stages
from autoseg.inference.region_stage import MOST_GROWN, RegionStage
from autoseg.inference.runner import RawImage
from autoseg.specs.document import Component
from autoseg.specs.plan import Configuration, Preprocessing, Region

SPACE = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
SHAPE = (20, 30, 40)
SPACING = (2.0, 1.0, 1.0)
DIRECTION = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
GEOMETRY = Geometry(SHAPE, SPACING, (0.0, 0.0, 0.0), DIRECTION)
REGION = Region(labels=(1, 2), host=1, found_as=(1,), volume_ml=(1.0, 2.0), margin_mm=4.0)


def second_stage(region: Region = REGION, **preprocessing) -> Configuration:
    section = {
        "orientation": "canonical",
        "transpose": (1, 0, 2),
        "spacing_mm": (1.0, 2.0, 1.0),
        "normalization": (Component(name="none"),),
        "mask_normalization": (False,),
        "intensities": (STATISTICS,),
        "crop_to_nonzero": False,
        **preprocessing,
    }
    return Configuration(
        name="3d_roi_fullres",
        preprocessing=Preprocessing(**section),
        patch_size_voxels=(8, 8, 8),
        batch_size=2,
        median_shape_voxels=(12, 12, 12),
        topology=two_levels(3, (4, 6)),
        network=Component(name="plain_unet"),
        batch_dice=True,
        previous_stage="3d_organ",
        region=region,
    )


class Ideal:
    """Stands for networks: sees 1 as liver and 2 as tumour, and remembers what it was given."""

    def __init__(self, space: LabelSpace = SPACE) -> None:
        self.space, self.seen = space, []

    def logits(self, _networks, configuration, image, record, previous=None) -> MemberLogits:
        self.seen.append((image, record, previous))
        heads = [torch.isclose(image[0].round(), torch.tensor(float(value))) for value in self.space.head_values]
        return MemberLogits(torch.stack(heads).float() * 8, record, configuration.preprocessing.resampling)


def scan(*, organ=(slice(6, 14), slice(8, 20), slice(10, 26)), tumour=(slice(9, 11), slice(12, 15), slice(14, 18))):
    """Truth (Z, Y, X) on the file's grid; the organ has 3.1 ml."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[organ] = 1
    truth[tumour] = 2
    return truth


def run(truth, first, *, region=REGION, ideal=None, **preprocessing):
    """Labels and story of the second stage."""
    ideal = Ideal() if ideal is None else ideal
    stage = RegionStage(second_stage(region, **preprocessing), (), ideal)
    member = stage.logits(RawImage(truth[None].astype(np.float32), GEOMETRY, "case"), first)
    labels = merged_labels_on_native_grid([member], ideal.space)
    merge_found(labels, member.found, ideal.space, SPACING)
    return labels, member.found.story, ideal


def test_the_box_alone_is_segmented_and_background_is_written_around_it() -> None:
    truth = scan()
    labels, story, ideal = run(truth, (truth > 0).astype(np.uint8))
    np.testing.assert_array_equal(labels, truth)
    assert story.events == []
    assert story.box == ((4, 4, 6), (16, 24, 30)), "4 mm around the organ, in the file's axes"
    assert story.organ_ml == pytest.approx(8 * 12 * 16 * 2e-3)
    ((image, record, previous),) = ideal.seen
    assert image.shape == (1, 20, 12, 24), "only the box was resampled, in the plan's axes"
    assert record.crop_stop_voxels == (24, 16, 34)
    assert set(np.unique(previous)) == {0, 1}
    assert mask_box(previous > 0) == (slice(4, 16), slice(2, 10), slice(4, 20))


def test_an_organ_beside_the_first_stages_is_reached_by_growing() -> None:
    truth = scan()
    seen = (truth > 0).astype(np.uint8)
    seen[:, :, 18:] = 0  # half of the organ was missed: 4 mm of margin end inside of it
    labels, story, ideal = run(truth, seen)
    np.testing.assert_array_equal(labels, truth)
    assert story.events == ["the box cut the organ on 1 sides and was grown there"]
    assert story.box == ((4, 4, 6), (16, 24, 28)), "10 mm on the side of the cut, 4 mm elsewhere"
    assert len(ideal.seen) == 2


def test_a_box_that_goes_on_cutting_gives_way_to_the_whole_case() -> None:
    truth = scan(organ=(slice(6, 14), slice(8, 20), slice(1, 39)))
    seen = np.zeros_like(truth)
    seen[6:14, 8:20, 1:8] = 1
    labels, story, ideal = run(truth, seen)
    np.testing.assert_array_equal(labels, truth)
    assert len(ideal.seen) == MOST_GROWN + 2
    assert story.events[-1] == "the grown box still cut the organ: the whole case is segmented"
    assert story.box == ((0, 0, 0), SHAPE)


def test_an_organ_that_the_image_cuts_needs_no_growing() -> None:
    truth = scan(organ=(slice(0, 9), slice(8, 20), slice(24, 40)), tumour=(slice(2, 4), slice(12, 15), slice(30, 33)))
    labels, story, ideal = run(truth, (truth > 0).astype(np.uint8))
    np.testing.assert_array_equal(labels, truth)
    assert (story.events, len(ideal.seen)) == ([], 1)


def test_the_edge_of_what_was_imaged_is_an_edge() -> None:
    """Where air was set to 0, the case ends at the body: nothing is behind."""
    truth = scan()
    _, story, ideal = run(truth, (truth > 0).astype(np.uint8), crop_to_nonzero=True)
    assert (story.events, len(ideal.seen)) == ([], 1)
    assert story.box == ((6, 8, 10), (14, 20, 26))


@pytest.mark.parametrize(
    ("first", "event"),
    [
        (0.0, "the first stage found no organ: the whole case is segmented"),
        (0.1, "the organ of 0 ml is not within 0 to 4 ml: the whole case is segmented"),
        (7.0, "the organ of 7 ml is not within 0 to 4 ml: the whole case is segmented"),
    ],
)
def test_without_a_plausible_organ_the_whole_case_is_segmented(first, event) -> None:
    truth = scan()
    seen = np.zeros(SHAPE, np.uint8)
    seen.ravel()[: round(first * 500)] = 1
    labels, story, ideal = run(truth, seen)
    np.testing.assert_array_equal(labels, truth)
    assert story.events == [event]
    assert story.box == ((0, 0, 0), SHAPE)
    assert not ideal.seen[0][2].any(), "no organ in the extra channel"


def test_an_image_without_any_organ_is_background() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    labels, story, _ = run(nothing, nothing)
    assert not labels.any()
    assert story.organ_ml == 0
    alone = nothing.copy()
    alone[2:4, 3:6, 3:6] = 2
    labels, story, _ = run(alone, nothing)
    assert not labels.any(), "a tumour without an organ is none"
    assert story.events[-1] == "18 tumour voxels outside of the organ removed"


def test_a_mask_where_nothing_was_imaged_does_no_harm() -> None:
    truth = scan(organ=(slice(0, 4), slice(0, 6), slice(0, 6)), tumour=(slice(0, 1),) * 3)
    elsewhere = np.zeros(SHAPE, np.uint8)
    elsewhere[15:19, 20:28, 30:38] = 1
    labels, _, _ = run(truth, elsewhere, crop_to_nonzero=True)
    assert (labels == 1).any()


def test_blanked_images_show_the_organ_alone_and_no_channel_means_none() -> None:
    truth = scan()
    seen = (truth > 0).astype(np.uint8)
    truth[5, 9, 9] = 1
    region = REGION.model_copy(update={"blank_outside": True, "input_channel": False})
    labels, _, ideal = run(truth, seen, region=region)
    image, _, previous = ideal.seen[0]
    assert previous is None
    assert labels[5, 9, 9] == 0
    assert (image[0] != 0).sum() == (seen > 0).sum()
    _, _, whole = run(truth, np.zeros_like(seen), region=region)
    assert whole.seen[0][0].sum() == truth.sum(), "nothing is blanked where no organ was found"


def test_a_second_stage_that_learns_tumours_alone_gets_the_organ_painted() -> None:
    space = LabelSpace.parse({"background": 0, "tumour": 2})
    truth = scan()
    seen = (truth > 0).astype(np.uint8)
    labels, story, _ = run(truth, seen, ideal=Ideal(space))
    np.testing.assert_array_equal(labels, truth)
    assert story.events == []
    far = truth.copy()
    far[19, 29, 39] = 2
    labels, _, _ = run(far, np.zeros_like(seen), ideal=Ideal(space))
    np.testing.assert_array_equal(labels, np.where(far == 2, 2, 0), err_msg="without any organ nothing is judged")


def test_regions_are_decided_on_the_grid_as_they_are_written() -> None:
    space = LabelSpace.parse({"background": 0, "whole": (1, 2), "tumour": 2}, (1, 2))
    logits = torch.tensor([[-1.0, 1.0, 1.0], [-1.0, -1.0, 2.0]])[:, None, None]
    record = RegionStage(second_stage(), (), Ideal()).logits(image_of(scan()), scan()).record
    labels = decided_labels(MemberLogits(logits, record, second_stage().preprocessing.resampling), space)
    assert labels.ravel().tolist() == [0, 1, 2]


def image_of(truth) -> RawImage:
    return RawImage(truth[None].astype(np.float32), GEOMETRY, "case")


def test_a_configuration_without_a_region_is_no_second_stage() -> None:
    with pytest.raises(ValueError, match="3d_roi_fullres has no region"):
        RegionStage(second_stage().model_copy(update={"region": None}), (), Ideal())


# --- the organ ---


def test_scraps_are_no_organ_but_both_kidneys_are() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:12, 4:12, 4:12] = 1
    labels[4:12, 18:24, 4:12] = 1
    labels[18, 28, 38] = 1
    organ = find_organ(labels, GEOMETRY, REGION)
    assert organ.box == (slice(4, 12), slice(4, 24), slice(4, 12))
    assert organ.volume_ml == pytest.approx((512 + 384) * 2e-3)


def test_the_largest_piece_alone_may_be_plausible() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:10, :15, :13] = 1  # 3.9 ml
    labels[12:, 17:, :13] = 1  # 2.7 ml more would be too much
    organ = find_organ(labels, GEOMETRY, REGION)
    assert organ.problem == ""
    assert organ.box == (slice(0, 10), slice(0, 15), slice(0, 13))


def test_other_labels_of_a_model_are_not_the_organ() -> None:
    labels = np.full(SHAPE, 3, np.uint8)
    assert find_organ(labels, GEOMETRY, REGION).mask is None
    labels[2:10, 2:10, 2:10] = 5
    found = find_organ(labels, GEOMETRY, REGION.model_copy(update={"found_as": (5, 6)}))
    assert found.box == (slice(2, 10),) * 3


# --- boxes ---

corners = st.tuples(*[st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)) for size in SHAPE])
millimetres = st.integers(0, 600).map(lambda tenths: tenths / 10)


@given(
    ends=corners,
    margins=st.tuples(*[st.tuples(millimetres, millimetres)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
)
@settings(max_examples=50)
def test_a_dilated_box_has_its_margin_or_ends_with_the_image(ends, margins, spacing) -> None:
    box = tuple(slice(min(pair), max(pair) + 1) for pair in ends)
    limits = tuple(slice(0, size) for size in SHAPE)
    wide = dilate_box(box, margins, spacing, limits=limits)
    for side, old, size, mm, (before, after) in zip(wide, box, SHAPE, spacing, margins, strict=True):
        assert 0 <= side.start <= old.start < old.stop <= side.stop <= size
        assert side.start == 0 or before - 1e-6 <= (old.start - side.start) * mm < before + mm + 1e-6
        assert side.stop == size or after - 1e-6 <= (side.stop - old.stop) * mm < after + mm + 1e-6


@given(ends=corners, box_ends=corners)
@settings(max_examples=40)
def test_sides_are_cut_exactly_where_the_organ_meets_an_inner_face(ends, box_ends) -> None:
    organ = tuple(slice(min(pair), max(pair) + 1) for pair in ends)
    box = tuple(slice(min(pair), max(pair) + 1) for pair in box_ends)
    labels = np.zeros(SHAPE, np.uint8)
    labels[organ] = 1
    limits = tuple(slice(0, size) for size in SHAPE)
    expected = set()
    if labels[box].any():
        for axis, (part, side, size) in enumerate(zip(organ, box, SHAPE, strict=True)):
            if part.start <= side.start and side.start > 0:
                expected.add((axis, 0))
            if part.stop >= side.stop and side.stop < size:
                expected.add((axis, 1))
    assert set(cut_sides(labels[box], REGION, box, limits)) == expected


def test_a_scrap_at_a_face_does_not_grow_the_box() -> None:
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[2:4, 2:4, 2:4] = 1
    labels[0, 0, 0] = 1
    box, limits = (slice(5, 11),) * 3, (slice(0, 20),) * 3
    assert cut_sides(labels, REGION, box, limits) == ()
    assert cut_sides(np.zeros_like(labels), REGION, box, limits) == ()


# --- merging ---


def merged(labels, mask) -> tuple[np.ndarray, list[str]]:
    box = None if mask is None else mask_box(mask)
    events = merge_stages(labels, Organ(mask, box, 1.0), REGION, SPACE, SPACING)
    return labels, events


def test_tumours_stay_in_and_near_the_organ_only() -> None:
    labels = scan()
    mask = labels > 0
    labels[9, 13, 34:36] = 2  # 9 mm from the first stage's organ
    labels[9, 13, 38] = 2  # 13 mm away
    labels[9, 8:12, 26] = 2  # grows out of the second stage's organ
    found, events = merged(labels.copy(), mask)
    assert events == ["1 tumour voxels outside of the organ removed"]
    labels[9, 13, 38] = 0
    np.testing.assert_array_equal(found, labels)


def test_a_scrap_of_organ_does_not_save_a_tumour() -> None:
    labels = scan()
    labels[0, 28, 36:39] = (1, 2, 2)
    found, events = merged(labels.copy(), None)
    assert events == ["2 tumour voxels outside of the organ removed"]
    assert found[0, 28, 36:39].tolist() == [1, 0, 0]


def test_an_organ_that_only_the_first_stage_found_is_kept() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    mask = scan() > 0
    labels[9, 13, 15] = 2
    found, events = merged(labels, mask)
    assert events == ["the second stage found no organ: that of the first stage is kept"]
    assert ((found == 1) == (mask & (found != 2))).all()
    assert found[9, 13, 15] == 2


def test_the_log_has_a_line_per_case(tmp_path) -> None:
    log = CaseLog(tmp_path / "new")
    log.write("a", Story(1234.567, ((0, 0, 0), (1, 2, 3)), ["grown"], 1.23456))
    log.write("b", Story(0.0, ((0, 0, 0), (1, 2, 3))))
    lines = [json.loads(line) for line in (tmp_path / "new" / CASE_LOG).read_text().splitlines()]
    assert lines[0] == {
        "case": "a",
        "organ_ml": 1234.6,
        "box": [[0, 0, 0], [1, 2, 3]],
        "events": ["grown"],
        "seconds": 1.23,
    }
    assert [line["case"] for line in lines] == ["a", "b"]
