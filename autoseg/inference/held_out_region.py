"""Held-out cases of a region-of-interest cascade: from the raw images, the way that new images go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.core.workspace import Workspace
from autoseg.inference.case_log import CaseLog
from autoseg.inference.conveyor import Finished, run_conveyor
from autoseg.inference.export import Labels, MemberLogits, merged_labels_on_native_grid
from autoseg.inference.held_out import HeldOut
from autoseg.inference.model_folder import build_network
from autoseg.inference.next_stage import first_masks
from autoseg.inference.region import merge_found
from autoseg.inference.region_stage import RegionStage
from autoseg.inference.runner import RawImage
from autoseg.inference.within_memory import fit_region
from autoseg.io.images import read_label, write_label
from autoseg.io.raw import RawCase, RawDataset, read_case
from autoseg.specs.splits import Splits


def predict_in_regions(
    fold: HeldOut,
    case_ids: Sequence[str],
    workspace: Workspace,
    *,
    device: str = "auto",
    ahead: int = 1,
    memory_limit: int | None = None,
) -> Iterator[Finished[RawCase]]:
    """Write the masks of some held-out cases, and what happened to each.

    Args:
        fold: A finished training of the second stage.
        case_ids: Which.
        workspace: Holds the images, and the folds, which say what network of the first stage has not seen a case.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        ahead: Cases in reading, and in writing, at a time, where memory suffices.
        memory_limit: Bytes; None keeps to what is free, and refuses nothing.

    Raises:
        BudgetError: A case does not fit the limit in any way.
        CheckpointError: The weights are missing, damaged, or of another network.
        DatasetError: The first stage has no mask of a case.
    """
    run = fold.run
    splits = Splits.load(workspace.splits(run.dataset, run.method.name))
    masks = first_masks(fold.folder, run.configuration, splits, case_ids)
    raw, _ = RawDataset.scan(workspace.raw_dataset(run.dataset))
    cases = [case for case in raw.training if case.case_id in masks]
    network = build_network(run.configuration, channels=len(run.channels), space=fold.space, weights=fold.weights)
    runner = fold.runner(device)
    stage = RegionStage(run.configuration, runner.place([network]), runner)
    thrift = fit_region(
        runner,
        run.configuration,
        cases,
        channels=len(run.channels),
        ahead=ahead,
        limit=memory_limit,
        disk=fold.mask("").parent,
    )
    log = CaseLog(fold.mask("").parent)

    def prepare(case: RawCase) -> tuple[RawImage, Labels]:
        array, geometry, _ = read_case(case, channels=run.channels)
        return RawImage(array, geometry, case.case_id), read_label(masks[case.case_id])[0]

    def compute(prepared: tuple[RawImage, Labels]) -> MemberLogits:
        return stage.logits(*prepared)

    def finish(case: RawCase, member: MemberLogits) -> None:
        labels = merged_labels_on_native_grid([member], fold.space)
        geometry = member.record.original.geometry()
        if member.found is not None:
            merge_found(labels, member.found, fold.space, geometry.spacing_mm)
            log.write(case.case_id, member.found.story)
        write_label(fold.mask(case.case_id), labels, geometry)

    yield from run_conveyor(cases, prepare=prepare, compute=compute, finish=finish, ahead=thrift.ahead)
