"""`run.json`: one training, complete enough to be repeated and to be predicted with."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from autoseg.specs.document import Document, Section, without
from autoseg.specs.laterality import Laterality
from autoseg.specs.method import Method
from autoseg.specs.plan import Configuration


class Schedule(Section):
    """Length of the training, fixed before the first update; a time budget then corrects the number of epochs."""

    epochs: int
    """Epochs."""
    iterations_per_epoch: int
    """Updates per epoch."""
    validation_iterations: int
    """Validation batches per epoch."""
    time_budget_s: float | None = None
    """Time that the training loop fills."""
    seconds_per_step: float | None = None
    """Step time, measured beforehand, from which the epochs follow."""

    @property
    def updates(self) -> int:
        """All updates of the run."""
        return self.epochs * self.iterations_per_epoch


class Run(Document):
    """Plan configuration + method + fold + versions + seed."""

    dataset: str
    """Folder name of the data set."""
    fold: str
    """Number, or `all`."""
    seed: int
    """Seed of every draw."""
    train_fraction: float = 1.0
    """Share of the fold's training cases that `train_cases` is."""
    device: str
    """Device it started on."""
    precision: str
    """Autocast type: `float32` (none), `bfloat16` or `float16`."""
    plan: str
    """Digest of the plan."""
    configuration: Configuration
    """What is trained."""
    method: Method
    """With every override resolved."""
    schedule: Schedule
    """Length."""
    channels: tuple[str, ...]
    """Channel names."""
    labels: dict[str, int | tuple[int, ...]]
    """As in `dataset.json`."""
    regions_class_order: tuple[int, ...] | None
    """As in `dataset.json`."""
    mirror_axes: tuple[int, ...]
    """Axes mirrored in training."""
    laterality: Laterality | None = None
    """Labels that change places where left-right is mirrored; None for none."""
    train_cases: tuple[str, ...]
    """Case ids learned from."""
    val_cases: tuple[str, ...]
    """Case ids held out."""
    previous_labels: str | None = None
    """Cascade: digest of the previous stage's held-out labels of all these cases, on this configuration's grid."""
    versions: dict[str, str]
    """Package -> version."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Runs that exchange no labels agree with checkpoints from before there were others."""
        return without(handler(self), laterality=None)
