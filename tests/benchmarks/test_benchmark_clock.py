"""What both measuring scripts share."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks._clock import Clock, sample


def test_parts_of_a_step_add_up_to_it_wherever_augmentation_happens() -> None:
    before, within = Clock(), Clock()
    before.seconds = {"fetch": 5.0, "augment in fetch": 3.0, "step": 10.0, "update": 1.0}
    within.seconds = {"fetch": 2.0, "augment in step": 3.0, "step": 13.0, "update": 1.0}
    wanted = {"load": 1.0, "augment": 1.5, "network": 4.5, "update": 0.5}
    assert before.shares(2) == within.shares(2) == wanted


def test_calls_are_counted_by_name_and_give_what_they_gave() -> None:
    clock = Clock()
    slow = clock.timed(lambda value, *, plus: time.sleep(0.01) or value + plus, "update")
    assert [slow(1, plus=2), slow(3, plus=4)] == [3, 7]
    with clock.part("fetch"):
        slow(0, plus=0)
    assert clock.seconds["update"] >= 0.03
    assert 0.01 <= clock.seconds["fetch"] <= clock.seconds["update"]


def test_the_sample_holds_all_labels_where_the_image_is_brighter() -> None:
    image, labels = sample((20, 24, 28))
    assert image.shape == labels.shape == (1, 20, 24, 28)
    assert (image.dtype, labels.dtype) == (np.float32, np.int16)
    means = [float(image[labels == value].mean()) for value in (0, 1, 2)]
    assert means == pytest.approx([0, 1, 2], abs=0.1)
    assert np.array_equal(sample((4, 4, 4), seed=1)[0], sample((4, 4, 4), seed=1)[0])
