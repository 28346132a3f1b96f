"""Plain loops that the ratchet times autoseg against: short, by the book, and never changed, or records mean nothing.

They use the same libraries (numpy, scipy, torch), so that a faster machine or library moves both sides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

Array = npt.NDArray[Any]


def preprocess(image: Array, labels: Array, *, spacing_mm: Sequence[float], target_mm: Sequence[float]) -> Any:
    """Crop to what is not zero, clip, normalise, cubic splines; labels class by class; places of each class."""
    body = ndimage.binary_fill_holes(image[0] != 0)
    where = np.argwhere(body)
    box = tuple(slice(low, high + 1) for low, high in zip(where.min(0), where.max(0), strict=True))
    image, labels = image[(slice(None), *box)], labels[box]
    image = (np.clip(image, -1.0, 1.0) - 0.1) / 0.5
    zoom = [before / after for before, after in zip(spacing_mm, target_mm, strict=True)]
    image = np.stack([ndimage.zoom(channel, zoom, order=3, mode="nearest", grid_mode=True) for channel in image])
    resampled = np.zeros(image.shape[1:], labels.dtype)
    for value in np.unique(labels):
        share = ndimage.zoom((labels == value).astype(np.float32), zoom, order=1, mode="nearest", grid_mode=True)
        resampled[share > 0.5] = value
    places = {value: np.argwhere(resampled == value) for value in np.unique(resampled) if value > 0}
    return image, resampled, places


def read_patches(folder: Path, names: Sequence[str], *, patch: Sequence[int], seed: int) -> tuple[Array, Array]:
    """Random patches of whole compressed arrays (`np.savez_compressed`): what a loader without chunks does."""
    generator = np.random.default_rng(seed)
    images, labels = [], []
    for name in names:
        with np.load(folder / f"{name}.npz") as arrays:
            image, label = arrays["image"], arrays["labels"]
        start = [generator.integers(0, size - edge + 1) for size, edge in zip(label.shape, patch, strict=True)]
        box = tuple(slice(low, low + edge) for low, edge in zip(start, patch, strict=True))
        images.append(image[(slice(None), *box)].astype(np.float32))
        labels.append(label[box].astype(np.int16))
    return np.stack(images), np.stack(labels)


def augment(
    image: Tensor, labels: Tensor, *, patch: Sequence[int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Every sample (C, *source) rotated and scaled; noise, blur, brightness, contrast, gamma, mirroring one by one."""
    images, maps = [], []
    for sample, label in zip(image, labels, strict=True):
        angle, scale = torch.rand(2, generator=generator).tolist()
        turn, size = (angle - 0.5) * math.pi / 3, 0.7 + 0.7 * scale
        cos, sin = size * math.cos(turn), size * math.sin(turn)
        matrix = torch.tensor([[[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, size, 0]]])
        grid = functional.affine_grid(matrix, [1, 1, *patch], align_corners=False)
        moved = functional.grid_sample(sample[None].float(), grid, align_corners=False)[0]
        label = functional.grid_sample(label[None].float(), grid, mode="nearest", align_corners=False)[0]
        moved = moved + 0.1 * torch.randn(moved.shape, generator=generator)
        kernel = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)
        for axis in range(3):
            shape = [1, 1, *(7 if other == axis else 1 for other in range(3))]
            edges = [edge // 2 for edge in shape[2:]]
            moved = functional.conv3d(moved[:, None], (kernel / kernel.sum()).reshape(shape), padding=edges)[:, 0]
        moved = 1.1 * moved
        mean, low, high = moved.mean(), moved.min(), moved.max()
        moved = ((moved - mean) * 1.2 + mean).clamp(low, high)
        moved = ((moved - low) / (high - low)) ** 1.3 * (high - low) + low
        images.append(moved.flip(1, 3))
        maps.append(label.flip(1, 3).to(torch.int16))
    return torch.stack(images), torch.stack(maps)


class PlainUNet(nn.Module):
    """U-Net of two convolutions per stage with instance norm, and logits at every level but the coarsest."""

    def __init__(self, features: Sequence[int], *, channels: int, heads: int) -> None:
        super().__init__()
        widths = [channels, *features]
        self.encoder = nn.ModuleList(
            nn.Sequential(*_block(before, after, stride=1 if level == 0 else 2), *_block(after, after, stride=1))
            for level, (before, after) in enumerate(itertools.pairwise(widths))
        )
        levels = list(reversed(list(itertools.pairwise(features))))
        self.up = nn.ModuleList(nn.ConvTranspose3d(deep, width, 2, 2) for width, deep in levels)
        self.decoder = nn.ModuleList(
            nn.Sequential(*_block(2 * width, width, stride=1), *_block(width, width, stride=1)) for width, _ in levels
        )
        self.heads = nn.ModuleList(nn.Conv3d(width, heads, 1) for width, _ in levels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, Z, Y, X) -> logits, finest first."""
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        outputs = []
        for up, stage, head, skip in zip(self.up, self.decoder, self.heads, skips[-2::-1], strict=True):
            x = stage(torch.cat([up(x), skip], 1))
            outputs.append(head(x))
        return outputs[::-1]


def _block(before: int, after: int, *, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv3d(before, after, 3, stride, 1),
        nn.InstanceNorm3d(after, affine=True),
        nn.LeakyReLU(0.01, inplace=True),
    )


def training_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, image: Tensor, labels: Tensor, *, half: bool
) -> float:
    """Forward, Dice and cross-entropy at every level, backward, clip, update."""
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        outputs = network(image)
    total = torch.zeros(())
    for level, logits in enumerate(outputs):
        logits = logits.float()
        target = labels[:, 0, :: 2**level, :: 2**level, :: 2**level].long()
        chances = logits.softmax(1)[:, 1:]
        truth = functional.one_hot(target, logits.shape[1]).movedim(-1, 1)[:, 1:]
        axes = (2, 3, 4)
        dice = (2 * (chances * truth).sum(axes) + 1e-5) / (chances.sum(axes) + truth.sum(axes) + 1e-5)
        total = total + (functional.cross_entropy(logits, target) - dice.mean()) / 2**level
    total.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 12.0)
    optimizer.step()
    return float(total.detach())


@torch.inference_mode()
def slide(network: nn.Module, image: Tensor, *, patch: Sequence[int], heads: int) -> Tensor:
    """Windows at half steps, eight mirrored copies each, weighted by a Gaussian."""
    starts = [range(0, size - edge + 1, edge // 2) for size, edge in zip(image.shape[1:], patch, strict=True)]
    distances = [torch.exp(-0.5 * ((torch.arange(edge) - edge // 2) / (edge / 8)) ** 2) for edge in patch]
    weights = distances[0][:, None, None] * distances[1][:, None] * distances[2] + 1e-4
    sums, totals = torch.zeros(heads, *image.shape[1:]), torch.zeros(image.shape[1:])
    for corner in itertools.product(*starts):
        box = tuple(slice(start, start + edge) for start, edge in zip(corner, patch, strict=True))
        window = image[(slice(None), *box)][None]
        logits = torch.zeros(1, heads, *patch)
        for flips in itertools.chain.from_iterable(itertools.combinations((2, 3, 4), n) for n in range(4)):
            logits += network(window.flip(flips)).flip(flips)
        sums[(slice(None), *box)] += logits[0] / 8 * weights
        totals[box] += weights
    return sums / totals


def export(logits: Tensor, *, shape: Sequence[int]) -> Array:
    """All classes on the native grid, then the largest."""
    native = np.zeros((len(logits), *shape), np.float32)
    for channel, values in enumerate(logits):
        grid = functional.interpolate(values[None, None], tuple(shape), mode="trilinear", align_corners=False)
        native[channel] = grid[0, 0].numpy()
    return native.argmax(0).astype(np.uint8)


def surface(prediction: Array, reference: Array, *, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """HD95 and surface Dice from distance transforms of the whole volume."""
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, reference)]
    fields = [ndimage.distance_transform_edt(~border, sampling=spacing_mm) for border in borders]
    there, back = fields[1][borders[0]], fields[0][borders[1]]
    within = (there <= 1).sum() + (back <= 1).sum()
    return float(max(np.percentile(there, 95), np.percentile(back, 95))), float(within / (len(there) + len(back)))
