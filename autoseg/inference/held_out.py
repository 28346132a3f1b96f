"""Predict stored cases that a training has not seen: the masks that cross-validation scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from autoseg.core.labels import LabelSpace
from autoseg.inference.cascade import PreviousLabels
from autoseg.inference.conveyor import Finished, run_conveyor
from autoseg.inference.export import Labels, MemberLogits, labels_on_native_grid
from autoseg.inference.model_folder import build_network
from autoseg.inference.next_stage import next_stage_folder
from autoseg.inference.predictor import Runner
from autoseg.inference.probabilities import probabilities_folder, save_probabilities
from autoseg.inference.within_memory import fit_stored
from autoseg.io.case_store import StoredCase
from autoseg.io.images import image_ending, write_label
from autoseg.io.label_store import StoredLabels
from autoseg.specs.plan import Configuration
from autoseg.specs.run import Run

WEIGHTS = "weights_final.safetensors"
"""What training leaves when it is complete."""
Writer = Callable[[str, Labels, MemberLogits], None]


def predict_cases(
    networks: Sequence[nn.Module],
    configuration: Configuration,
    cases: Sequence[StoredCase],
    *,
    runner: Runner,
    write: Writer,
    previous: Callable[[str], PreviousLabels] | None = None,
    ahead: int = 1,
) -> Iterator[Finished[StoredCase]]:
    """Segment preprocessed cases on their files' own grids.

    Args:
        networks: One per fold; anywhere and of any type, a copy is not made.
        configuration: Of the networks.
        cases: Stored with the configuration's preprocessing.
        runner: Device and settings; `runner.place` is left to the caller.
        write: Called with case id, labels (Z, Y, X) and logits, in a thread of its own.
        previous: Labels of the previous cascade stage by case id, on the configuration's grid.
        ahead: Cases in reading, and in writing, at a time.

    Yields:
        What became of each case, in order.
    """

    def prepare(case: StoredCase) -> tuple[StoredCase, torch.Tensor, PreviousLabels | None]:
        image, _ = case.read()
        earlier = None if previous is None else previous(case.case_id)
        return case, torch.from_numpy(image.astype(np.float32, copy=False)), earlier

    def compute(prepared: tuple[StoredCase, torch.Tensor, PreviousLabels | None]) -> MemberLogits:
        case, image, earlier = prepared
        return runner.logits(networks, configuration, image, case.record, earlier)

    def finish(case: StoredCase, member: MemberLogits) -> None:
        write(case.case_id, labels_on_native_grid(member.logits, member.record, runner.space, member.rule), member)

    yield from run_conveyor(cases, prepare=prepare, compute=compute, finish=finish, ahead=ahead)


class HeldOut:
    """The held-out cases of one finished training; masks go to `validation/` of its folder.

    Args:
        folder: Of the run.
        file_ending: Of the data set; masks take it where it can be written.
        probabilities: Also keep probabilities, which averages of several configurations are scored by.

    Raises:
        SpecError: There is no run.
    """

    def __init__(self, folder: Path, file_ending: str, *, probabilities: bool = False) -> None:
        self.folder = folder
        self.probabilities = probabilities
        self.run = Run.load(folder / "run.json")
        self.space = LabelSpace.parse(self.run.labels, self.run.regions_class_order)
        self.ending = image_ending(Path(f"mask{file_ending}")) or ".nii.gz"
        self.weights = folder / WEIGHTS

    def mask(self, case_id: str) -> Path:
        """Where a case's mask is."""
        return self.folder / "validation" / f"{case_id}{self.ending}"

    def waiting(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Case ids still to be predicted, and those whose mask (and probabilities) are newer than the weights."""
        trained = self.weights.stat().st_mtime_ns if self.weights.is_file() else math.inf
        cases = self.run.val_cases
        done = {
            case
            for case in cases
            if all(path.is_file() and path.stat().st_mtime_ns >= trained for path in self._files(case))
        }
        return tuple(case for case in cases if case not in done), tuple(case for case in cases if case in done)

    def predict(
        self,
        case_ids: Sequence[str],
        stored: Path,
        *,
        device: str = "auto",
        ahead: int = 1,
        memory_limit: int | None = None,
    ) -> Iterator[Finished[StoredCase]]:
        """Write the masks of some cases.

        Args:
            case_ids: Which.
            stored: Folder of the preprocessed cases.
            device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
            ahead: Cases in reading, and in writing, at a time, where memory suffices.
            memory_limit: Bytes; None keeps to what is free, and refuses nothing.

        Raises:
            CheckpointError: The weights are missing, damaged, or of another network.
            BudgetError: A case does not fit the limit in any way.
        """
        run = self.run
        network = build_network(run.configuration, channels=len(run.channels), space=self.space, weights=self.weights)
        runner = self.runner(device)
        earlier = None
        if run.configuration.previous_stage is not None:
            # Those that training used, whose digest is in `run.json`.
            earlier = next_stage_folder(self.folder.parents[1] / run.configuration.previous_stage, run.configuration)
        cases, networks = [StoredCase(stored, case_id) for case_id in case_ids], runner.place([network])
        thrift = fit_stored(
            runner,
            run.configuration,
            [case.record for case in cases],
            channels=len(run.channels),
            ahead=ahead,
            limit=memory_limit,
            disk=self.mask("").parent,
            keeps_probabilities=self.probabilities,
        )
        return predict_cases(
            networks,
            run.configuration,
            cases,
            runner=runner,
            write=self._write,
            previous=None if earlier is None else lambda case_id: StoredLabels(earlier, case_id).read(),
            ahead=thrift.ahead,
        )

    def runner(self, device: str) -> Runner:
        """Settings of the run's prediction: those of its method; a first stage has those of its second's region."""
        run, choices = self.run, self.run.method.predict
        mirror, step_size = choices.mirror, choices.step_size
        region = run.method.plan.region
        if region is not None and run.configuration.region is None:
            mirror, step_size = region.mirror, region.step_size
        axes = run.mirror_axes if mirror else ()
        return Runner(self.space, mirror_axes=axes, laterality=run.laterality, step_size=step_size, device=device)

    def _files(self, case_id: str) -> tuple[Path, ...]:
        mask, name = self.mask(case_id), self.run.configuration.name
        return (mask, probabilities_folder(mask.parent, case_id) / f"{name}.b2nd") if self.probabilities else (mask,)

    def _write(self, case_id: str, labels: Labels, member: MemberLogits) -> None:
        if self.probabilities:
            folder = probabilities_folder(self.mask(case_id).parent, case_id)
            save_probabilities(folder, self.run.configuration.name, member, regions=self.space.is_regions)
        write_label(self.mask(case_id), labels, member.record.original.geometry())
