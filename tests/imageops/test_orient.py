"""Axis swaps and reversals keep every voxel where it lies in the patient."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.geometry import Geometry, Matrix3
from autoseg.imageops.orient import canonical_orientation, orient, orient_geometry, orientation_code, undo_orient

ALL_48 = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)
]


def _geometry(direction: npt.NDArray[np.float64]) -> Geometry:
    rows: Matrix3 = tuple(tuple(float(value) for value in row) for row in direction)  # type: ignore[assignment]
    return Geometry((4, 3, 5), (3.0, 0.7, 1.1), (-10.0, 4.0, 8.5), rows)


def _signed_permutation(order: tuple[int, ...], signs: tuple[float, ...]) -> npt.NDArray[np.float64]:
    direction = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        direction[world, axis] = sign
    return direction


def _rotation(angles_radians: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_radians):
        first, second = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _world(geometry: Geometry, array: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """World position of the voxel that holds each number, by number."""
    where = np.empty((array.size, 4))
    where[array.ravel()] = np.c_[np.argwhere(np.ones(array.shape)), np.ones(array.size)]
    return np.asarray(where @ geometry.affine().T)


def _check(geometry: Geometry) -> tuple[Geometry, npt.NDArray[np.int64]]:
    array = np.arange(np.prod(geometry.shape)).reshape(geometry.shape)
    axes, flips = canonical_orientation(geometry)
    turned, turned_geometry = orient(array, axes, flips), orient_geometry(geometry, axes, flips)
    assert turned.shape == turned_geometry.shape
    np.testing.assert_allclose(_world(turned_geometry, turned), _world(geometry, array), atol=1e-9)
    np.testing.assert_array_equal(undo_orient(turned, axes, flips), array)
    channels = np.stack([array, -array])
    np.testing.assert_array_equal(undo_orient(orient(channels, axes, flips), axes, flips), channels)
    return turned_geometry, turned


@pytest.mark.parametrize(("order", "signs"), ALL_48)
def test_every_axis_aligned_orientation_becomes_canonical(order: tuple[int, ...], signs: tuple[float, ...]) -> None:
    turned, _ = _check(_geometry(_signed_permutation(order, signs)))
    np.testing.assert_array_equal(turned.direction, np.eye(3))
    assert orientation_code(turned) == "SPL"


@settings(max_examples=60)
@given(choice=st.sampled_from(ALL_48), angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_oblique_volumes_keep_their_place_and_stay_closest_to_the_axes(
    choice: tuple[tuple[int, ...], tuple[float, ...]], angles: tuple[float, float, float]
) -> None:
    turned, _ = _check(_geometry(_rotation(angles) @ _signed_permutation(*choice)))
    assert canonical_orientation(turned) == ((0, 1, 2), (False, False, False))


def test_code_names_the_direction_in_which_each_axis_grows() -> None:
    # First axis grows to the right, second to inferior, third to posterior.
    direction = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    assert orientation_code(_geometry(direction)) == "RIP"
