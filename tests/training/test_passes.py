"""Epochs that are passes over the data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from tiny import configuration

from autoseg.core.labels import LabelSpace
from autoseg.specs.document import Component
from autoseg.specs.method import TrainChoices
from autoseg.training.assembly import Recipe
from autoseg.training.passes import in_passes
from autoseg.training.schedule import schedule_from_epochs


@dataclass(frozen=True)
class Case:
    shape: tuple[int, int, int]
    locations: dict[str, object] = field(default_factory=dict)


TRAIN, HELD_OUT = (Case((7, 8, 8)), Case((4, 8, 8))), (Case((3, 8, 8)),)


def recipe(patch: tuple[int, ...], batch: int, **train: object) -> Recipe:
    sized = configuration(len(patch)).model_copy(update={"patch_size_voxels": patch, "batch_size": batch})
    space = LabelSpace.parse({"background": 0, "a": 1})
    return Recipe(sized, TrainChoices(**train), space, 1, (), 0, torch.device("cpu"), torch.float32)


def lengths(given: Recipe, **asked: int) -> tuple[int, int]:
    train = in_passes(given, train_cases=TRAIN, val_cases=HELD_OUT)
    schedule = schedule_from_epochs(train, epochs=None, iterations_per_epoch=asked.get("iterations"))
    return schedule.iterations_per_epoch, schedule.validation_iterations


def test_an_epoch_is_every_slice_once() -> None:
    slices = recipe((8, 8), 4, epoch="pass", sampler=Component(name="slices"))
    assert lengths(slices) == (3, 1)
    assert lengths(recipe((8, 8), 1, epoch="pass", sampler=Component(name="slices"))) == (11, 3)
    assert lengths(slices, iterations=2) == (2, 1), "what is asked for on the command line holds"


def test_samplers_that_draw_see_every_case_once() -> None:
    assert lengths(recipe((8, 8, 8), 1, epoch="pass")) == (2, 1)


def test_whole_cases_leave_few_patches_to_judge_by() -> None:
    sampler = Component(name="slices")
    whole = recipe((8, 8), 1, epoch="pass", sampler=sampler, validation="volumes", validation_iterations=9)
    assert lengths(whole) == (11, 2)


def test_counted_updates_stay() -> None:
    given = recipe((8, 8), 4)
    assert in_passes(given, train_cases=TRAIN, val_cases=HELD_OUT) is given.train
    assert lengths(replace(given, train=TrainChoices(iterations_per_epoch=30))) == (30, 6)
