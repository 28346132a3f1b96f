"""`plan`: fingerprint and method -> plan.json and splits.json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.core.registry import nearest
from autoseg.core.workers import default_workers
from autoseg.core.workspace import Workspace
from autoseg.devices.budget import DeviceBudget, measure_device
from autoseg.inference.organ_model import check_organ_model
from autoseg.io.raw import RawDataset
from autoseg.planning.compare import changes
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.planning.region import NO_FACTS, OrganFacts, find_organ
from autoseg.planning.splits import FOLDS, chosen_folds, leaks, make_splits, read_splits
from autoseg.preprocessing.extent import organ_extents_mm
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import read_values
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.method import Method
from autoseg.specs.model import MODEL_FILE, Model
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
        num_folds: Of the cross-validation; None keeps what is there, or takes 5.
    """

    dataset: str
    method: str = "autoseg"
    configurations: tuple[str, ...] | None = None
    overrides: tuple[str, ...] = ()
    device: str = "auto"
    replan: bool = False
    num_folds: int | None = None


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
    organ = _organ_facts(method, dataset, fingerprint, workspace.raw_dataset(options.dataset))
    plan = make_plan(dataset, fingerprint, method, device=device, organ=organ)
    kept, is_new = _kept(workspace.plan(options.dataset, method.name), plan, method, replan=options.replan)
    _require(kept, options.configurations)
    path = workspace.splits(options.dataset, method.name)
    splits = _splits(options, workspace, dataset, fingerprint, path)
    if is_new:
        kept.save(workspace.plan(options.dataset, method.name))
    _write_splits(path, splits, replan=options.replan)
    return kept


def _organ_facts(method: Method, dataset: Dataset, fingerprint: Fingerprint, raw: Path) -> OrganFacts:
    """Labels of the model that is to find the organ, and the organ's size in the references.

    Raises:
        SpecError: The model or a label does not exist, or the model cannot be a first stage for these images.
    """
    choices = method.plan.region
    if choices is None:
        return NO_FACTS
    model = None
    if choices.model is not None:
        found = Model.load(Path(choices.model) / MODEL_FILE)
        check_organ_model(found, choices.model, channels=len(dataset.channels()))
        model = LabelSpace.parse(found.labels, found.regions_class_order)
    organ = find_organ(choices.labels, dataset.label_space(), fingerprint)
    usable = {case.case_id for case in fingerprint.cases}
    cases = RawDataset.scan(raw)[0].training
    masks = [case.label for case in cases if case.label is not None and case.case_id in usable]
    orientation = method.plan.orientation
    extents = organ_extents_mm(masks, organ.values, orientation=orientation, workers=default_workers())
    return OrganFacts(extents, model)


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


def _splits(options: Options, workspace: Workspace, dataset: Dataset, fingerprint: Fingerprint, path: Path) -> Splits:
    """The user's folds if there are any, else our own.

    Raises:
        SpecError: The raw and the prepared folder hold folds that differ, or another number than is wanted.
    """
    name, wanted = options.dataset, options.num_folds
    case_ids = [case.case_id for case in fingerprint.cases]
    given = [
        path
        for path in (workspace.prepared(name) / PEER_SPLITS, workspace.raw_dataset(name) / PEER_SPLITS)
        if path.is_file()
    ]
    if not given:
        if wanted is None and path.is_file() and not options.replan:
            wanted = chosen_folds(Splits.load(path))
        splits = make_splits(case_ids, dataset.provenance, folds=FOLDS if wanted is None else wanted)
        if len(splits.folds) < (wanted or FOLDS):
            logger.warning("%s: only %d fold(s): %s", name, len(splits.folds), splits.origin)
        return splits
    left_out = fingerprint.quarantined
    parsed = [read_splits(read_values(path), PEER_SPLITS, case_ids, left_out=left_out) for path in given]
    if len(parsed) == 2 and parsed[0].folds[: len(parsed[1].folds)] != parsed[1].folds:
        raise SpecError(f"{given[0]} and {given[1]} differ", "remove the one that is wrong")
    if wanted not in (None, len(parsed[0].folds)):
        raise SpecError(
            f"{given[0]} has {len(parsed[0].folds)} folds, not {wanted}", "change it, or leave --num-folds out"
        )
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
