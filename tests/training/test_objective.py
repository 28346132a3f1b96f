"""Loss and counts from network output and stored labels."""

import pytest
import torch

from autoseg.core.labels import LabelSpace
from autoseg.specs.document import Component
from autoseg.training.objective import Objective

CLASSES = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
REGIONS = LabelSpace.parse({"background": 0, "liver": (1, 2), "tumour": (2,)}, (1, 2))
IGNORED = LabelSpace.parse({"background": 0, "liver": 1, "ignore": 2})


def objective(space, *, levels=1, component=None):
    return Objective(component, space=space, batch_dice=False, levels=levels)


def labels():
    """Left half liver, of it one corner tumour, the last plane outside of the volume."""
    found = torch.zeros(1, 1, 4, 4, 4, dtype=torch.int16)
    found[..., :2] = 1
    found[:, :, :2, :2, :2] = 2
    found[:, :, 3] = -1
    return found


def logits_of(marks, space, *, sure=12.0):
    if space.is_regions:
        inside = [torch.isin(marks, torch.tensor(values, dtype=marks.dtype)) for values in space.values]
        return torch.cat(inside, 1).float() * 2 * sure - sure
    return torch.cat([marks.clamp_min(0) == head for head in range(space.heads)], 1).float() * sure


@pytest.mark.parametrize("space", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_right_is_better_than_wrong_and_counted_so(space):
    made, marks = objective(space), labels()
    right, wrong = logits_of(marks, space), logits_of(marks.flip(-1), space)
    assert made.loss(right, marks) < made.loss(wrong, marks)
    counts = made.counts(right, marks)
    assert counts.tolist() == [[int(found), 0, 0] for found in counts[:, 0]]
    expected = [16, 8] if space is CLASSES else [24, 8]
    assert counts[:, 0].tolist() == expected
    assert made.counts(wrong, marks)[:, 0].sum() == 0


def test_ignored_voxels_count_nowhere():
    marks = labels().clamp(0, 1)
    marks[:, :, 0] = 2
    right = logits_of(marks.clamp(0, 1), IGNORED)
    wild = right.clone()
    wild[:, :, 0] = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    made = objective(IGNORED)
    assert torch.equal(made.counts(wild, marks), made.counts(right, marks))
    assert made.loss(wild, marks) == pytest.approx(float(made.loss(right, marks)), abs=1e-6)


def test_levels_are_weighted_and_the_finest_is_counted():
    made, marks = objective(CLASSES, levels=2), labels()
    fine = logits_of(marks, CLASSES)
    coarse = torch.nn.functional.interpolate(fine, scale_factor=0.5)
    assert torch.equal(made.counts((fine, coarse), marks), objective(CLASSES).counts(fine, marks))
    assert made.loss((fine, coarse), marks).isfinite()
    # In validation some networks give the finest level alone.
    assert made.loss(fine, marks).isfinite()
    assert objective(CLASSES).loss((fine, coarse), marks) == objective(CLASSES).loss(fine, marks)


def test_a_named_loss_is_used():
    marks = labels()
    right = logits_of(marks, CLASSES, sure=1.0)
    heavy = objective(CLASSES, component=Component(name="dice_ce", options={"weight_ce": 5.0}))
    assert heavy.loss(right, marks) > objective(CLASSES).loss(right, marks)
