"""Spoilt previous labels: the operators against scipy and the peer, the draws against the peer, one-hot at the end."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.augment import augmentations
from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._morphology import OPERATORS, morph
from autoseg.augment._pipeline import Pipeline
from autoseg.augment.cascade import Spoiling
from autoseg.core.errors import GeometryError, RegistryError
from autoseg.specs.document import Component

GOLDEN = Path(__file__).parents[1] / "golden"
DRAWS = 1200
TOLERANCE = 0.05
"""Of a share; the difference of two shares of 0.25 from 1500 and 1200 draws has a standard error of 0.017."""


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that made the figures."""
    spec = importlib.util.spec_from_file_location("make_cascade", GOLDEN / "make_cascade_augmentation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads((GOLDEN / "cascade_augmentation.json").read_text())


def cascade(size: tuple[int, ...], values: tuple[int, ...], **options: Any) -> Any:
    return augmentations.build("cascade", options, geometry=PatchGeometry(size, previous_values=values))


def random_mask(seed: int, size: tuple[int, ...], share: float) -> torch.Tensor:
    noise = np.random.default_rng(seed).random(size)
    return torch.from_numpy(ndimage.uniform_filter(noise, 3) < np.quantile(noise, share))


def ball(diameter: int, dimensions: int) -> np.ndarray:
    offsets = np.meshgrid(*[np.arange(diameter + 1) - diameter / 2] * dimensions, indexing="ij")
    return sum(offset**2 for offset in offsets) <= (diameter / 2) ** 2


def test_whole_radii_give_the_peers_masks(maker: ModuleType, golden: dict[str, Any]) -> None:
    labels = torch.from_numpy(maker.subject())
    for value in maker.VALUES:
        for operator in OPERATORS:
            for radius in maker.RADII:
                found = morph(labels == value, operator, 2 * radius).numpy()
                assert maker.digest(found) == golden["exact"][f"{value} {operator} {radius}"], (value, operator, radius)


@pytest.mark.parametrize("size", [(17, 15, 19), (31, 26)])
@pytest.mark.parametrize("diameter", [2, 4, 7])
def test_operators_are_scipys(size: tuple[int, ...], diameter: int) -> None:
    mask = random_mask(diameter, size, 0.4)
    structure = ball(diameter, len(size))
    # scipy puts the centre of an even structure half a voxel up, ours lies half a voxel down.
    origin = -1 if diameter % 2 else 0
    expected = ndimage.binary_dilation(mask.numpy(), structure, origin=origin)
    np.testing.assert_array_equal(morph(mask, "dilate", diameter).numpy(), expected)
    eroded = ~ndimage.binary_dilation(~mask.numpy(), structure, origin=origin)
    np.testing.assert_array_equal(morph(mask, "erode", diameter).numpy(), eroded)


@settings(max_examples=40)
@given(seed=st.integers(0, 999), diameter=st.integers(2, 9), share=st.floats(0.05, 0.95))
def test_laws_of_the_operators(seed: int, diameter: int, share: float) -> None:
    mask = random_mask(seed, (13, 12, 15), share)
    dilated, eroded, closed, opened = (morph(mask, operator, diameter) for operator in OPERATORS)
    assert not (eroded & ~opened).any()
    assert not (opened & ~mask).any()
    assert not (mask & ~closed).any()
    assert not (closed & ~dilated).any()
    assert torch.equal(morph(opened, "open", diameter), opened)
    assert torch.equal(morph(closed, "close", diameter), closed)


def test_an_empty_and_a_full_mask_stay() -> None:
    for operator in OPERATORS:
        for mask in (torch.zeros(6, 7, 8, dtype=torch.bool), torch.ones(6, 7, 8, dtype=torch.bool)):
            assert torch.equal(morph(mask, operator, 5), mask), "what lies beyond the patch is unknown"


def test_draws_are_distributed_as_the_peers(maker: ModuleType, golden: dict[str, Any]) -> None:
    labels = torch.from_numpy(maker.subject())
    transform = cascade(tuple(labels.shape), maker.VALUES)
    generator = torch.Generator().manual_seed(4)
    results = []
    for _ in range(DRAWS):
        both = torch.stack([labels, labels])[None]
        transform.apply_labels(both, [transform.draw(generator)])
        assert torch.equal(both[0, 0], labels), "the own labels are left alone"
        results.append(maker.statistics(labels.numpy(), both[0, 1].numpy()))
    found = maker.figures(results)
    assert set(found) == set(golden["figures"])
    for name, theirs in golden["figures"].items():
        np.testing.assert_allclose(found[name], theirs, atol=TOLERANCE, rtol=0, err_msg=name)


def test_a_growing_label_takes_voxels_and_a_shrinking_one_leaves_background() -> None:
    labels = torch.zeros(1, 2, 1, 12, 12, dtype=torch.int16)
    labels[..., :4], labels[..., 4:8], labels[..., 10:] = 1, 2, -1
    transform = cascade((1, 12, 12), (1, 2))
    grown = transform.apply_labels(labels.clone(), [Spoiling(((1, "dilate", 4),), ())])[0, 1, 0, 0]
    assert grown.tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 0, 0, -1, -1]
    shrunk = transform.apply_labels(labels.clone(), [Spoiling(((2, "erode", 2),), ())])[0, 1, 0, 0]
    assert shrunk.tolist() == [1, 1, 1, 1, 0, 2, 2, 0, 0, 0, -1, -1]


def test_large_components_stay_and_small_ones_go_whole() -> None:
    labels = torch.zeros(1, 2, 10, 10, 10, dtype=torch.int16)
    labels[:, :, :2] = 3  # a fifth of the patch
    labels[:, :, 5:7, 5:7, 5:7], labels[:, :, 7, 7, 7] = 3, 3  # joined by a corner
    labels[:, :, 9, 0, 0] = 3
    transform = cascade((10, 10, 10), (3,))
    first, second = (
        transform.apply_labels(labels.clone(), [Spoiling((), ((3, place),))])[0, 1] == 3 for place in (0.0, 0.99)
    )
    assert (int(first.sum()), int(second.sum())) == (200 + 1, 200 + 9)
    nothing = transform.apply_labels(labels.clone() * 0, [Spoiling((), ((3, 0.5),))])
    assert not nothing.any()


def test_without_a_previous_stage_nothing_is_drawn() -> None:
    transform = augmentations.build("cascade", {"p_operator": 1, "p_label": 1}, geometry=PatchGeometry((8, 8, 8)))
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert transform.draw(generator) is None
    assert torch.equal(generator.get_state(), state), "the draws of other components stay as they were"


def test_a_ball_below_a_voxel_is_refused() -> None:
    with pytest.raises(RegistryError, match="radius"):
        cascade((8, 8, 8), (1,), radius=(0.5, 2.0))


@pytest.mark.parametrize("chain", [(), ("mirror",), ("spatial", "gamma", "mirror", "cascade")])
def test_the_previous_labels_become_channels(chain: tuple[str, ...]) -> None:
    geometry = PatchGeometry((8, 10, 12), channels=2, masked_channels=(0,), previous_values=(2, 5))
    pipeline = Pipeline(tuple(Component(name=name) for name in chain), geometry)
    source = pipeline.source_size_voxels
    image = torch.randn(3, 2, *source)
    labels = torch.zeros(3, 2, *source, dtype=torch.int16)
    labels[:, 0, ..., : source[2] // 2], labels[:, 1, ..., source[2] // 3 :] = 1, 5
    labels[:, 1, :, : source[1] // 2, : source[2] // 3] = 2
    labels[:, :, -1] = -1
    joined, own = pipeline(image, labels, seeds=range(3))
    assert joined.shape == (3, 4, 8, 10, 12)
    assert own.shape == (3, 1, 8, 10, 12)
    assert set(joined[:, 2:].unique().tolist()) <= {0.0, 1.0}
    assert (joined[:, 2:].sum(1) <= 1).all()
    if not chain:
        assert torch.equal(joined[:, 2:], torch.stack([labels[:, 1] == value for value in (2, 5)], 1).float())
        assert torch.equal(own[:, 0], labels[:, 0])
    # Beyond the volume is background of the previous labels.
    assert not joined[:, 2:].amax(1)[own[:, 0] < 0].any() or "cascade" in chain


def test_a_cascade_without_previous_labels_is_refused() -> None:
    pipeline = Pipeline((), PatchGeometry((8, 8), previous_values=(1,)))
    with pytest.raises(GeometryError, match=r"a cascade got 1 label map\(s\): pass the own and the previous labels"):
        pipeline(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.int16), seeds=[0])
