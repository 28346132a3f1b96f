"""Rotation and scaling of a patch: its matrix, where each output voxel comes from, and how much source that takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.augment._resample import interpolate_axis, zero_padded_taps

Matrix = tuple[tuple[float, ...], ...]
Box = tuple[tuple[int, int], ...]

TIE_BONUS = 1e-6
"""Weight of the nearest voxel's label where two labels are equally near."""


def rotation(angles: Sequence[float]) -> npt.NDArray[np.float64]:
    """Rotation matrix for axis order (z, y, x): three angles, about z first and x last, or one angle in 2D."""
    cosine, sine = np.cos(angles), np.sin(angles)
    if len(angles) == 1:
        return np.array([[cosine[0], -sine[0]], [sine[0], cosine[0]]])
    about_first = np.array([[1, 0, 0], [0, cosine[0], -sine[0]], [0, sine[0], cosine[0]]])
    about_second = np.array([[cosine[1], 0, sine[1]], [0, 1, 0], [-sine[1], 0, cosine[1]]])
    about_third = np.array([[cosine[2], -sine[2], 0], [sine[2], cosine[2], 0], [0, 0, 1]])
    return np.asarray(about_third @ about_second @ about_first)


def enlarged_size(size_voxels: Sequence[int], *, angle: float, scale: float) -> tuple[int, ...]:
    """Source size for rotations up to `angle` (radians) about one axis at a time and the smallest `scale`.

    nnU-Net v2's rule (`get_patch_size`): the patch's diagonal corner, as a row vector, is turned about each axis in
    turn and the largest coordinates are kept. One corner does not bound the turned patch, so that corners may be
    padding; the rule is kept because it fixes what the network sees of the surroundings.
    """
    corner = np.array(size_voxels, dtype=np.float64)
    angle = min(angle, math.pi / 2)
    turns = [(angle,)] if len(corner) == 2 else [tuple(angle * (i == axis) for i in range(3)) for axis in range(3)]
    reached = np.max([corner, *(np.abs(corner @ rotation(turn)) for turn in turns)], axis=0)
    return tuple(int(edge) for edge in reached / scale)


def source_coordinates(
    matrix: Matrix, size: Sequence[int], source: Sequence[int], device: torch.device
) -> list[Tensor]:
    """Per axis the source voxel coordinate, (*size), of every output voxel; both grids share their centre."""
    rank = len(size)
    steps = [torch.arange(edge, device=device, dtype=torch.float32) - (edge - 1) / 2 for edge in size]
    coordinates = []
    for row, edge in zip(matrix, source, strict=True):
        parts = [
            (step * factor).view([-1 if i == axis else 1 for i in range(rank)])
            for axis, (step, factor) in enumerate(zip(steps, row, strict=True))
        ]
        parts[0] += (edge - 1) / 2
        # Small ones first: one full-size addition per axis. torch's affine_grid takes ten times longer on a CPU.
        coordinates.append(sum(parts[1:-1], parts[0]) + parts[-1] if rank > 1 else parts[0])
    return coordinates


def source_box(matrix: Matrix, size: Sequence[int], source: Sequence[int]) -> Box:
    """Smallest part of the source, as (start, stop) per axis, that interpolation can touch."""
    box = []
    for row, edge in zip(matrix, source, strict=True):
        half = sum(abs(factor) * (length - 1) / 2 for factor, length in zip(row, size, strict=True))
        start, stop = math.floor((edge - 1) / 2 - half) - 1, math.ceil((edge - 1) / 2 + half) + 2
        box.append((min(max(start, 0), edge - 1), max(min(stop, edge), 1)))
    return tuple(box)


def sample_image(image: Tensor, matrix: Matrix, size: Sequence[int], *, coordinates: list[Tensor] | None) -> Tensor:
    """Linear interpolation of (K, *source), zeros outside.

    Without `coordinates` the matrix must be diagonal: then axis by axis, equal to the grid but five times cheaper.

    Returns:
        (K, *size) in float32 or better.
    """
    image = image if image.dtype == torch.float64 else image.float()
    source = image.shape[1:]
    if coordinates is None:
        for axis, edge in enumerate(size):
            step = torch.arange(edge, device=image.device, dtype=image.dtype) - (edge - 1) / 2
            positions = step * matrix[axis][axis] + (source[axis] - 1) / 2
            image = interpolate_axis(image, axis + 1, zero_padded_taps(positions, source[axis]))
        return image
    grid = torch.empty((*size, len(size)), device=image.device, dtype=image.dtype)
    for axis, edge in enumerate(source):
        torch.add(
            torch.tensor(1 / edge - 1, device=image.device),
            coordinates[axis],
            alpha=2 / edge,
            out=grid[..., len(size) - 1 - axis],
        )
    return F.grid_sample(image[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def sample_labels(labels: Tensor, coordinates: list[Tensor], *, outside: int) -> Tensor:
    """The label with the largest interpolation weight at each point, ties to the nearest voxel's; `outside` around.

    Equal to interpolating every label's indicator and taking the argmax (nnU-Net v2), at a cost that does not depend on
    the number of labels: a cell whose corners agree needs one look-up, and only the others are weighed.

    Args:
        labels: (K, *source) of a signed integer type.
        coordinates: Per axis (*size), in voxels of the source.
        outside: Label of what lies beyond the source.

    Returns:
        (K, *size).
    """
    rank = len(coordinates)
    padded = F.pad(labels, (1, 1) * rank, value=outside)
    strides = _strides(padded.shape[1:])
    mixed = torch.iinfo(labels.dtype).min
    cells = padded.masked_fill(_cells_that_differ(padded), mixed).flatten(1)
    # Position in the padded array, so never negative and truncation is floor; far points end in the padding.
    places = [(c + 1).clamp_(0, edge - 1.001) for c, edge in zip(coordinates, padded.shape[1:], strict=True)]
    index = sum(place.to(torch.int32) * stride for place, stride in zip(places, strides, strict=True))
    index = torch.as_tensor(index).flatten()
    result = cells.index_select(1, index)
    for row, source in zip(result, padded.flatten(1), strict=True):
        open_points = torch.nonzero(row == mixed).flatten()
        fractions = [place.flatten()[open_points].frac() for place in places]
        row[open_points] = _weigh(source, index[open_points].long(), fractions, strides)
    return result.view(-1, *coordinates[0].shape)


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _cells_that_differ(labels: Tensor) -> Tensor:
    """(K, *S) true where the 2^n block that starts at a voxel holds two labels; false in each axis's last layer."""
    differ = torch.zeros_like(labels)
    for dim in range(labels.ndim - 1, 0, -1):
        size = labels.shape[dim] - 1
        # A block is uniform when both of its halves along this axis are and one voxel equals its neighbour.
        differ.narrow(dim, 0, size).bitwise_or_(differ.narrow(dim, 1, size).clone())
        differ.narrow(dim, 0, size).bitwise_or_(labels.narrow(dim, 1, size) ^ labels.narrow(dim, 0, size))
    return differ != 0


def _weigh(source: Tensor, index: Tensor, fractions: list[Tensor], strides: list[int]) -> Tensor:
    """Winning label (N,) among the corners of the cells at `index` (N,) of the flat `source`."""
    corners, weights = [index], [torch.ones_like(fractions[0])]
    for fraction, stride in zip(fractions, strides, strict=True):
        corners = [*corners, *(corner + stride for corner in corners)]
        weights = [*(w * (1 - fraction) for w in weights), *(w * fraction for w in weights)]
    labels = torch.stack([source[corner] for corner in corners])  # (2^n, N)
    weight = torch.stack(weights)
    weight.scatter_add_(0, weight.argmax(0, keepdim=True), torch.full_like(weight[:1], TIE_BONUS))
    scores = torch.stack([((labels == label) * weight).sum(0) for label in labels])
    return labels.gather(0, scores.argmax(0, keepdim=True))[0]


def crop_centre(batch: Tensor, size: Sequence[int]) -> Tensor:
    """View of the central part of (..., *S)."""
    for axis, edge in enumerate(reversed(size), start=1):
        batch = batch.narrow(-axis, batch.shape[-axis] // 2 - edge // 2, edge)
    return batch
