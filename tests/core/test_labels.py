"""Classes, regions and the ignore label of nnU-Net v2's `labels` block."""

import pytest

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace


def test_classes_have_a_background_head():
    space = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
    assert (space.heads, space.is_regions, space.head_values) == (3, False, (0, 1, 2))
    assert space.head_names == ("background", "liver", "tumour")


def test_regions_have_one_head_each_and_write_their_class():
    space = LabelSpace.parse({"background": 0, "whole": (1, 2, 3), "core": (2, 3), "ignore": 4}, (1, 2))
    assert (space.heads, space.is_regions, space.ignore) == (2, True, 4)
    assert (space.head_values, space.foreground_values) == ((1, 2), (1, 2, 3))


@pytest.mark.parametrize(
    ("labels", "order", "message"),
    [
        ({"liver": 1}, None, "'background' must be 0"),
        ({"background": 0}, None, "no foreground label"),
        ({"background": 0, "whole": (1, 2)}, None, "one label per region"),
        ({"background": 0, "a": 1, "b": 1}, None, "share the value 1"),
        ({"background": 0, "a": 1, "ignore": 3}, None, "the largest label plus one, 2"),
    ],
)
def test_contradictions_are_refused(labels, order, message):
    with pytest.raises(SpecError, match=message):
        LabelSpace.parse(labels, order)
