"""The augmentations do what nnU-Net v2's do, in distribution: stored figures of the peer against ours."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.augment import augmentations
from autoseg.augment._geometry import PatchGeometry

GOLDEN = Path(__file__).parents[1] / "golden"
DRAWS = 300
TOLERANCE = 0.2
"""Of the distance between the 0.1 and 0.9 quantiles; at 300 draws a median's standard error is 0.03 of it."""

CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "noise": ("noise", {"p": 1}),
    "blur": ("blur", {"p": 1, "p_channel": 1}),
    "brightness": ("brightness", {"p": 1}),
    "contrast": ("contrast", {"p": 1}),
    "low_resolution": ("low_resolution", {"p": 1, "p_channel": 1}),
    "gamma_inverted": ("gamma", {"p": 1, "invert": True}),
    "gamma": ("gamma", {"p": 1}),
    "rotation": ("spatial", {"p_rotation": 1, "p_scale": 0}),
    # Not 0: the peer's source has room for a rotation whether it is drawn or not.
    "scale": ("spatial", {"p_rotation": 1e-12, "p_scale": 1}),
}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that made the figures: both sides measure with its functions."""
    spec = importlib.util.spec_from_file_location("make_augmentations", GOLDEN / "make_augmentations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads((GOLDEN / "augmentations.json").read_text())["figures"]


@pytest.mark.parametrize("kind", ["3d", "2d", "dummy_2d"])
@pytest.mark.parametrize("name", CHOICES)
def test_effects_are_distributed_as_the_peers(kind: str, name: str, maker: ModuleType, golden: dict[str, Any]) -> None:
    patch = maker.PATCHES[kind]
    component, options = CHOICES[name]
    transform = augmentations.build(component, options, geometry=PatchGeometry(patch))
    source = golden[kind]["source"] if component == "spatial" else patch
    image, labels = (torch.from_numpy(values)[None] for values in maker.subject(source))
    start = [edge // 2 - size // 2 for edge, size in zip(source, patch, strict=True)]
    crop = (0, slice(None), *(slice(low, low + size) for low, size in zip(start, patch, strict=True)))
    before = image[crop].numpy()
    generator = torch.Generator().manual_seed(11)
    effects = []
    for _ in range(DRAWS):
        drawn = [transform.draw(generator)]
        after, moved = transform.apply_image(image.clone(), drawn), transform.apply_labels(labels.clone(), drawn)
        effects.append(maker.statistics(before, after[0].numpy(), moved[0].numpy()))
    for statistic, ours in maker.quantiles(name, effects).items():
        theirs = golden[kind][name][statistic]
        allowed = TOLERANCE * (theirs[-1] - theirs[0]) + 1e-6
        np.testing.assert_allclose(ours, theirs, atol=allowed, rtol=0, err_msg=f"{statistic} of {name}")


@pytest.mark.parametrize("name", ["noise", "blur", "brightness", "contrast", "low_resolution", "gamma", "spatial"])
def test_default_probabilities(name: str) -> None:
    expected = {"noise": 0.1, "blur": 0.2, "brightness": 0.15, "contrast": 0.15, "low_resolution": 0.25, "gamma": 0.3}
    transform = augmentations.build(name, geometry=PatchGeometry((8, 8, 8)))
    generator = torch.Generator().manual_seed(2)
    share = np.mean([transform.draw(generator) is not None for _ in range(3000)])
    assert share == pytest.approx(expected.get(name, 1 - 0.8 * 0.8), abs=0.03)


def test_channel_probability_of_blur_and_low_resolution() -> None:
    for name in ("blur", "low_resolution"):
        transform = augmentations.build(name, {"p": 1}, geometry=PatchGeometry((8, 8), channels=4))
        generator = torch.Generator().manual_seed(2)
        touched = [value is not None for _ in range(500) for value in transform.draw(generator)]
        assert np.mean(touched) == pytest.approx(0.5, abs=0.05)


def test_mirror_flips_each_allowed_axis_half_of_the_time() -> None:
    transform = augmentations.build("mirror", geometry=PatchGeometry((8, 8, 8), mirror_axes=(0, 2)))
    generator = torch.Generator().manual_seed(2)
    drawn = [transform.draw(generator) or () for _ in range(2000)]
    for axis, share in ((0, 0.5), (1, 0.0), (2, 0.5)):
        assert np.mean([axis in axes for axes in drawn]) == pytest.approx(share, abs=0.04)
