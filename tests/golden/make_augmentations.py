"""Figures of nnU-Net v2's default augmentation, for comparison in distribution.

Run in an environment that has nnunetv2 (made with nnunetv2 2.8.1, batchgeneratorsv2 0.3.6):

    python tests/golden/make_augmentations.py tests/golden/augmentations.json

The tests load `subject`, `statistics` and `QUANTILES` from here, so that both sides measure the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
DRAWS = 2000
PATCHES = {"3d": (24, 30, 28), "2d": (40, 36), "dummy_2d": (6, 30, 28)}
STATISTICS = {
    "noise": ("change", "spread"),
    "blur": ("change", "edges_first", "edges_last"),
    "brightness": ("change", "spread"),
    "contrast": ("change", "spread"),
    "low_resolution": ("change", "edges_first", "edges_last"),
    "gamma_inverted": ("change", "skew"),
    "gamma": ("change", "skew"),
    "rotation": ("foreground", "outside", "moved"),
    "scale": ("foreground",),  # what lies outside jumps by whole rows
}


def subject(size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Image (1, *size) float32 with a skewed histogram, and labels (1, *size) int16: an off-centre ellipsoid."""
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, edge) for edge in size], indexing="ij"))
    waves = sum(np.sin((3 + axis) * grid[axis] + axis) for axis in range(len(size)))
    image = np.exp(0.5 * waves) + 0.2 * rng.standard_normal(size) - 1
    offset = np.linspace(0.1, 0.3, len(size)).reshape(-1, *[1] * len(size))
    labels = (((grid - offset) * 2.5) ** 2).sum(0) < 1
    return image[None].astype(np.float32), labels[None].astype(np.int16)


def statistics(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Effects of one draw; `before` (1, *patch) is the subject's image, or its crop."""

    def edges(image: np.ndarray, axis: int) -> float:
        return float(np.abs(np.diff(image, axis=axis)).mean())

    centred = after - after.mean()
    inside = labels[0] == 1
    centre = np.array(np.nonzero(inside)).mean(1) if inside.any() else np.zeros(inside.ndim)
    return {
        "change": float(np.abs(after - before).mean()),
        "spread": float(after.std() / before.std()),
        "edges_first": edges(after, 1) / edges(before, 1),
        "edges_last": edges(after, -1) / edges(before, -1),
        "skew": float((centred**3).mean() / (centred**2).mean() ** 1.5),
        "foreground": float(inside.mean()),
        "outside": float((labels < 0).mean()),
        "moved": float(np.linalg.norm(centre - (np.array(inside.shape) - 1) / 2)),
    }


def quantiles(name: str, effects: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Per statistic of `name` the quantiles over the draws."""
    return {
        key: [float(q) for q in np.quantile([effect[key] for effect in effects], QUANTILES)] for key in STATISTICS[name]
    }


def peer_figures() -> dict[str, Any]:
    """Everything, from the peer's own transforms as its default trainer configures them."""
    import torch
    from batchgeneratorsv2.transforms.utils.random import RandomTransform
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.manual_seed(0)
    np.random.seed(0)
    figures: dict[str, Any] = {}
    for kind, patch in PATCHES.items():
        dummy = kind == "dummy_2d"
        angle = np.pi / 6 if kind == "3d" else np.pi
        chain = nnUNetTrainer.get_training_transforms(patch, (-angle, angle), None, (), dummy).transforms
        spatial = chain[1] if dummy else chain[0]
        inner = [step.transform for step in chain if isinstance(step, RandomTransform)]
        names = ("noise", "blur", "brightness", "contrast", "low_resolution", "gamma_inverted", "gamma")
        figures[kind] = {}
        for name, transform in zip(names, inner, strict=True):
            transform.p_per_channel = 1
            figures[kind][name] = quantiles(name, _effects(patch, patch, transform))
        source = get_patch_size(np.array(patch), *[(-angle, angle)] * 3, (0.85, 1.25))
        source[0] = patch[0] if dummy else source[0]
        figures[kind]["source"] = [int(edge) for edge in source]
        for name, chances in (("rotation", (1, 0)), ("scale", (0, 1))):
            spatial.p_rotation, spatial.p_scaling = chances
            step = _in_plane(spatial) if dummy else spatial
            figures[kind][name] = quantiles(name, _effects(source, patch, step))
    return figures


def _in_plane(spatial: Callable[..., dict]) -> Callable[..., dict]:
    from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform

    return lambda **values: Convert2DTo3DTransform()(**spatial(**Convert3DTo2DTransform()(**values)))


def _effects(source: Sequence[int], patch: Sequence[int], transform: Callable[..., dict]) -> list[dict[str, float]]:
    import torch

    image, labels = subject(source)
    start = [edge // 2 - size // 2 for edge, size in zip(source, patch, strict=True)]
    before = image[(slice(None), *(slice(low, low + size) for low, size in zip(start, patch, strict=True)))]
    effects = []
    for _ in range(DRAWS):
        values = transform(image=torch.from_numpy(image.copy()), segmentation=torch.from_numpy(labels.copy()))
        effects.append(statistics(before, values["image"].numpy(), values["segmentation"].numpy()))
    return effects


def main(path: Path) -> None:
    """Write the figures with their origin."""
    from importlib.metadata import version

    values = {
        "made_by": "tests/golden/make_augmentations.py in an environment with nnunetv2",
        "versions": {name: version(name) for name in ("nnunetv2", "batchgeneratorsv2", "torch")},
        "draws": DRAWS,
        "quantiles": QUANTILES,
        "figures": peer_figures(),
    }
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
