"""Run networks over a volume in overlapping windows: windows, mirrored copies and folds in one pass over the case."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from autoseg.core.geometry import Shape3
from autoseg.devices.memory import named_memory_errors
from autoseg.inference.forward import Device, Passes, Precision, Swap, mean_logits
from autoseg.inference.logits_type import are_half
from autoseg.inference.sums import Sums
from autoseg.inference.tiling import tile_slabs

SIGMA_SHARE = 1 / 8
PEAK_WEIGHT = 10.0
GPU_CURE = "end what else uses it, or predict with --device cpu"
Store = Callable[[tuple[int, ...], torch.dtype], tuple[torch.Tensor, Callable[[], None]]]
"""Shape and type -> a tensor, and what to call whenever a part of it has been written."""


def window_starts(size: int, patch: int, step_size: float) -> tuple[int, ...]:
    """First voxel of each window along one axis: evenly spread, at most `step_size * patch` apart.

    The rule of nnU-Net (Isensee et al., Nature Methods 2021): ceil((size - patch) / (step * patch)) + 1 windows.
    """
    span = size - patch
    if span <= 0:
        return (0,)
    steps = math.ceil(span / (step_size * patch))
    return tuple(int(np.round(span / steps * index)) for index in range(steps + 1))


@functools.lru_cache(maxsize=8)
def gaussian_weights(patch_size_voxels: tuple[int, ...]) -> torch.Tensor:
    """Weight of a window's voxels, (z, y, x) or (y, x): sigma patch / 8, peak 10, zeros lifted to the least weight."""
    weights = np.ones(())
    for size in patch_size_voxels:
        distance = (np.arange(size) - size // 2) / (size * SIGMA_SHARE)
        weights = weights[..., None] * np.exp(-0.5 * distance**2)
    # The least weight that float16 resolves: smaller ones would count as zero in the reference's accumulators.
    weights = (PEAK_WEIGHT * weights).astype(np.float16).astype(np.float32)
    weights[weights == 0] = weights[weights > 0].min()
    return torch.from_numpy(weights)


def predict_logits(
    networks: Sequence[nn.Module],
    image: torch.Tensor,
    *,
    patch_size_voxels: tuple[int, ...],
    context_voxels: tuple[int, ...] | None = None,
    step_size: float = 0.5,
    mirror_axes: Sequence[int] = (),
    device: Device = "cpu",
    precision: Precision = "float32",
    batch_windows: int | None = None,
    passes_at_once: int | None = None,
    half: bool = False,
    half_sums: bool = False,
    swap: Swap | None = None,
    store: Store | None = None,
) -> torch.Tensor:
    """Average the networks' logits over windows, mirrored copies and folds.

    Args:
        networks: One per fold, in evaluation mode and on `device`; (B, C, *patch) -> (B, heads, *patch), or, with
            context, (B, C, *(patch + 2 context)) -> (B, heads, *patch).
        image: (C, Z, Y, X).
        patch_size_voxels: (z, y, x), or (y, x) for 2D networks, which see the volume slice by slice.
        context_voxels: By what the input of the networks is larger than the patch on every side. Patches then are the
            cores of a fixed grid that tiles the volume: no voxel is labelled twice and nothing weighted.
        step_size: Largest step as a share of the patch, above 0 and at most 1.
        mirror_axes: Axes of (z, y, x); every subset is a pass. Axis 0 means nothing to 2D networks.
        device: Where the networks are.
        precision: Type to compute in: networks already of that type run as they are, others under autocast.
        batch_windows: Window copies per pass; None picks what is fastest on the device.
        passes_at_once: Most passes side by side on a CPU; None picks what is fastest.
        half: Give float16, however small the volume.
        half_sums: Round to float16 wherever nnU-Net does: the sums of weighted windows and of weights, and their
            quotient, also of single windows.
        swap: What changes places in copies mirrored along its axis, of (z, y, x).
        store: Makes the tensor that the result is collected in; None takes memory. A result of a single window is in
            memory anyway.

    Returns:
        (heads, Z, Y, X) on the CPU, float32, or float16 above `logits_type.FLOAT32_LIMIT_BYTES`.

    Raises:
        ValueError: There is no network.
        BudgetError: The GPU's memory is full even with one window at a time.
    """
    if not networks:
        raise ValueError("there is no network to run")
    planar = len(patch_size_voxels) == 2
    z, y, x = (1, *patch_size_voxels) if planar else patch_size_voxels
    flips = mirror_subsets(tuple(axis - planar for axis in mirror_axes if axis >= planar))
    if swap is not None:
        swap = replace(swap, axis=swap.axis - planar)
    passes = Passes(tuple(networks), flips, torch.device(device), precision, swap, at_once=passes_at_once)
    with torch.inference_mode(), named_memory_errors(passes.device, GPU_CURE):
        if context_voxels is not None:
            front, above, left = (0, *context_voxels) if planar else context_voxels
            tiles = tile_slabs(passes, image, (z, y, x), (front, above, left), planar=planar, batch=batch_windows)
            return _collect(tiles, tuple(image.shape[1:]), half=half, store=store)
        padded, inside = _pad_to_patch(image, (z, y, x))
        kind = torch.float16 if half_sums else torch.float32
        slabs = _slabs(passes, padded, (z, y, x), step_size=step_size, planar=planar, batch=batch_windows, kind=kind)
        logits = _collect(slabs, tuple(padded.shape[1:]), half=half, store=store)
    return logits[(slice(None), *inside)]


def mirror_subsets(axes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Every subset of `axes`, the empty one first."""
    return tuple(subset for size in range(len(axes) + 1) for subset in itertools.combinations(sorted(axes), size))


def _pad_to_patch(image: torch.Tensor, patch: Shape3) -> tuple[torch.Tensor, tuple[slice, slice, slice]]:
    """Zero-pad (C, Z, Y, X) to at least `patch`, the odd voxel after; where the image lies in it."""
    missing = [max(0, wanted - size) for wanted, size in zip(patch, image.shape[1:], strict=True)]
    before = [amount // 2 for amount in missing]
    first, second, third = (slice(start, start + size) for start, size in zip(before, image.shape[1:], strict=True))
    if not any(missing):
        return image, (first, second, third)
    ends = list(zip(before, missing, strict=True))[::-1]
    padding = [amount for start, total in ends for amount in (start, total - start)]
    return nn.functional.pad(image, padding), (first, second, third)


Slab = tuple[int, torch.Tensor]
"""First slice, and finished logits (heads, z, Y, X)."""


def _slabs(
    passes: Passes,
    image: torch.Tensor,
    patch: Shape3,
    *,
    step_size: float,
    planar: bool,
    batch: int | None,
    kind: torch.dtype,
) -> Iterator[Slab]:
    """Finish the volume from top to bottom: sums are held for the slices of one window row, whatever the volume."""
    starts = [window_starts(size, edge, step_size) for size, edge in zip(image.shape[1:], patch, strict=True)]
    if planar:
        starts[0] = tuple(range(image.shape[1]))
    corners = list(itertools.product(*starts))
    windows = (_window(image, corner, patch, planar=planar) for corner in corners)
    weights = gaussian_weights(patch)
    if len(starts[1]) == len(starts[2]) == 1 and (planar or len(starts[0]) == 1):
        weights = weights.to(passes.device, kind)
        results = mean_logits(passes, windows, planar=planar, batch=batch)
        for (top, _, _), logits in zip(corners, results, strict=True):
            alone = logits[:, None] if planar else logits
            yield top, alone if kind == torch.float32 else (alone * weights).to(kind).div_(weights)
        return
    sums = Sums((patch[0], *image.shape[2:]), weights, kind, passes.device)
    results = mean_logits(passes, windows, planar=planar, batch=batch, make_room=sums.make_room)
    for index, ((top, y, x), logits) in enumerate(zip(corners, results, strict=True)):
        where = (slice(None), slice(y, y + patch[1]), slice(x, x + patch[2]))
        sums.add(logits[:, None] if planar else logits, where)
        following = corners[index + 1][0] if index + 1 < len(corners) else top + patch[0]
        if done := following - top:
            yield top, sums.finish(done)
            sums.advance(done)


def _window(image: torch.Tensor, corner: tuple[int, ...], patch: Shape3, *, planar: bool) -> torch.Tensor:
    """(C, z, y, x), or (C, y, x) of one slice."""
    inside = tuple(slice(start, start + edge) for start, edge in zip(corner, patch, strict=True))
    window = image[(slice(None), *inside)]
    return window[:, 0] if planar else window


def _collect(slabs: Iterator[Slab], shape: tuple[int, ...], *, half: bool, store: Store | None) -> torch.Tensor:
    """Put slabs together on the CPU, in the narrowest type that keeps the size reasonable."""
    logits, release = torch.empty(0), None
    for top, slab in slabs:
        small = are_half(slab.shape[0] * math.prod(shape), half=half)
        kind = torch.float16 if small else torch.float32
        if slab.shape[1:] == shape:
            return slab.to("cpu", kind)
        if not logits.numel() and store is not None:
            logits, release = store((slab.shape[0], *shape), kind)
        elif not logits.numel():
            logits = torch.empty((slab.shape[0], *shape), dtype=kind)
        for head, found in zip(logits, slab, strict=True):  # each is one piece: a GPU makes no copy of its own
            head[top : top + len(found)] = found
        if release is not None:
            release()
    return logits
