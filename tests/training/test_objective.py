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


class TestPartialLabels:
    """Sample 0 annotates the liver alone, sample 1 everything."""

    PARTLY = (("liver",), None)

    @pytest.fixture(params=[CLASSES, REGIONS], ids=["classes", "regions"])
    def space(self, request):
        return request.param

    @staticmethod
    def batch(space):
        marks = torch.cat([labels().clamp_max(1), labels()])
        logits = torch.randn(2, space.heads, 4, 4, 4, generator=torch.Generator().manual_seed(3))
        return logits, marks

    def test_all_annotated_is_the_same_number(self, space):
        made, (logits, marks) = objective(space), self.batch(space)
        assert torch.equal(made.loss(logits, marks, (None, None)), made.loss(logits, marks))
        assert torch.equal(made.loss(logits, marks, (space.names,) * 2), made.loss(logits, marks))
        assert torch.equal(made.counts(logits, marks, (None, None)), made.counts(logits, marks))

    def test_a_sample_is_judged_as_in_a_data_set_without_the_other_labels(self, space):
        made, (logits, marks) = objective(space), self.batch(space)
        if space.is_regions:
            alone = LabelSpace.parse({"background": 0, "liver": (1, 2)}, (1,))
            own = logits[:1, :1]
        else:
            alone = LabelSpace.parse({"background": 0, "liver": 1})
            own = torch.stack([torch.log(logits[:1, 0].exp() + logits[:1, 2].exp()), logits[:1, 1]], 1)
        expected = (objective(alone).loss(own, marks[:1]) + made.loss(logits[1:], marks[1:])) / 2
        torch.testing.assert_close(made.loss(logits, marks, self.PARTLY), expected)
        counts = made.counts(logits[1:], marks[1:])
        counts[0] += objective(alone).counts(own, marks[:1])[0]
        assert torch.equal(made.counts(logits, marks, self.PARTLY), counts)

    def test_what_is_not_annotated_is_not_taught(self, space):
        made, (logits, marks) = objective(space), self.batch(space)
        tumour = space.heads - 1
        changed = logits.clone()
        if space.is_regions:
            changed[0, tumour] += 5
        else:  # background or tumour, all the same
            changed[0, [0, tumour]] = changed[0, [tumour, 0]]
        torch.testing.assert_close(made.loss(changed, marks, self.PARTLY), made.loss(logits, marks, self.PARTLY))
        assert made.loss(changed, marks) != made.loss(logits, marks)

    def test_every_level_is_judged_so(self, space):
        made, (fine, marks) = objective(space, levels=3), self.batch(space)
        coarse = torch.randn(2, space.heads, 2, 2, 2, generator=torch.Generator().manual_seed(4))
        unused = torch.zeros(2, space.heads, 1, 1, 1)
        levels = [level.requires_grad_() for level in (fine, coarse, unused)]
        loss = made.loss(levels, marks, self.PARTLY)
        loss.backward()
        tumour = space.heads - 1
        assert loss.isfinite()
        assert coarse.grad[1, tumour].any()
        assert coarse.grad[0, tumour].any() != space.is_regions
        single = objective(space)
        weighted = [
            weight * single.loss(level, marks[..., start::step, start::step, start::step], self.PARTLY)
            for weight, level, start, step in ((2 / 3, fine, 0, 1), (1 / 3, coarse, 1, 2))
        ]
        torch.testing.assert_close(loss, sum(weighted))

    def test_ignored_voxels_stay_ignored(self):
        space = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2, "ignore": 3})
        logits, marks = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(5)), labels().clamp_max(1)
        marks[:, :, 0] = 3
        changed = logits.clone()
        changed[:, :, 0] += torch.arange(3)[None, :, None, None]
        made = objective(space)
        assert made.loss(changed, marks, (("liver",),)) == made.loss(logits, marks, (("liver",),))
