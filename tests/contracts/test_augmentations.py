"""Every registered augmentation keeps the same laws; a new file in the folder is tested without an edit here."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from autoseg.augment import augmentations
from autoseg.augment._geometry import PatchGeometry

GEOMETRIES = {
    "3d": PatchGeometry((14, 18, 16), channels=2, previous_values=(1, 5)),
    "2d": PatchGeometry((26, 22), channels=2, previous_values=(1, 5)),
    "dummy_2d": PatchGeometry((4, 22, 26), channels=2, previous_values=(1, 5)),
}
NAMES = augmentations.names()


def build(name: str, geometry: PatchGeometry, p: float) -> Any:
    """The augmentation with all its probabilities set to `p`."""
    fields = augmentations.load(name).Options.model_fields
    chances = {field: p for field in fields if field == "p" or field.startswith("p_")}
    assert chances, f"{name} cannot be switched off"
    return augmentations.build(name, chances, geometry=geometry)


def batch(transform: Any, size: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 2, *source) and labels (B, 2, *source), own and previous: boxes of 1 and 5 in 0, -1 at one side."""
    source = transform.source_size_voxels
    image = torch.randn((size, 2, *source), generator=torch.Generator().manual_seed(1))
    labels = torch.zeros((size, 2, *source), dtype=torch.int16)
    labels[..., source[-1] // 4 : source[-1] // 2] = 1
    labels[..., source[-2] // 2 :, : source[-1] // 3] = 5
    labels[..., -2:] = -1
    return image, labels


def draw(transform: Any, seed: int) -> Any:
    return transform.draw(torch.Generator().manual_seed(seed))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=GEOMETRIES)
def geometry(request: pytest.FixtureRequest) -> PatchGeometry:
    return GEOMETRIES[request.param]


def test_all_default_augmentations_are_registered() -> None:
    expected = {"spatial", "noise", "blur", "brightness", "contrast", "gamma", "low_resolution", "mirror"}
    assert expected <= set(NAMES)


def test_probability_zero_is_identity(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 0.0)
    assert transform.source_size_voxels == geometry.patch_size_voxels
    image, labels = batch(transform)
    params = [draw(transform, seed) for seed in range(3)]
    assert params == [None] * 3
    assert torch.equal(transform.apply_image(image.clone(), params), image)
    assert torch.equal(transform.apply_labels(labels.clone(), params), labels)


def test_own_labels_move_only_with_the_image(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    image, labels = batch(transform)
    params = [draw(transform, seed) for seed in range(3)]
    own = transform.apply_labels(labels.clone(), params)[:, 0]
    if torch.equal(transform.apply_image(image.clone(), params), image):
        assert torch.equal(own, labels[:, 0])


def test_same_seed_same_params_same_result(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    image, labels = batch(transform)
    params = [draw(transform, seed) for seed in range(3)]
    assert params == [draw(transform, seed) for seed in range(3)]
    kept = copy.deepcopy(params)
    first = transform.apply_image(image.clone(), params), transform.apply_labels(labels.clone(), params)
    second = transform.apply_image(image.clone(), params), transform.apply_labels(labels.clone(), params)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert params == kept, "applying must not change the parameters"


def test_shape_and_type_are_kept_and_values_finite(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    image, labels = batch(transform)
    image[0] = 0.5  # a constant patch has neither range nor deviation
    params = [draw(transform, seed) for seed in range(3)]
    moved, moved_labels = transform.apply_image(image, params), transform.apply_labels(labels, params)
    assert moved.shape == (3, 2, *geometry.patch_size_voxels)
    assert moved.dtype == torch.float32
    assert moved.isfinite().all()
    assert moved_labels.shape == (3, 2, *geometry.patch_size_voxels)
    assert moved_labels.dtype == torch.int16


def test_probability_one_does_something(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    image, labels = batch(transform)
    params = [draw(transform, seed) for seed in range(3)]
    still = transform.apply_image(image.clone(), [None] * 3)
    moved = transform.apply_image(image.clone(), params)
    previous = transform.apply_labels(labels.clone(), [None] * 3)[:, 1]
    spoilt = transform.apply_labels(labels.clone(), params)[:, 1]
    for index in range(3):
        assert not torch.allclose(moved[index], still[index]) or not torch.equal(spoilt[index], previous[index])


def test_samples_are_independent_of_each_other(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    image, labels = batch(transform)
    params = [draw(transform, 0), None, draw(transform, 2)]
    together = transform.apply_image(image.clone(), params), transform.apply_labels(labels.clone(), params)
    for index, drawn in enumerate(params):
        one = slice(index, index + 1)
        assert torch.equal(transform.apply_image(image[one].clone(), [drawn]), together[0][one])
        assert torch.equal(transform.apply_labels(labels[one].clone(), [drawn]), together[1][one])


def test_no_new_label_values(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    _, labels = batch(transform, 8)
    moved = transform.apply_labels(labels.clone(), [draw(transform, seed) for seed in range(8)])
    assert set(moved.unique().tolist()) <= set(labels.unique().tolist())


def test_image_and_labels_move_together(name: str, geometry: PatchGeometry) -> None:
    transform = build(name, geometry, 1.0)
    source = transform.source_size_voxels
    both = torch.zeros((6, 2, *source), dtype=torch.int8)
    both[(..., *(slice(edge // 3, edge // 2 + 1) for edge in source))] = 1  # away from the border and the outside
    params = [draw(transform, seed) for seed in range(6)]
    labels, moved = both[:, :1], transform.apply_labels(both.clone(), params)[:, :1]
    if moved.shape == labels.shape and torch.equal(moved, labels):
        return  # intensities only
    image = transform.apply_image(labels.float().expand(-1, 2, *labels.shape[2:]).clone(), params)
    # Both are the same linear interpolation of the same indicator: they may differ only where it is one half.
    clear = (image - 0.5).abs() > 1e-3
    assert clear.float().mean() > 0.9
    assert torch.equal((image > 0.5)[clear], (moved == 1).expand_as(image)[clear])
