"""Mirrored copies exchange the outputs of left and right, and the inputs that a cascade hands on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autoseg.core.errors import SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.inference.forward import Swap
from autoseg.inference.model_folder import read_model
from autoseg.inference.nnunet_export import export_nnunet
from autoseg.inference.predictor import Predictor
from autoseg.inference.runner import Runner
from autoseg.inference.sliding import gaussian_weights, predict_logits, window_starts
from autoseg.specs.case import CaseRecord
from autoseg.specs.laterality import Laterality
from autoseg.specs.model import Model

CHANNELS, HEADS = (0, 2, 1), (0, 2, 1)
SIDES = Laterality(axis=2, pairs=((1, 2),))
SPACE = LabelSpace.parse({"background": 0, "left": 1, "right": 2})


class Sides(nn.Module):
    """Calls what shines left in the first half of the last axis, right in the other, as a trained network does."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        bright, first = image[:, :1], torch.arange(image.shape[-1]) < image.shape[-1] // 2
        return torch.cat([1 - bright, bright * first, bright * ~first], 1)


def directional(dimensions: int = 3) -> nn.Module:
    torch.manual_seed(0)
    kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
    return kind(3, 3, 3, padding=1).eval()


@pytest.mark.parametrize("mirror_axes", [(2,), (0, 2), (0, 1, 2)])
def test_a_network_that_knows_its_sides_is_not_confused(mirror_axes: tuple[int, ...]) -> None:
    image = (torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    settings: dict[str, Any] = {"patch_size_voxels": (6, 8, 8)}
    alone = predict_logits([Sides()], image, **settings)
    network = Sides()
    swapped = predict_logits([network], image, mirror_axes=mirror_axes, swap=Swap(2, (0,), HEADS), **settings)
    assert network.passes == 2 ** len(mirror_axes)
    torch.testing.assert_close(swapped, alone)
    confused = predict_logits([Sides()], image, mirror_axes=mirror_axes, **settings)
    torch.testing.assert_close(confused[1], confused[2])


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_windows_equal_explicit_averages(batch: int | None) -> None:
    network, image = directional(), torch.randn(3, 8, 8, 11)
    found = predict_logits(
        [network],
        image,
        patch_size_voxels=(8, 8, 8),
        mirror_axes=(1, 2),
        swap=Swap(2, CHANNELS, HEADS),
        batch_windows=batch,
    )
    sums, totals = torch.zeros(3, 8, 8, 11), torch.zeros(8, 8, 11)
    weights = gaussian_weights((8, 8, 8))
    for x in window_starts(11, 8, 0.5):
        window = image[None, ..., x : x + 8]
        passes = []
        for axes in ((), (3,), (4,), (3, 4)):
            order = list(HEADS) if 4 in axes else [0, 1, 2]
            with torch.no_grad():
                passes.append(network(window.flip(axes)[:, order]).flip(axes)[0, order])
        sums[..., x : x + 8] += torch.stack(passes).mean(0) * weights
        totals[..., x : x + 8] += weights
    torch.testing.assert_close(found, sums / totals, atol=1e-5, rtol=1e-4)


def test_slices_are_mirrored_along_their_own_axes() -> None:
    network, image = directional(2), torch.randn(3, 5, 8, 8)
    settings: dict[str, Any] = {"patch_size_voxels": (8, 8), "mirror_axes": (0, 2)}
    found = predict_logits([network], image, swap=Swap(2, CHANNELS, HEADS), **settings)
    with torch.no_grad():
        slices = image.transpose(0, 1)
        passes = [network(slices), network(slices.flip(3)[:, list(CHANNELS)]).flip(3)[:, list(HEADS)]]
    torch.testing.assert_close(found, torch.stack(passes).mean(0).transpose(0, 1), atol=1e-5, rtol=1e-4)
    across = predict_logits([network], image, swap=Swap(0, CHANNELS, HEADS), **settings)
    torch.testing.assert_close(across, predict_logits([network], image, **settings))


class Echo(nn.Module):
    """Answers with what the previous stage said: channels 1 and 2."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([1 - image[:, 1:].sum(1, keepdim=True), image[:, 1:]], 1)


def test_a_cascade_hands_on_the_sides(make_model: Callable[..., Model], tmp_path: Path) -> None:
    model = make_model(tmp_path, "3d_lowres", cascade=True)
    configuration = model.members["3d_cascade_fullres"].configuration
    previous = torch.zeros(8, 8, 8, dtype=torch.int64)
    previous[2:4, 2:4, 1:3], previous[2:4, 2:4, 6:8] = 1, 2
    runner = Runner(SPACE, mirror_axes=(2,), step_size=0.5, device="cpu", precision="float32", laterality=SIDES)
    record = CaseRecord.model_construct()
    found = runner.logits([Echo()], configuration, torch.zeros(1, 8, 8, 8), record, previous.numpy())
    assert torch.equal(found.logits.argmax(0), previous)


def test_sides_that_the_labels_do_not_have_are_refused(make_model: Callable[..., Model], tmp_path: Path) -> None:
    configuration = make_model(tmp_path, "3d_fullres").members["3d_fullres"].configuration
    other = Laterality(axis=2, pairs=((1, 7),))
    runner = Runner(SPACE, mirror_axes=(2,), step_size=0.5, device="cpu", laterality=other)
    with pytest.raises(SpecError, match=r"3d_fullres cannot change places: predict with --disable-tta"):
        runner.logits([Sides()], configuration, torch.zeros(1, 8, 8, 8), CaseRecord.model_construct())
    kept = Runner(SPACE, mirror_axes=(0, 1), step_size=0.5, device="cpu", precision="float32", laterality=other)
    kept.logits([Sides()], configuration, torch.zeros(1, 8, 8, 8), CaseRecord.model_construct())


def test_the_model_folder_carries_them(make_model: Callable[..., Model], tmp_path: Path) -> None:
    plain = make_model(tmp_path, "3d_fullres")
    plain.model_copy(update={"laterality": SIDES}).save(tmp_path / "model.json")
    model = read_model(tmp_path)
    assert model.laterality == SIDES
    assert model.digest() != plain.digest()
    image, grid = torch.randn(1, 9, 12, 10).numpy(), Geometry((9, 12, 10), (1.0, 1.0, 1.0))
    logits = []
    for mirror in (True, False):
        predictor = Predictor.load(tmp_path, device="cpu", precision="float32", folds=("0",), mirror=mirror)
        assert predictor.runner.laterality == SIDES
        (found,) = predictor.logits(predictor.prepare(image, grid))
        logits.append(found.logits)
    assert not torch.allclose(*logits)


def test_nnunet_cannot_hold_them(make_model: Callable[..., Model], tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", "3d_fullres")
    model.model_copy(update={"laterality": SIDES}).save(tmp_path / "model" / "model.json")
    with pytest.raises(SpecError, match=r"nnU-Net cannot exchange the labels .* train with plan.laterality=drop"):
        export_nnunet(tmp_path / "model", tmp_path / "out")
