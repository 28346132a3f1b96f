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
    matrix: Matrix, size: Sequence[int], centre: Sequence[float], device: torch.device
) -> list[Tensor]:
    """Per axis the source voxel coordinate of every output voxel, (*size) or broadcastable to it.

    Args:
        matrix: From output to source offsets.
        size: Output size in voxels.
        centre: Source coordinate that the output's centre comes from.
        device: Of the result.
    """
    steps = []
    for axis, edge in enumerate(size):
        shape = [-1 if i == axis else 1 for i in range(len(size))]
        steps.append((torch.arange(edge, device=device, dtype=torch.float32) - (edge - 1) / 2).view(shape))
    coordinates = []
    for row, middle in zip(matrix, centre, strict=True):
        total = torch.full([1] * len(size), middle, device=device)
        # The broadcast grows step by step: one full-size addition per axis, where torch's affine_grid takes ten
        # times longer on a CPU; a scaling without rotation stays one-dimensional.
        for step, factor in zip(steps, row, strict=True):
            total = total + step * factor if factor else total
        coordinates.append(total)
    return coordinates


def source_box(matrix: Matrix, size: Sequence[int], source: Sequence[int]) -> Box:
    """Smallest part of the source, as (start, stop) per axis, that interpolation can touch."""
    box = []
    for row, edge in zip(matrix, source, strict=True):
        half = sum(abs(factor) * (length - 1) / 2 for factor, length in zip(row, size, strict=True))
        start, stop = math.floor((edge - 1) / 2 - half) - 1, math.ceil((edge - 1) / 2 + half) + 2
        box.append((min(max(start, 0), edge - 1), max(min(stop, edge), 1)))
    return tuple(box)


def sample_image(image: Tensor, coordinates: list[Tensor], size: Sequence[int]) -> Tensor:
    """Linear interpolation of (K, *source), zeros outside; per axis where the coordinates are, at a fifth of the cost.

    Returns:
        (K, *size) in float32 or better.
    """
    image = image if image.dtype == torch.float64 else image.float()
    source = image.shape[1:]
    if all(place.numel() == edge for place, edge in zip(coordinates, size, strict=True)):
        for dim, place in enumerate(coordinates, start=1):
            image = interpolate_axis(image, dim, zero_padded_taps(place.flatten(), image.shape[dim]))
        return image
    grid = torch.empty((*size, len(size)), device=image.device, dtype=image.dtype)
    for axis, (place, edge) in enumerate(zip(coordinates, source, strict=True)):
        # grid_sample counts from -1 to 1 over the outer voxel edges, last axis first.
        offset = torch.full((), 1 / edge - 1, device=image.device)  # filled there: `torch.tensor` would wait for a copy
        torch.add(offset, place, alpha=2 / edge, out=grid[..., len(size) - 1 - axis])
    return F.grid_sample(image[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def sample_labels(labels: Tensor, coordinates: list[Tensor], size: Sequence[int], *, outside: int) -> Tensor:
    """The label with the largest interpolation weight at each point, ties to the nearest voxel's; `outside` around.

    Equal to interpolating every label's indicator and taking the argmax (nnU-Net v2), at a cost that does not depend on
    the number of labels: a cell whose corners agree needs one look-up, and only the others are weighed.

    Args:
        labels: (K, *source) of a signed integer type.
        coordinates: Per axis, broadcastable to (*size), in voxels of the source; overwritten.
        size: Output size in voxels.
        outside: Label of what lies beyond the source.

    Returns:
        (K, *size).
    """
    padded = F.pad(labels, (1, 1) * len(coordinates), value=outside)
    strides = [math.prod(padded.shape[axis + 2 :]) for axis in range(len(coordinates))]
    index = torch.zeros(tuple(size), dtype=torch.int32, device=labels.device)
    for place, edge, stride in zip(coordinates, padded.shape[1:], strides, strict=True):
        # Position in the padded array: never negative, so that truncation is floor; far points end in the padding.
        place.add_(1).clamp_(0, edge - 1.001)
        index.add_(place.to(torch.int32), alpha=stride)
    index = index.flatten()
    mixed = torch.iinfo(labels.dtype).min
    result = torch.empty((len(labels), *size), dtype=labels.dtype, device=labels.device)
    for row, source in zip(result.flatten(1), padded.flatten(1), strict=True):
        torch.index_select(_mark_mixed_cells(source, strides, mixed), 0, index, out=row)
        open_points = torch.nonzero(row == mixed).flatten()
        fractions = [place.expand(*size).reshape(-1)[open_points].frac() for place in coordinates]
        row[open_points] = _weigh(source, index[open_points].long(), fractions, strides)
    return result


def _mark_mixed_cells(source: Tensor, strides: Sequence[int], mixed: int) -> Tensor:
    """Flat labels by first corner of each 2^n cell, `mixed` where the cell holds two labels.

    On the flat array every step is one contiguous pass. Cells that would reach over the end of a row are meaningless;
    no point lies in them. The result ends with the last complete cell.
    """
    inner, *outer = reversed(strides)
    differ = source[:-inner] != source[inner:]
    for stride in outer:
        # A cell is uniform when both of its halves along this axis are and one voxel equals its neighbour.
        differ = differ[:-stride] | differ[stride:]
        differ |= source[: len(differ)] != source[stride : stride + len(differ)]
    return torch.where(differ, torch.full((), mixed, dtype=source.dtype, device=source.device), source[: len(differ)])


def _weigh(source: Tensor, index: Tensor, fractions: list[Tensor], strides: Sequence[int]) -> Tensor:
    """Winning label (N,) among the corners of the cells at `index` (N,) of the flat `source`."""
    corners, weights = [index], [torch.ones_like(fractions[0])]
    for fraction, stride in zip(fractions, strides, strict=True):
        # The nearest corner has the larger weight on every axis; a little more of it settles ties.
        upper = torch.where(fraction >= 0.5, fraction + TIE_BONUS, fraction - TIE_BONUS)
        corners = [*corners, *(corner + stride for corner in corners)]
        weights = [*(w * (1 - upper) for w in weights), *(w * upper for w in weights)]
    labels, weight = torch.stack([source[corner] for corner in corners]), torch.stack(weights)  # (2^n, N)
    smallest, largest = torch.aminmax(labels, dim=0)
    score_smallest, score_largest = (((labels == label) * weight).sum(0) for label in (smallest, largest))
    winner = torch.where(score_largest > score_smallest, largest, smallest)
    # Nearly all cells hold two labels, and are done; where a third takes part, each corner's label is scored.
    several = torch.nonzero(score_smallest + score_largest < 1 - 1e-4).flatten()
    labels, weight = labels[:, several], weight[:, several]
    scores = torch.stack([((labels == label) * weight).sum(0) for label in labels])
    winner[several] = labels.gather(0, scores.argmax(0, keepdim=True))[0]
    return winner
