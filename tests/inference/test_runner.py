"""One network over one case, by the configuration's own window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from autoseg.core.labels import LabelSpace
from autoseg.inference.runner import Runner
from autoseg.specs.case import CaseRecord
from autoseg.specs.model import Model


class Sizes(nn.Module):
    """Two constant heads; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.add(tuple(image.shape[2:]))
        return torch.stack((torch.zeros_like(image[:, 0]), torch.ones_like(image[:, 0])), 1)


def test_the_window_may_be_larger_than_the_patch(make_model: Callable[..., Model], tmp_path: Path) -> None:
    configuration = make_model(tmp_path, "3d_fullres").members["3d_fullres"].configuration
    runner = Runner(LabelSpace.parse({"background": 0, "a": 1}), mirror_axes=(), step_size=0.5, device="cpu")
    image, record = torch.zeros(1, 24, 24, 24), CaseRecord.model_construct()
    for window in (None, (16, 24, 8)):
        network = Sizes()
        wide = configuration.model_copy(update={"window_size_voxels": window})
        found = runner.logits([network], wide, image, record)
        assert network.seen == {window or configuration.patch_size_voxels}
        assert found.logits.shape == (2, 24, 24, 24)
