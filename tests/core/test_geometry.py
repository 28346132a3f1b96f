"""The grid's own rules."""

import numpy as np
import pytest

from autoseg.core.errors import GeometryError
from autoseg.core.geometry import Geometry


def test_affine_maps_voxels_to_world():
    geometry = Geometry((4, 5, 6), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0))
    np.testing.assert_allclose(geometry.affine() @ [1, 1, 1, 1], [13, 22, 31, 1])
    assert geometry.voxel_volume_mm3 == 6.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 2, 2), (1.0, 1.0, 1.0)), "axis without voxels"),
        (((2, 2, 2), (0.0, 1.0, 1.0)), "not positive"),
        (((2, 2, 2), (1.0, 1.0, 1.0), (float("nan"), 0.0, 0.0)), "not finite"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(GeometryError, match=message):
        Geometry(*arguments)


def test_differences_name_the_fields_beyond_tolerance():
    geometry = Geometry((2, 2, 2), (1.0, 1.0, 1.0))
    assert geometry.differences(Geometry((2, 2, 2), (1.0005, 1.0, 1.0))) == ()
    other = Geometry((2, 2, 3), (1.01, 1.0, 1.0), (0.0, 0.1, 0.0))
    assert geometry.differences(other) == ("shape", "spacing_mm", "origin_mm")
