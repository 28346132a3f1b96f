"""A training target mirrored left to right exchanges the labels of both sides."""

from __future__ import annotations

import pytest
import torch

from autoseg.augment import augmentations
from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._pipeline import Pipeline
from autoseg.specs.document import Component

LEFT, RIGHT, LIVER, IGNORE, OUTSIDE = 1, 2, 3, 4, -1
SIDES = PatchGeometry((6, 6, 8), swapped_axis=2, swapped_labels=((LEFT, RIGHT),))
ALWAYS = {"p": 1.0}


def body() -> torch.Tensor:
    """(6, 6, 8) with the left kidney in the first half of the last axis, the larger right one in the other."""
    labels = torch.zeros(6, 6, 8, dtype=torch.int16)
    labels[1:3, 2:4, 1:3] = LEFT
    labels[1:4, 2:4, 5:7] = RIGHT
    labels[4:6, 0:3, 5:8] = LIVER
    labels[0, 0, 0], labels[5, 5, 7] = IGNORE, OUTSIDE
    return labels


def mirrored(labels: torch.Tensor, axes: tuple[int, ...], geometry: PatchGeometry = SIDES) -> torch.Tensor:
    transform = augmentations.build("mirror", ALWAYS, geometry=geometry)
    return transform.apply_labels(labels[None].clone(), [axes])[0]


def test_left_stays_on_the_left() -> None:
    labels = body()[None]
    found = mirrored(labels, (2,))
    flipped = labels.flip(3)
    assert torch.equal(found == LEFT, flipped == RIGHT)
    assert torch.equal(found == RIGHT, flipped == LEFT)
    assert (found[..., :4] == LEFT).any()
    assert not (found[..., 4:] == LEFT).any()
    for other in (0, LIVER, IGNORE, OUTSIDE):
        assert torch.equal(found == other, flipped == other)


@pytest.mark.parametrize("axes", [(2,), (0, 2), (1,), (0, 1, 2)])
def test_mirroring_twice_changes_nothing(axes: tuple[int, ...]) -> None:
    labels = body()[None]
    assert torch.equal(mirrored(mirrored(labels, axes), axes), labels)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_other_axes_exchange_nothing(axes: tuple[int, ...]) -> None:
    labels = body()[None]
    assert torch.equal(mirrored(labels, axes), labels.flip([axis + 1 for axis in axes]))


def test_the_previous_stage_of_a_cascade_is_exchanged_too() -> None:
    geometry = PatchGeometry(
        (6, 6, 8),
        mirror_axes=(2,),
        previous_values=(LEFT, RIGHT, LIVER),
        swapped_axis=2,
        swapped_labels=((LEFT, RIGHT),),
    )
    maps = torch.stack([body(), body().roll(1, 0)])[None]
    pipeline = Pipeline((Component(name="mirror", options=ALWAYS),), geometry)
    image, labels = pipeline(torch.zeros(1, 1, 6, 6, 8), maps, seeds=[0])
    flipped = maps.flip(4)
    assert torch.equal(labels[:, 0] == LEFT, flipped[:, 0] == RIGHT)
    for channel, value in ((1, RIGHT), (2, LEFT), (3, LIVER)):
        assert torch.equal(image[:, channel] > 0, flipped[:, 1] == value)


def test_without_pairs_labels_keep_their_names() -> None:
    labels = body()[None]
    assert torch.equal(mirrored(labels, (2,), PatchGeometry((6, 6, 8))), labels.flip(3))
