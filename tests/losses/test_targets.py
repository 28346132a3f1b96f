"""Stored labels become targets; coarse levels see the label at the centre of each coarse voxel."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from autoseg.core.labels import LabelSpace
from autoseg.losses._deep_supervision import DeepSupervision, deep_supervision_weights, downsample_labels
from autoseg.losses._targets import make_targets

LABELS = torch.tensor([[-1, 0, 1], [2, 3, 1]], dtype=torch.int8).reshape(1, 1, 2, 3)


def test_classes() -> None:
    target, mask = make_targets(LABELS, LabelSpace.parse({"background": 0, "a": 1, "b": 2, "c": 3}))
    assert mask is None
    assert target.dtype == torch.int64
    assert target.flatten().tolist() == [0, 0, 1, 2, 3, 1]


def test_classes_with_gaps_become_head_indices() -> None:
    target, _ = make_targets(LABELS, LabelSpace.parse({"background": 0, "c": 3, "a": 1}))
    assert target.flatten().tolist() == [0, 0, 2, 0, 1, 2]


def test_ignored_voxels_are_background_outside_of_the_mask() -> None:
    space = LabelSpace.parse({"background": 0, "a": 1, "b": 2, "ignore": 3})
    target, mask = make_targets(LABELS, space)
    assert target.flatten().tolist() == [0, 0, 1, 2, 0, 1]
    assert mask.flatten().tolist() == [True, True, True, True, False, True]


def test_regions() -> None:
    space = LabelSpace.parse({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, [1, 2])
    target, mask = make_targets(LABELS, space)
    assert target.dtype == torch.bool
    assert target[0].flatten(1).int().tolist() == [[0, 0, 1, 1, 0, 1], [0, 0, 0, 1, 0, 0]]
    assert mask.shape == LABELS.shape


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2)), min_size=2, max_size=3))
def test_downsampling_is_nearest_exact(axes: list[tuple[int, int, int]]) -> None:
    coarse = tuple(edge for edge, _, _ in axes)
    fine = tuple(edge * step + rest for edge, step, rest in axes)
    labels = torch.arange(torch.Size(fine).numel()).reshape(1, 1, *fine)
    expected = interpolate(labels.double(), coarse, mode="nearest-exact").long()
    assert torch.equal(downsample_labels(labels, coarse), expected)


def test_weights_halve_and_leave_out_the_coarsest() -> None:
    assert deep_supervision_weights(1) == (1.0,)
    assert deep_supervision_weights(2) == (1.0, 0.0)
    assert deep_supervision_weights(4) == pytest.approx((4 / 7, 2 / 7, 1 / 7, 0))


def test_levels_of_weight_zero_are_not_computed() -> None:
    seen = []

    def loss(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen.append(tuple(logits.shape[2:]))
        return logits.mean()

    levels = [torch.full((1, 2, edge, edge), value) for edge, value in ((8, 1.0), (4, 4.0), (2, 100.0))]
    space = LabelSpace.parse({"background": 0, "a": 1})
    value = DeepSupervision(loss, deep_supervision_weights(3))(levels, torch.zeros(1, 1, 8, 8), space)
    assert seen == [(8, 8), (4, 4)]
    assert value.item() == pytest.approx(2 / 3 * 1 + 1 / 3 * 4)
