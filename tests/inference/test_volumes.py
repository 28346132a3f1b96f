"""Whole held-out cases, scored during training."""

import numpy as np
import pytest
import torch
from cases import MemoryCase
from tiny import tiny_run
from torch import nn

from autoseg.inference.volumes import VolumeValidation

CPU = torch.device("cpu")


class Threshold(nn.Module):
    """Calls everything above `level` the ball."""

    def __init__(self, level, *, heads=2):
        super().__init__()
        self.level, self.heads = level, heads

    def forward(self, image):
        ball = image[:, :1] - self.level
        return torch.cat([torch.zeros_like(ball)] * (self.heads - 1) + [ball], dim=1)


def clean_case(name, **change):
    """The ball without noise, and a strip outside of the image's non-zero part."""
    case = MemoryCase(name)
    case.image = 3.0 * case.labels[None].astype(np.float32)
    case.labels[0] = -1
    for key, value in change.items():
        setattr(case, key, value)
    return case


def test_a_perfect_network_scores_one_and_a_blind_one_zero():
    validation = VolumeValidation(tiny_run(), [clean_case("a"), clean_case("b")], device=CPU)
    assert validation(Threshold(1.5)) == {"ball": 1.0}
    assert validation(Threshold(9.0)) == {"ball": 0.0}


def test_planar_networks_see_every_slice():
    validation = VolumeValidation(tiny_run(dimensions=2), [clean_case("a")], device=CPU)
    assert validation(Threshold(1.5)) == {"ball": 1.0}


def test_half_of_a_ball_has_the_dice_of_its_voxels():
    case = clean_case("a")
    case.image[:, :, :, : case.shape[2] // 2] = 0
    kept = int((case.image[0] > 1).sum())
    expected = 2 * kept / (kept + int((case.labels == 1).sum()))
    assert VolumeValidation(tiny_run(), [case], device=CPU)(Threshold(1.5))["ball"] == pytest.approx(expected)


def test_regions_are_decided_one_by_one():
    run = tiny_run().model_copy(
        update={"labels": {"background": 0, "whole": (1, 2), "core": (2,)}, "regions_class_order": (1, 2)}
    )
    # Zero is no region: the first head says nothing, the second says ball.
    assert VolumeValidation(run, [clean_case("a")], device=CPU)(Threshold(1.5)) == {
        "whole": pytest.approx(1.0),
        "core": 0.0,
    }


def test_what_is_not_annotated_is_not_scored():
    assert VolumeValidation(tiny_run(), [clean_case("a", annotated=())], device=CPU)(Threshold(1.5)) == {}
    unlabelled = clean_case("a", read_patch=lambda start, stop: (np.zeros((1, 12, 14, 16), np.float32), None))
    assert VolumeValidation(tiny_run(), [unlabelled], device=CPU)(Threshold(1.5)) == {}


class SecondChannel(Threshold):
    def forward(self, image):
        return super().forward(image[:, 1:])


@pytest.mark.parametrize(("found", "dice"), [(1, 1.0), (0, 0.0)])
def test_cascades_see_the_previous_labels(found, dice):
    run = tiny_run()
    later = run.configuration.model_copy(update={"previous_stage": "3d_lowres"})
    case = clean_case("a")
    both = np.stack([case.labels, found * (case.labels == 1)])
    case.image[:] = 0
    case.read_patch = lambda start, stop: (case.image, both)
    validation = VolumeValidation(run.model_copy(update={"configuration": later}), [case], device=CPU)
    assert validation(SecondChannel(0.5)) == {"ball": dice}
