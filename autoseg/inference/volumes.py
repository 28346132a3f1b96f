"""Dice of whole held-out cases during training: what an epoch is judged by where a method asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from autoseg.core.labels import LabelSpace
from autoseg.inference.cascade import with_previous_labels
from autoseg.inference.sliding import predict_logits
from autoseg.metrics.dice import mean_per_region, region_dice
from autoseg.networks import context_voxels
from autoseg.specs.run import Run

Scores = dict[str, float | None]
"""Dice per target of one case."""


class WholeCase(Protocol):
    """A preprocessed case (`autoseg.io.case_store.StoredCase`)."""

    @property
    def annotated(self) -> tuple[str, ...] | None: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    def read_patch(
        self, start: Sequence[int], stop: Sequence[int]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.integer] | None]: ...


class VolumeValidation:
    """Sliding-window prediction of every held-out case on its stored grid, scored there.

    Nothing is resampled and nothing mirrored: the score steers a training, it is not the one that is reported. The
    method decides the window step.

    Args:
        run: What is trained.
        cases: Held out.
        device: Where the network is.
        gather: Joins what several processes found, each on cases of its own, in their order.
    """

    def __init__(
        self,
        run: Run,
        cases: Sequence[WholeCase],
        *,
        device: torch.device,
        gather: Callable[[Sequence[Scores]], Sequence[Scores]] = list,
    ) -> None:
        self.gather = gather
        self.run, self.cases, self.device = run, tuple(cases), device
        self.space = LabelSpace.parse(run.labels, run.regions_class_order)

    def __call__(self, network: nn.Module) -> dict[str, float | None]:
        """Mean over cases of the Dice of each target; None where no case has a score.

        Args:
            network: In evaluation mode, one output.
        """
        return mean_per_region(self.gather([self._dice(network, case) for case in self.cases]))

    def _dice(self, network: nn.Module, case: WholeCase) -> dict[str, float | None]:
        image, labels = case.read_patch((0, 0, 0), case.shape)
        if labels is None:
            return {}
        whole = torch.from_numpy(image.astype(np.float32, copy=False))
        values = self.run.configuration.previous_values(self.space)
        if values:
            # A cascade's case has a second map of labels (`autoseg.training.previous`).
            labels, previous = labels
            whole = with_previous_labels(whole, previous, values)
        network_of_run = self.run.configuration.network
        logits = predict_logits(
            (network,),
            whole,
            patch_size_voxels=self.run.configuration.window,
            context_voxels=context_voxels(network_of_run.name, network_of_run.options),
            step_size=self.run.method.predict.step_size,
            device=self.device,
            precision=self.run.precision,  # type: ignore[arg-type]
        )
        # Outside of the image's non-zero part (-1) there is background.
        found = region_dice(self._decide(logits), np.maximum(labels, 0), self.space)
        return {name: dice for name, dice in found.items() if case.annotated is None or name in case.annotated}

    def _decide(self, logits: torch.Tensor) -> npt.NDArray[np.int64]:
        """(heads, Z, Y, X) -> label values (Z, Y, X)."""
        values = self.space.head_values
        if not self.space.is_regions:
            chosen: npt.NDArray[Any] = np.asarray(values)[logits.argmax(dim=0).numpy()]
            return chosen
        labels = np.zeros(tuple(logits.shape[1:]), np.int64)
        for head, value in zip(logits, values, strict=True):
            labels[head.numpy() > 0] = value
        return labels
