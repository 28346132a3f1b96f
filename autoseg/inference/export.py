"""From logits on the plan's grid to labels on the image's own grid, block by block: no native volume of any class."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoseg.core.errors import BudgetError, GeometryError
from autoseg.core.labels import LabelSpace
from autoseg.devices.memory import available_memory_bytes
from autoseg.imageops.orient import orient
from autoseg.inference._axes import AxisMap, axis_maps
from autoseg.inference.region import Found
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Resampling

Labels = npt.NDArray[np.unsignedinteger[Any]]
Box = tuple[slice, slice, slice]

BLOCK_VOXELS = (16, 48, 48)
"""Output block where interpolation is a weighted mean: small enough to lie within one class most of the time."""
SLAB_SLICES = 4
"""Output slices per block where splines overshoot, so that every class must be computed everywhere."""
ROUNDING_MARGIN = 1e-5
"""Relative distance below which a class is not ruled out by bounds: float32's rounding, with room."""
HALF_MARGIN = 2**-9
"""The same where float16's rounding makes ties."""


@dataclass(frozen=True)
class MemberLogits:
    """Logits of one member on its plan grid.

    Attributes:
        logits: (heads, Z, Y, X), float32 or float16, on the CPU.
        record: How the case came to that grid.
        rule: How to come back.
        found: Of the first stage of a region-of-interest cascade, for its second.
        weight: Share of the member in a mean of several.
        release: Takes logits that are on disk out of memory again; None where they are not.
        half: Round to float16 after interpolation, too, as nnU-Net does: nearly equal classes tie, and the first wins.
    """

    logits: torch.Tensor
    record: CaseRecord
    rule: Resampling
    found: Found | None = None
    weight: float = 1.0
    release: Callable[[], None] | None = None
    half: bool = False


def labels_on_native_grid(logits: torch.Tensor, record: CaseRecord, space: LabelSpace, rule: Resampling) -> Labels:
    """Resample, decide, un-crop, un-transpose and un-orient.

    Equal to resampling all heads to the native grid and deciding there. Where interpolation is linear or nearest, a
    weighted mean lies between its neighbours, so that blocks of one class are filled without interpolating, and in the
    others only classes whose bounds overlap are interpolated.

    Args:
        logits: (heads, Z, Y, X) on the plan's grid.
        record: How the case came to that grid.
        space: Classes (largest logit wins) or regions (logit > 0, which is probability > 0.5; later ones overwrite).
        rule: Spline order and separate-z ratio.

    Returns:
        (Z, Y, X) in the file's own axes, uint8, or uint16 where labels pass 255.

    Raises:
        GeometryError: `logits` do not fit `record` or `space`.
        BudgetError: The labels do not fit the memory.
    """
    return merged_labels_on_native_grid([MemberLogits(logits, record, rule)], space)


def merged_labels_on_native_grid(members: Sequence[MemberLogits], space: LabelSpace) -> Labels:
    """As `labels_on_native_grid`, for the mean of the members' probabilities (softmax, or sigmoid for regions).

    Args:
        members: Of one case, with their weights; plan grids may differ, orientation, transpose and crop may not.
        space: As in `labels_on_native_grid`.

    Raises:
        GeometryError: Members do not fit their record, `space`, or each other.
        BudgetError: The labels do not fit the memory.
    """
    record = members[0].record
    for member in members:
        _check(member, record, space)
    _check_memory(record)
    dtype = np.uint8 if max((0, *space.head_values)) < 256 else np.uint16
    labels = np.zeros(record.original.shape, dtype)
    target = _cropped_view(labels, record)
    maps = [axis_maps(member.record, member.rule) for member in members]
    values = torch.tensor(space.head_values)

    decide = _decide_regions if space.is_regions else _decide_classes

    def fill(box: Box) -> None:
        if box[1].start == box[2].start == 0:
            release_all(members)
        blocks = [_Block(member, along, box) for member, along in zip(members, maps, strict=True)]
        decided = decide(blocks, values)
        target[box] = decided if isinstance(decided, int) else decided.numpy()

    boxes = _boxes(target.shape, convex=all(axis.convex for along in maps for axis in along))
    _fill_all(fill, boxes)
    return labels


def release_all(members: Sequence[MemberLogits]) -> None:
    """Take logits that are on disk out of memory."""
    for member in members:
        if member.release is not None:
            member.release()


def _fill_all(fill: Callable[[Box], None], boxes: Sequence[Box]) -> None:
    """Blocks are independent and small: one thread each beats threads within a block."""
    threads = torch.get_num_threads()
    if threads == 1 or len(boxes) == 1:
        for box in boxes:
            fill(box)
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(fill, boxes):
            pass


def _boxes(shape: Sequence[int], *, convex: bool) -> list[Box]:
    edges = BLOCK_VOXELS if convex else (SLAB_SLICES, shape[1], shape[2])
    starts = itertools.product(*(range(0, size, edge) for size, edge in zip(shape, edges, strict=True)))
    first, second, third = edges
    return [
        (
            slice(z, min(z + first, shape[0])),
            slice(y, min(y + second, shape[1])),
            slice(x, min(x + third, shape[2])),
        )
        for z, y, x in starts
    ]


class _Block:
    """One member's logits around one box of the native grid."""

    def __init__(self, member: MemberLogits, maps: Sequence[AxisMap], box: Box) -> None:
        self.weight, self.half = member.weight, member.half
        self.maps = [along.rows(part) for along, part in zip(maps, box, strict=True)]
        around = member.logits[:, self.maps[0].support, self.maps[1].support, self.maps[2].support]
        self.source = around.float()  # (heads, z, y, x)
        self.convex = all(along.convex for along in maps)
        self.shape = tuple(part.stop - part.start for part in box)

    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Least and greatest value of each head; infinite where splines may overshoot."""
        if self.convex:
            lowest, highest = torch.aminmax(self.source.flatten(1), dim=1)
            return lowest, highest
        infinite = torch.full((len(self.source),), math.inf)
        return -infinite, infinite

    def heads(self, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """Interpolated logits (heads, *box), of some heads or all."""
        values = self.source if chosen is None else self.source[chosen]
        # x first, while the block is small: along z and y whole rows are copied and mixed, which is the fast way.
        for axis in (3, 2, 1):
            values = self.maps[axis - 1].apply(values, axis)
        return values.half().float() if self.half else values


def decided_labels(member: MemberLogits, space: LabelSpace) -> npt.NDArray[np.int32]:
    """Labels (Z, Y, X) where the logits are, without any interpolation."""
    logits, values = member.logits, torch.tensor(space.head_values)
    if not space.is_regions:
        decided = _labels_of_largest(logits, values)
    else:
        decided = torch.zeros(logits.shape[1:], dtype=torch.int32)
        for value, scores in zip(space.head_values, logits, strict=True):
            decided[scores > 0] = value
    release_all((member,))
    return decided.numpy()


def _decide_classes(blocks: Sequence[_Block], values: torch.Tensor) -> torch.Tensor | int:
    candidates = [_possible_winners(block) for block in blocks]
    if all(len(some) == 1 and some[0] == candidates[0][0] for some in candidates):
        return int(values[candidates[0][0]])
    if len(blocks) == 1:
        return _labels_of_largest(blocks[0].heads(candidates[0]), values[candidates[0]])
    scores = sum((block.heads().softmax(0) * block.weight for block in blocks), torch.zeros(()))
    return _labels_of_largest(scores, values)


def _labels_of_largest(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Label of the first largest of (heads, z, y, x); a running maximum takes a third of the time of `argmax`."""
    best = scores[0].clone()
    labels = torch.full(best.shape, int(values[0]), dtype=torch.int32)
    for score, value in zip(scores[1:], values[1:].tolist(), strict=True):
        labels.masked_fill_(score > best, value)
        torch.maximum(best, score, out=best)
    return labels


def _possible_winners(block: _Block) -> torch.Tensor:
    """Classes that could be largest somewhere in a block.

    A class that wins at no input voxel is ruled out where it stays below the mean of those that do: interpolation
    keeps that order, and the largest is never below the mean.
    """
    if not block.convex:
        return torch.arange(len(block.source))
    flat = block.source.flatten(1)
    wins = torch.zeros(len(flat), dtype=torch.bool)
    wins[flat.argmax(0)] = True
    mean = flat[wins].mean(0)
    margin = HALF_MARGIN if block.half else ROUNDING_MARGIN
    wins |= (flat - mean).amax(1) >= -margin * (1 + mean.abs().max())
    return torch.nonzero(wins).flatten()


def _decide_regions(blocks: Sequence[_Block], values: torch.Tensor) -> torch.Tensor | int:
    bounds = [block.bounds() for block in blocks]
    absent = torch.stack([highest <= 0 for _, highest in bounds]).all(0)
    present = torch.stack([lowest > 0 for lowest, _ in bounds]).all(0)
    if bool((absent | present).all()):
        filled = torch.nonzero(present).flatten()
        return int(values[filled[-1]]) if len(filled) else 0
    chosen = torch.nonzero(~absent).flatten()
    if len(blocks) == 1:
        inside = blocks[0].heads(chosen) > 0
    else:
        chances = sum((block.heads(chosen).sigmoid() * block.weight for block in blocks), torch.zeros(()))
        inside = chances > sum(block.weight for block in blocks) / 2
    labels = torch.zeros(blocks[0].shape, dtype=values.dtype)
    for value, mask in zip(values[chosen], inside, strict=True):
        labels[mask] = value
    return labels


def _cropped_view(labels: Labels, record: CaseRecord) -> Labels:
    """The plan's crop as a view of the file's array: writing to it undoes crop, transpose and orientation."""
    oriented = orient(labels, record.orient_axes, record.orient_flips).transpose(record.transpose)
    crop = tuple(slice(*ends) for ends in zip(record.crop_start_voxels, record.crop_stop_voxels, strict=True))
    return oriented[crop]


def _check(member: MemberLogits, first: CaseRecord, space: LabelSpace) -> None:
    record, found = member.record, tuple(member.logits.shape)
    if found != (space.heads, *record.shape_voxels):
        raise GeometryError(
            f"logits of {record.case_id} have the shape {found}, not {(space.heads, *record.shape_voxels)}",
            "predict the case again with the model that it was preprocessed for",
        )
    fields = ("original", "orient_axes", "orient_flips", "transpose", "crop_start_voxels", "crop_stop_voxels")
    differing = [name for name in fields if getattr(record, name) != getattr(first, name)]
    if differing:
        raise GeometryError(
            f"members of {record.case_id} differ in {', '.join(differing)}", "merge their written masks instead"
        )


def _check_memory(record: CaseRecord) -> None:
    """The labels, at most two bytes each; blocks are small, and the logits are there already."""
    needed, free = 2 * math.prod(record.original.shape), available_memory_bytes()
    if needed > free:
        raise BudgetError(
            f"the labels of {record.case_id} need {needed >> 20} MiB, {free >> 20} MiB are free",
            "close other programs, or use a machine with more memory",
        )
