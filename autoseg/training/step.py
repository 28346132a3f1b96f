"""One training step: what the loop moves, and how a batch moves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from autoseg.augment._pipeline import Pipeline
from autoseg.devices.memory import named_memory_errors
from autoseg.losses._partial import Annotated
from autoseg.training.checkpoint import TrainingState
from autoseg.training.distributed import ALONE, Share
from autoseg.training.loader import Batch, BatchLoader
from autoseg.training.objective import Objective, Outputs

GPU_CURE = (
    "end what else uses it and go on by the same command, or send batches in parts: --replan --set train.accumulate=2"
)
Judged = tuple[Outputs, torch.Tensor, Sequence[Annotated] | None]


@dataclass
class Parts:
    """Everything the loop moves, built by `autoseg.training.assembly`.

    Attributes:
        state: Network, optimiser, weight average, gradient scaler.
        forward: Runs that network, compiled where that pays.
        objective: Loss and counts from logits and labels.
        augment: Turns raw training patches into network input.
        centre_crop: The same without augmentation, for validation.
        train: Training batches.
        validation: Batches of the held-out cases.
        device: Where the network lives.
        precision: Autocast type; float32 is off.
        accumulate: Parts that a batch goes through the network in.
        share: Of each batch that this process takes.
        is_partly_annotated: Whether a case annotates some of the labels only.
    """

    state: TrainingState
    forward: Callable[[torch.Tensor], Outputs]
    objective: Objective
    augment: Pipeline
    centre_crop: Pipeline
    train: BatchLoader
    validation: BatchLoader
    device: torch.device
    precision: torch.dtype
    accumulate: int = 1
    share: Share = ALONE
    is_partly_annotated: bool = False

    def judged(self, outputs: Outputs, labels: torch.Tensor, annotated: Sequence[Annotated] | None) -> Judged:
        """What the objective sees: outputs and labels of all processes' samples, and the labels that they annotate."""
        share = self.share
        if share.world == 1:
            return outputs, labels, annotated
        size = self.train.batch_size
        if self.is_partly_annotated:
            every = share.gather_objects(annotated or (None,) * len(labels))
            annotated = None if set(every) == {None} else every
        return share.gather_outputs(outputs, size), share.gather(labels, size), annotated


def gradient_step(parts: Parts, batch: Batch, *, clip: float) -> float:
    """Augment, forward, backward, clip and step; returns the loss.

    A batch that goes through the network in parts holds the activations of one part at a time; the loss is the mean
    of the parts', which is that of the whole batch where it is a mean over samples, and no norm over the batch is used.

    Raises:
        BudgetError: The GPU's memory is full.
    """
    with named_memory_errors(parts.device, GPU_CURE):
        return _gradient_step(parts, batch, clip=clip)


def _gradient_step(parts: Parts, batch: Batch, *, clip: float) -> float:
    state = parts.state
    image, labels = parts.augment(*batch.on(parts.device), seeds=batch.seeds)
    state.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=parts.device)
    for rows, annotated in batch.split(parts.accumulate):
        with autocast(parts):
            outputs = parts.forward(image[rows])
        judged = parts.judged(outputs, labels[rows], annotated)
        loss = parts.objective.loss(*judged) * (len(image[rows]) / len(image))
        # torch leaves `backward` without types.
        scaled: Any = loss if state.scaler is None else state.scaler.scale(loss)
        scaled.backward()
        total += loss.detach()
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    parts.share.sum_gradients(parameters)
    if state.scaler is None:
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        state.optimizer.step()
    else:
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
    return float(total)


def autocast(parts: Parts) -> torch.autocast:
    """Autocast context of a run; float32 switches it off."""
    return torch.autocast(parts.device.type, dtype=parts.precision, enabled=parts.precision != torch.float32)
