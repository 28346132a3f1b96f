"""`plan`: fingerprint and method -> plan.json and splits.json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.core.workspace import Workspace
from autoseg.devices.budget import DeviceBudget, measure_device
from autoseg.planning.compare import changes
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.planning.splits import leaks, make_splits, read_splits
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import read_values
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.method import Method
from autoseg.specs.plan import Plan
from autoseg.specs.splits import Splits

logger = logging.getLogger(__name__)

PEER_SPLITS = "splits_final.json"
"""nnU-Net v2's name of the file; one in the raw or the prepared folder is used."""


@dataclass(frozen=True)
class Options:
    """What to plan.

    Attributes:
        dataset: Folder name of the data set.
        method: Name or file.
        configurations: That must come out of it; None asks for nothing in particular.
        overrides: `section.key=value` settings.
        device: That the plan is made for: `auto`, `cpu`, `cuda` or `cuda:1`.
        replan: Replace a plan that differs.
    """

    dataset: str
    method: str = "autoseg"
    configurations: tuple[str, ...] | None = None
    overrides: tuple[str, ...] = ()
    device: str = "auto"
    replan: bool = False


def run(options: Options, workspace: Workspace) -> Plan:
    """Plan the data set; an equal plan is kept, a differing one only replaced on request.

    Returns:
        The plan on disk.

    Raises:
        SpecError: No fingerprint yet, another plan is there and `replan` is off, or a wanted configuration does not
            come out of the data.
    """
    method = load_method(options.method, options.overrides)
    dataset = Dataset.load(workspace.raw_dataset(options.dataset) / "dataset.json")
    path = workspace.fingerprint(options.dataset)
    if not path.is_file():
        raise SpecError(f"{options.dataset} has no fingerprint", f"run autoseg fingerprint -d {options.dataset} first")
    fingerprint = Fingerprint.load(path)
    device: DeviceBudget | None = measure_device(options.device) if method.plan.budget == "device" else None
    plan = make_plan(dataset, fingerprint, method, device=device)
    kept, is_new = _kept(workspace.plan(options.dataset, method.name), plan, method, replan=options.replan)
    _require(kept, options.configurations)
    splits = _splits(options.dataset, workspace, dataset, fingerprint)
    if is_new:
        kept.save(workspace.plan(options.dataset, method.name))
    _write_splits(workspace.splits(options.dataset, method.name), splits, replan=options.replan)
    return kept


def _require(plan: Plan, wanted: Sequence[str] | None) -> None:
    for name in wanted or ():
        if name not in plan.configurations:
            reasons = [f"{one.value}, {one.reason}" for one in plan.decisions if one.topic == name]
            cure = reasons[0] if reasons else nearest(name, plan.configurations)
            raise SpecError(f"the plan of {plan.dataset} has no configuration '{name}'", cure)


def _kept(path: Path, plan: Plan, method: Method, *, replan: bool) -> tuple[Plan, bool]:
    """The plan on disk, or the new one and that it is to be written.

    Raises:
        SpecError: They differ and `replan` is off.
    """
    if not path.is_file():
        return plan, True
    existing = Plan.load(path)
    found = changes(existing, plan)
    if not found:
        return existing, False
    if replan:
        return plan, True
    same_inputs = existing.fingerprint == plan.fingerprint and existing.method_digest == plan.method_digest
    if same_inputs and method.plan.budget == "device":
        # A plan made on a machine with a GPU stays good when a later step runs without one.
        logger.info("%s was made for another device (%s); --replan fits it to this one", path, found[0])
        return existing, False
    raise SpecError(
        f"{path} was made from other data or settings ({'; '.join(found[:4])})",
        "give --replan to replace it (runs made with it must then be trained again)",
    )


def _splits(name: str, workspace: Workspace, dataset: Dataset, fingerprint: Fingerprint) -> Splits:
    """The user's folds if there are any, else our own.

    Raises:
        SpecError: The raw and the prepared folder hold folds that differ.
    """
    case_ids = [case.case_id for case in fingerprint.cases]
    given = [
        path
        for path in (workspace.prepared(name) / PEER_SPLITS, workspace.raw_dataset(name) / PEER_SPLITS)
        if path.is_file()
    ]
    if not given:
        splits = make_splits(case_ids, dataset.provenance)
        if len(splits.folds) < 5:
            logger.warning("%s: only %d fold(s): %s", name, len(splits.folds), splits.origin)
        return splits
    left_out = fingerprint.quarantined
    parsed = [read_splits(read_values(path), PEER_SPLITS, case_ids, left_out=left_out) for path in given]
    if len(parsed) == 2 and parsed[0].folds[: len(parsed[1].folds)] != parsed[1].folds:
        raise SpecError(f"{given[0]} and {given[1]} differ", "remove the one that is wrong")
    for line in leaks(parsed[0], dataset.provenance):
        logger.warning("%s: %s", given[0], line)
    return parsed[0]


def _write_splits(path: Path, splits: Splits, *, replan: bool) -> None:
    if path.is_file():
        existing = Splits.load(path)
        if existing.folds == splits.folds:
            return
        if not replan:
            raise SpecError(
                f"{path} holds other folds than {splits.origin} gives now", "give --replan, and train all folds again"
            )
    splits.save(path)
