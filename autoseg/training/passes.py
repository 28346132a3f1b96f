"""Epochs that are passes over the data, where a method counts them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoseg.sampling import samplers
from autoseg.specs.method import TrainChoices
from autoseg.training.loader import CaseReader, PlacingSampler

if TYPE_CHECKING:
    from autoseg.training.assembly import Recipe


def in_passes(recipe: Recipe, *, train_cases: Sequence[CaseReader], val_cases: Sequence[CaseReader]) -> TrainChoices:
    """The method's choices with updates and validation batches per epoch for this data; as they are if it says so.

    An update takes a batch: a pass ends with the batch that holds the last patch. Epochs that are judged by patches
    see all held-out ones, too.

    Args:
        recipe: Configuration and choices.
        train_cases: Of the fold.
        val_cases: Held out.
    """
    train = recipe.train
    if train.epoch == "iterations":
        return train
    update = {"iterations_per_epoch": _batches(recipe, train_cases)}
    if train.validation == "patches":
        update["validation_iterations"] = _batches(recipe, val_cases)
    return train.model_copy(update=update)


def _batches(recipe: Recipe, cases: Sequence[CaseReader]) -> int:
    """Batches of a pass; samplers that only draw see every case once."""
    configuration, choice = recipe.configuration, recipe.train.sampler
    size = (1,) * (3 - configuration.dimensions) + configuration.patch_size_voxels
    sampler = samplers.build(choice.name, choice.options, patch_size_voxels=size, source_size_voxels=size)
    patches = sampler.per_pass(cases) if isinstance(sampler, PlacingSampler) else len(cases)
    return max(1, -(-patches // configuration.batch_size))
