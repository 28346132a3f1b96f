"""Live parts of a planned and preprocessed fold, as `autoseg train` builds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace
from autoseg.devices.precision import torch_dtype
from autoseg.devices.select import select_device
from autoseg.io.case_store import StoredCase
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.method import Method
from autoseg.specs.plan import Configuration, Plan
from autoseg.specs.splits import Splits
from autoseg.training.assembly import Recipe, assemble
from autoseg.training.distributed import ALONE, Share
from autoseg.training.step import Parts

CONFIGURATION = "3d_fullres"


def planned_parts(
    workspace: Workspace,
    dataset: str,
    method: Method,
    *,
    precision: str,
    device: str = "cpu",
    fold: str = "0",
    share: Share = ALONE,
    changes: Mapping[str, Any] | None = None,
) -> tuple[Parts, Configuration]:
    """What is trained, with seed 0.

    Args:
        workspace: Holds the planned and preprocessed data set.
        dataset: Its folder name.
        method: That it was planned by.
        precision: Type of autocast.
        device: Where to train.
        fold: Of the cross-validation.
        share: Of each batch.
        changes: Fields of the planned configuration that are to be others.

    Returns:
        The parts, and the configuration with the changes.
    """
    plan = Plan.load(workspace.plan(dataset, method.name))
    planned = plan.configuration(CONFIGURATION)
    folder = workspace.cases(dataset, cases_digest(planned.preprocessing))
    cases = Splits.load(workspace.splits(dataset, method.name)).fold(fold)
    configuration = planned.model_copy(update=dict(changes or {}))
    recipe = Recipe(
        configuration=configuration,
        train=method.train,
        space=LabelSpace.parse(plan.labels, plan.regions_class_order),
        channels=len(plan.channels),
        mirror_axes=plan.mirror_axes,
        seed=0,
        device=select_device(device),
        precision=torch_dtype(precision),
        share=share,
    )
    train, held_out = ([StoredCase(folder, name) for name in names] for names in (cases.train, cases.val))
    return assemble(recipe, train_cases=train, val_cases=held_out), configuration
