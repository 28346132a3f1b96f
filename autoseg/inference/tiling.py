"""Windows whose cores tile a volume: each voxel is labelled once, by the core that holds it, with context read around.

Source: Buchwald et al., Brain Tumor Segmentation on the Basis of a U-Net Architecture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from autoseg.core.geometry import Shape3
from autoseg.imageops.grid import core_starts
from autoseg.inference.forward import Passes, mean_logits


def tile_slabs(
    passes: Passes, image: torch.Tensor, core: Shape3, context: Shape3, *, planar: bool, batch: int | None
) -> Iterator[tuple[int, torch.Tensor]]:
    """Finish the volume from top to bottom, one row of cores after the other.

    Args:
        passes: What is averaged; networks take a core with its context and give logits of the core.
        image: (C, Z, Y, X); zeros are read beyond it.
        core: (z, y, x) of a core; z is 1 for 2D networks.
        context: Voxels on every side of a core.
        planar: Whether the networks see the volume slice by slice.
        batch: Windows per pass; None takes what is fastest on the device.

    Yields:
        First slice, and logits (heads, z, Y, X).
    """
    shape = tuple(image.shape[1:])
    starts = [core_starts(size, edge) for size, edge in zip(shape, core, strict=True)]
    corners = list(itertools.product(*starts))
    windows = (_window(image, corner, core, context, planar=planar) for corner in corners)
    row = torch.empty(0)
    for (top, y, x), result in zip(corners, mean_logits(passes, windows, planar=planar, batch=batch), strict=True):
        logits = result[:, None] if planar else result
        first, slices = _within(top, core[0], shape[0])
        if not row.numel():
            row = torch.empty((len(logits), slices.stop - slices.start, *shape[1:]), device=logits.device)
        down, rows = _within(y, core[1], shape[1])
        right, columns = _within(x, core[2], shape[2])
        row[:, :, down : down + rows.stop - rows.start, right : right + columns.stop - columns.start] = logits[
            :, slices, rows, columns
        ]
        if (y, x) == (starts[1][-1], starts[2][-1]):
            yield first, row
            row = torch.empty(0)


def _within(start: int, edge: int, size: int) -> tuple[int, slice]:
    """First voxel of the volume that a core holds, and which of its own voxels lie in the volume."""
    return max(start, 0), slice(max(-start, 0), min(edge, size - start))


def _window(
    image: torch.Tensor, corner: tuple[int, ...], core: Shape3, context: Shape3, *, planar: bool
) -> torch.Tensor:
    """(C, z, y, x) of a core with its context, or (C, y, x) of one slice."""
    parts: list[slice] = []
    padding: list[int] = []
    for start, edge, more, size in zip(corner, core, context, image.shape[1:], strict=True):
        first, last = start - more, start + edge + more
        inside = slice(max(first, 0), min(last, size))
        parts.append(inside)
        padding = [inside.start - first, last - inside.stop, *padding]
    window = image[(slice(None), *parts)]
    if any(padding):
        window = torch.nn.functional.pad(window, padding)
    return window[:, 0] if planar else window
