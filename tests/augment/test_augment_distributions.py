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
DRAWS = 150
TOLERANCE = 0.2
"""Of the distance between the 0.1 and 0.9 quantiles; at 150 draws a median's standard error is 0.04 of it."""

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


def test_scale_and_angles_are_uniform_in_their_ranges() -> None:
    transform = augmentations.build("spatial", {"p_rotation": 1, "p_scale": 1}, geometry=PatchGeometry((64, 64)))
    generator = torch.Generator().manual_seed(5)
    matrices = np.array([transform.draw(generator) for _ in range(2000)])
    scales = np.sqrt(np.linalg.det(matrices))
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    for values, low, high in ((scales, 0.7, 1.4), (angles, -180, 180)):
        shares = np.quantile((values - low) / (high - low), [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(shares, [0, 0.25, 0.5, 0.75, 1], atol=0.04)


def test_blur_kernel_length_is_the_odd_number_nearest_to_six_sigma_and_a_half() -> None:
    # 3 up to sigma 7/12, 5 up to 11/12, then 7: an impulse shows the radius.
    transform = augmentations.build("blur", geometry=PatchGeometry((15, 15)))
    for sigma, radius in ((0.5, 1), (0.57, 1), (0.6, 2), (0.9, 2), (0.93, 3), (1.0, 3)):
        image = torch.zeros((1, 15, 15))
        image[0, 7, 7] = 1
        transform.change(image, ((sigma, sigma),))
        assert int((image[0, 7] > 0).sum()) == 2 * radius + 1
        assert float(image.sum()) == pytest.approx(1)
