"""Streamed export equals resampling everything first and deciding after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from autoseg.core.errors import BudgetError, GeometryError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.imageops.orient import undo_orient
from autoseg.imageops.resample import axis_matrix, nearest_along_separate_axis, separate_axis
from autoseg.inference.export import MemberLogits, labels_on_native_grid, merged_labels_on_native_grid
from autoseg.specs.case import CaseRecord, Grid
from autoseg.specs.plan import Resampling

CLASSES = LabelSpace(("a", "b", "c"), ((1,), (2,), (4,)))
REGIONS = LabelSpace(("whole", "core"), ((1, 2), (2,)), None, (1, 2))
ISOTROPIC = ((1.0, 1.0, 1.0), (1.3, 0.6, 0.7))
THICK = ((5.0, 1.0, 1.0), (2.8, 0.6, 0.7))


def record(
    spacings: tuple[tuple[float, float, float], tuple[float, float, float]] = ISOTROPIC,
    stored: tuple[int, int, int] = (12, 21, 17),
) -> CaseRecord:
    """A case that was oriented, transposed, cropped from (25, 66, 75) to (21, 60, 70) and resampled to `stored`."""
    axes, flips, transpose = (2, 0, 1), (True, False, True), (1, 2, 0)
    transposed = np.empty((25, 66, 75))
    original = undo_orient(transposed.transpose(np.argsort(transpose)), axes, flips).shape
    return CaseRecord(
        case_id="case",
        original=Grid.of(Geometry((original[0], original[1], original[2]), (1.0, 1.0, 1.0))),
        orient_axes=axes,
        orient_flips=flips,
        transpose=transpose,
        transposed_shape_voxels=(25, 66, 75),
        crop_start_voxels=(1, 4, 2),
        crop_stop_voxels=(22, 64, 72),
        cropped_spacing_mm=spacings[1],
        spacing_mm=spacings[0],
        shape_voxels=stored,
    )


def smooth_logits(heads: int, shape: tuple[int, int, int] = (12, 21, 17), seed: int = 0) -> torch.Tensor:
    coarse = torch.randn(1, heads, 3, 5, 4, generator=torch.Generator().manual_seed(seed))
    return 5 * upsampled(coarse, shape)[0]


def upsampled(coarse: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(coarse, shape, mode="trilinear")


def resampled(logits: torch.Tensor, case: CaseRecord, rule: Resampling) -> npt.NDArray[np.float64]:
    """Every head on the whole cropped native grid, in double precision."""
    volume = logits.double().numpy()
    apart = separate_axis(case.spacing_mm, case.cropped_spacing_mm, rule.separate_z_ratio)
    for axis, (before, after) in enumerate(zip(case.shape_voxels, case.cropped_shape_voxels, strict=True)):
        if axis == apart:
            matrix = np.eye(before)[nearest_along_separate_axis(before, after)]
        else:
            matrix = axis_matrix(before, after, rule.logits_order, rule.align)
        volume = np.moveaxis(np.tensordot(matrix, volume, (1, axis + 1)), 0, axis + 1)
    return volume


def decided(scores: npt.NDArray[np.float64], space: LabelSpace, threshold: float = 0.0) -> npt.NDArray[np.intp]:
    if space.class_order is None:
        return np.array(space.head_values)[scores.argmax(0)]
    labels = np.zeros(scores.shape[1:], np.intp)
    for value, score in zip(space.class_order, scores, strict=True):
        labels[score > threshold] = value
    return labels


def in_file_axes(labels: npt.NDArray[np.intp], case: CaseRecord) -> npt.NDArray[np.intp]:
    full = np.zeros(case.transposed_shape_voxels, np.intp)
    full[1:22, 4:64, 2:72] = labels
    return undo_orient(full.transpose(np.argsort(case.transpose)), case.orient_axes, case.orient_flips)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("spacings", [ISOTROPIC, THICK])
@pytest.mark.parametrize("space", [CLASSES, REGIONS])
def test_equals_deciding_on_the_resampled_volume(
    order: int, spacings: tuple[tuple[float, float, float], tuple[float, float, float]], space: LabelSpace
) -> None:
    case, logits, rule = record(spacings), smooth_logits(space.heads), Resampling(logits_order=order)
    labels = labels_on_native_grid(logits, case, space, rule)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, in_file_axes(decided(resampled(logits, case, rule), space), case))
    assert len(np.unique(labels)) == len(space.names) + 1


def test_aligned_corners_are_undone() -> None:
    case, logits, rule = record(), smooth_logits(4), Resampling(align="corners")
    labels = labels_on_native_grid(logits, case, CLASSES, rule)
    np.testing.assert_array_equal(labels, in_file_axes(decided(resampled(logits, case, rule), CLASSES), case))
    assert (labels != labels_on_native_grid(logits, case, CLASSES, Resampling())).any()


@pytest.mark.parametrize("space", [CLASSES, REGIONS])
def test_noise_in_half_precision_is_decided_alike(space: LabelSpace) -> None:
    logits = torch.randn(space.heads, 12, 21, 17, generator=torch.Generator().manual_seed(3)).half()
    case, rule = record(), Resampling()
    labels = labels_on_native_grid(logits, case, space, rule)
    np.testing.assert_array_equal(labels, in_file_axes(decided(resampled(logits, case, rule), space), case))


@pytest.mark.parametrize("space", [CLASSES, REGIONS])
def test_members_on_different_grids_are_averaged_as_probabilities(space: LabelSpace) -> None:
    cases = [record(), record(((2.0, 2.0, 1.0), ISOTROPIC[1]), (8, 11, 17))]
    logits = [smooth_logits(space.heads), smooth_logits(space.heads, (8, 11, 17), seed=5)]
    rule = Resampling()
    members = [MemberLogits(some, case, rule) for some, case in zip(logits, cases, strict=True)]
    volumes = [torch.from_numpy(resampled(member.logits, member.record, rule)) for member in members]
    chances = [volume.sigmoid() if space.is_regions else volume.softmax(0) for volume in volumes]
    expected = decided(torch.stack(chances).mean(0).numpy(), space, threshold=0.5)
    labels = merged_labels_on_native_grid(members, space)
    np.testing.assert_array_equal(labels, in_file_axes(expected, cases[0]))


def test_rounded_logits_tie_and_the_first_class_wins() -> None:
    case, rule, space = record(), Resampling(), CLASSES
    logits = 0.1 * smooth_logits(4).half().float()
    logits[3] = logits[2] + 1e-5  # ties with the class before it, once rounded
    member = MemberLogits(logits, case, rule, half=True)
    labels = merged_labels_on_native_grid([member], space)
    rounded = resampled(logits, case, rule).astype(np.float32).astype(np.float16)
    expected = in_file_axes(decided(rounded, space), case)
    exact = labels_on_native_grid(logits, case, space, rule)
    assert (labels == expected).mean() > 0.999, "float32 and double precision round alike but for a few"
    assert (exact != expected).mean() > 0.05
    assert space.head_values[2] in labels


def test_a_tie_goes_to_the_first_class() -> None:
    labels = labels_on_native_grid(torch.zeros(4, 12, 21, 17), record(), CLASSES, Resampling())
    assert not labels.any()


def test_labels_above_255_need_two_bytes() -> None:
    space = LabelSpace(("a",), ((300,),))
    logits = torch.stack([torch.zeros(12, 21, 17), torch.ones(12, 21, 17)])
    labels = labels_on_native_grid(logits, record(), space, Resampling())
    assert labels.dtype == np.uint16
    assert np.unique(labels).tolist() == [0, 300]


def test_threads_do_not_change_the_labels() -> None:
    case, logits, threads = record(), smooth_logits(4), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = labels_on_native_grid(logits, case, CLASSES, Resampling())
        torch.set_num_threads(3)
        np.testing.assert_array_equal(single, labels_on_native_grid(logits, case, CLASSES, Resampling()))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_logits_of_another_grid_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"logits of case have the shape \(4, 9, 9, 9\)"):
        labels_on_native_grid(torch.zeros(4, 9, 9, 9), record(), CLASSES, Resampling())


def test_members_of_other_crops_are_refused() -> None:
    other = record().model_copy(update={"crop_start_voxels": (0, 4, 2), "crop_stop_voxels": (21, 64, 72)})
    members = [MemberLogits(smooth_logits(4), case, Resampling()) for case in (record(), other)]
    with pytest.raises(GeometryError, match="members of case differ in crop_start_voxels, crop_stop_voxels"):
        merged_labels_on_native_grid(members, CLASSES)


def test_labels_that_do_not_fit_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.inference.export.available_memory_bytes", lambda: 1000)
    with pytest.raises(BudgetError, match="the labels of case need 0 MiB, 0 MiB are free: close other programs"):
        labels_on_native_grid(smooth_logits(4), record(), CLASSES, Resampling())
