"""Resample volumes by one small matrix per axis; equal to scikit-image's spline zoom and several times as fast."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from autoseg.core.geometry import Shape3, Vector3
from autoseg.imageops._bands import apply_along
from autoseg.imageops._label_votes import interpolate_labels
from autoseg.specs.plan import Resampling

Floats = npt.NDArray[np.float32]
Align = Literal["edges", "corners"]


@functools.lru_cache(maxsize=256)
def axis_matrix(size_in: int, size_out: int, order: int, align: Align = "edges") -> npt.NDArray[np.float64]:
    """Matrix (size_out, size_in) that zooms one axis by a spline of `order`, edges repeated.

    Spline zoom is linear and separable, so zooming the identity gives all there is to know (scipy's
    `zoom(grid_mode=True, mode="nearest")`, which `skimage.transform.resize(mode="edge")` calls; where centres of
    the corner voxels are aligned, `zoom(grid_mode=False)`, scipy's default).
    """
    if size_in == size_out or size_in == 1:
        matrix = np.eye(size_in)[np.zeros(size_out, np.intp) if size_in == 1 else slice(None)]
    else:
        # Imported here because it takes 0.2 s, which stages that need no resampling can save.
        from scipy.ndimage import zoom

        by_edges = align == "edges"
        matrix = zoom(np.eye(size_in), (size_out / size_in, 1), order=order, mode="nearest", grid_mode=by_edges)
    matrix.setflags(write=False)
    return matrix


@functools.lru_cache(maxsize=256)
def nearest_along_separate_axis(size_in: int, size_out: int) -> npt.NDArray[np.intp]:
    """Input slice for each output slice of the coarsest axis: the nearest centre, the later one at a tie."""
    centres = size_in / size_out * (np.arange(size_out) + 0.5) - 0.5
    nearest: npt.NDArray[np.intp] = np.clip(np.floor(centres + 0.5), 0, size_in - 1).astype(np.intp)
    return nearest


def resampled_shape(shape: Shape3, spacing_in_mm: Vector3, spacing_out_mm: Vector3) -> Shape3:
    """Voxels that cover the same extent at another spacing, rounded half to even, at least 1."""
    sizes = [
        max(1, round(before / after * size))
        for size, before, after in zip(shape, spacing_in_mm, spacing_out_mm, strict=True)
    ]
    return (sizes[0], sizes[1], sizes[2])


def separate_axis(spacing_in_mm: Sequence[float], spacing_out_mm: Sequence[float], ratio: float) -> int | None:
    """Axis to resample by nearest neighbour apart from the others, or None.

    The coarsest axis of the input where its spacing exceeds `ratio` times the finest, else the same test on the
    output (nnU-Net's rule, Isensee et al. 2021); None where two or more axes tie as coarsest.
    """
    for spacing_mm in (spacing_in_mm, spacing_out_mm):
        if max(spacing_mm) / min(spacing_mm) > ratio:
            coarsest = [axis for axis, value in enumerate(spacing_mm) if value == max(spacing_mm)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resample_image(
    image: Floats, shape_out: Shape3, *, spacing_in_mm: Vector3, spacing_out_mm: Vector3, rule: Resampling
) -> Floats:
    """Spline-interpolate every channel to `shape_out`, clipped to the channel's own range of values.

    Where one axis is separate, each of its slices is interpolated and clipped on its own, then the nearest slice is
    taken. An axis whose size does not change is left alone.

    Args:
        image: (C, Z, Y, X).
        shape_out: (z, y, x).
        spacing_in_mm: Decides, with `spacing_out_mm`, whether an axis is separate.
        spacing_out_mm: See `spacing_in_mm`.
        rule: Spline order and the separate-axis ratio.

    Returns:
        (C, *shape_out); the input itself where no size changes.
    """
    if image.shape[1:] == shape_out:
        return image
    apart = separate_axis(spacing_in_mm, spacing_out_mm, rule.separate_z_ratio)
    result = np.empty((image.shape[0], *shape_out), np.float32)
    for channel in range(image.shape[0]):
        result[channel] = _resample_channel(image[channel], shape_out, apart=apart, rule=rule)
    return result


def _resample_channel(volume: Floats, shape_out: Shape3, *, apart: int | None, rule: Resampling) -> Floats:
    within = tuple(axis for axis in range(3) if axis != apart)
    if apart is not None and volume.shape[apart] > shape_out[apart]:
        # Fewer slices come out than go in: interpolate only those that are taken.
        volume = volume.take(nearest_along_separate_axis(volume.shape[apart], shape_out[apart]), axis=apart)
    lowest, highest = volume.min(axis=within, keepdims=True), volume.max(axis=within, keepdims=True)
    changed = [axis for axis in within if volume.shape[axis] != shape_out[axis]]
    # Shrinking axes first, growing ones last: the volumes in between, and the work, stay smallest.
    for axis in sorted(changed, key=lambda axis: shape_out[axis] / volume.shape[axis]):
        matrix = axis_matrix(volume.shape[axis], shape_out[axis], rule.image_order, rule.align)
        volume = apply_along(volume, matrix, axis)
    if changed:
        np.clip(volume, lowest, highest, out=volume)
    if apart is not None and volume.shape[apart] != shape_out[apart]:
        volume = volume.take(nearest_along_separate_axis(volume.shape[apart], shape_out[apart]), axis=apart)
    return volume


def resample_labels(
    labels: npt.NDArray[np.signedinteger],
    shape_out: Shape3,
    *,
    spacing_in_mm: Vector3,
    spacing_out_mm: Vector3,
    rule: Resampling,
) -> npt.NDArray[np.signedinteger]:
    """Interpolate every label's indicator linearly and take the largest, in one pass for all labels.

    A tie goes to the nearest voxel's label where it is among the tied, else to the smallest.

    Args:
        labels: (Z, Y, X); any integer values.
        shape_out: (z, y, x).
        spacing_in_mm: As in `resample_image`.
        spacing_out_mm: As in `resample_image`.
        rule: `label_order` 0 (nearest) or 1.

    Returns:
        (*shape_out), same type; the input itself where no size changes.
    """
    if labels.shape == shape_out:
        return labels
    apart = separate_axis(spacing_in_mm, spacing_out_mm, rule.separate_z_ratio)
    if apart is not None:
        labels = labels.take(nearest_along_separate_axis(labels.shape[apart], shape_out[apart]), axis=apart)
    sizes = list(zip(labels.shape, shape_out, strict=True))
    nearest = [axis_matrix(before, after, 0, rule.align).argmax(axis=1) for before, after in sizes]
    if rule.label_order == 0:
        return labels[np.ix_(*nearest)]
    matrices = [axis_matrix(before, after, 1, rule.align) for before, after in sizes]
    return interpolate_labels(labels, matrices, nearest)
