"""A tiny model folder and images to predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small import small_configuration

from autoseg.core.geometry import Geometry
from autoseg.inference.model_folder import write_model_folder
from autoseg.io.images import write_image
from autoseg.networks import networks
from autoseg.specs.method import PredictChoices
from autoseg.specs.model import Member, Model
from autoseg.specs.plan import Configuration


def configuration(name: str, *, spacing_mm: float = 1.0, previous_stage: str | None = None) -> Configuration:
    return small_configuration(
        name,
        (8,) * (2 if name == "2d" else 3),
        features=(4, 6),
        median=(12, 12, 12),
        preprocessing={"orientation": "canonical", "transpose": (1, 0, 2), "spacing_mm": (spacing_mm,) * 3},
        previous_stage=previous_stage,
    )


def state(chosen: Configuration, seed: int, *, heads: int = 3, channels: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = networks.build("plain_unet", {}, topology=chosen.topology, channels=channels, heads=heads)
    return {name: tensor.detach() for name, tensor in network.state_dict().items()}


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Write a model folder: `make_model(folder, "2d", "3d_fullres")`; each configuration has folds 0 and 1."""

    def make(folder: Path, *names: str, cascade: bool = False) -> Model:
        chosen = [configuration(name, spacing_mm=1.5 if name == "3d_lowres" else 1.0) for name in names]
        if cascade:
            chosen.append(configuration("3d_cascade_fullres", previous_stage="3d_lowres"))
        model = Model(
            dataset="Dataset900_Tiny",
            method="test",
            channels=("MR",),
            labels={"background": 0, "first": 1, "second": 2},
            regions_class_order=None,
            file_ending=".nii.gz",
            mirror_axes=(0, 2),
            predict=PredictChoices(),
            members={each.name: Member(configuration=each, weights={}, sha256={}) for each in chosen},
            selected=("3d_cascade_fullres",) if cascade else names,
            selection_reason="told so",
            training_cases=2,
        )
        weights = {
            each.name: {str(fold): state(each, fold, channels=3 if each.previous_stage else 1) for fold in (0, 1)}
            for each in chosen
        }
        return write_model_folder(folder, model, weights)

    return make


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of different formats and grids."""
    folder = tmp_path / "images"
    generator = np.random.default_rng(0)
    direction = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
    for name, shape in (("a_0000.nii.gz", (9, 12, 10)), ("b_0000.nrrd", (11, 8, 13)), ("c_0000.nii", (7, 9, 9))):
        array = generator.normal(size=(1, *shape)).astype(np.float32)
        write_image(folder / name, array, Geometry(shape, (1.0, 1.2, 0.9), (5.0, -3.0, 2.0), direction))
    return folder
