"""Windows, weights, averaged logits and masks equal nnU-Net v2's (`tests/golden/make_inference.py`)."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.inference.export import labels_on_native_grid
from autoseg.inference.sliding import gaussian_weights, predict_logits, window_starts
from autoseg.specs.case import CaseRecord, Grid
from autoseg.specs.plan import Resampling

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "inference.json").read_text())
CLASSES = LabelSpace(("a", "b", "c"), ((1,), (2,), (3,)))
REGIONS = LabelSpace(("whole", "core"), ((1, 2), (2,)), None, (1, 2))


def smooth_logits(heads: int, shape: tuple[int, int, int], seed: int) -> npt.NDArray[np.float32]:
    coarse = np.random.default_rng(seed).normal(size=(heads, 4, 5, 6))
    for axis, size in enumerate(shape, start=1):
        place = np.linspace(0, coarse.shape[axis] - 1, size)
        low = np.minimum(place.astype(int), coarse.shape[axis] - 2)
        weight = (place - low).reshape([-1 if other == axis else 1 for other in range(4)])
        coarse = coarse.take(low, axis) * (1 - weight) + coarse.take(low + 1, axis) * weight
    return (5 * coarse).astype(np.float32)


@pytest.mark.parametrize(("size", "patch", "step", "expected"), GOLDEN["steps"])
def test_windows_start_where_they_do_there(size: int, patch: int, step: float, expected: list[int]) -> None:
    assert window_starts(size, patch, step) == tuple(expected)


def test_weights_are_theirs() -> None:
    weights = gaussian_weights((16, 24, 20))[::5, ::6, ::5].numpy().ravel()
    np.testing.assert_allclose(weights, GOLDEN["gaussian"], rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("half_sums", [False, True])
def test_averaged_logits_are_theirs(half_sums: bool) -> None:
    generator = np.random.default_rng(3)
    network = torch.nn.Conv3d(2, 3, 3, padding=1)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(generator.normal(size=(3, 2, 3, 3, 3))))
        network.bias.copy_(torch.from_numpy(generator.normal(size=3)))
    image = torch.from_numpy(generator.normal(size=(2, 13, 5, 19)).astype(np.float32))
    settings = {"patch_size_voxels": (8, 8, 8), "mirror_axes": (0, 2), "half_sums": half_sums}
    logits = predict_logits([network.eval()], image, **settings)
    difference = np.abs(logits[:, ::3, ::2, ::3].numpy().ravel() - GOLDEN["sliding"]["sample"])
    if half_sums:
        assert difference.max() < 1e-4, "theirs are written with four digits"
        return
    # Their sums are float16: equal to its rounding, save in the volume's corners, where the weights are so small that
    # their products keep only a few steps.
    assert (difference < 0.03).mean() > 0.97
    assert difference.max() < 0.2


@pytest.mark.parametrize("case", GOLDEN["exports"])
def test_masks_are_theirs(case: dict[str, Any]) -> None:
    space = REGIONS if case["regions"] else CLASSES
    cropped, start = case["cropped"], case["start"]
    record = CaseRecord(
        case_id="case",
        original=Grid.of(Geometry(tuple(case["shape"]), (1.0, 1.0, 1.0))),
        orient_axes=(0, 1, 2),
        orient_flips=(False, False, False),
        transpose=tuple(case["transpose"]),
        transposed_shape_voxels=tuple(case["full"]),
        crop_start_voxels=tuple(start),
        crop_stop_voxels=tuple(first + size for first, size in zip(start, cropped, strict=True)),
        cropped_spacing_mm=tuple(case["native"]),
        spacing_mm=tuple(case["spacing"]),
        shape_voxels=tuple(case["stored"]),
    )
    logits = torch.from_numpy(smooth_logits(space.heads, record.shape_voxels, 7))
    labels = labels_on_native_grid(logits, record, space, Resampling())
    expected = np.frombuffer(zlib.decompress(base64.b64decode(case["labels"])), np.uint8).reshape(case["shape"])
    assert len(np.unique(expected)) > 2
    assert (labels == expected).mean() >= 0.9999
