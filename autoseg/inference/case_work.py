"""Segment cases: read, compute, decide, write; by one process that overlaps them, or step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.devices.memory import keep_freed_memory
from autoseg.devices.select import limit_threads
from autoseg.inference.case_log import CaseLog
from autoseg.inference.conveyor import Finished, run_conveyor
from autoseg.inference.export import MemberLogits
from autoseg.inference.jobs import Job
from autoseg.inference.predictor import Predictor, PreparedCase
from autoseg.inference.probabilities import probabilities_folder, save_probabilities
from autoseg.inference.region import Story
from autoseg.inference.settings import CaseSettings
from autoseg.inference.within_memory import fit_jobs
from autoseg.io.images import write_label
from autoseg.io.raw import read_case


class CaseWork:
    """A loaded model and the three steps of every case.

    Args:
        settings: Model folder and settings.

    Raises:
        SpecError: Not a model folder, or a configuration or fold that the model does not have.
        CheckpointError: Missing or damaged weights.
    """

    def __init__(self, settings: CaseSettings) -> None:
        limit_threads(settings.threads)
        keep_freed_memory(frugal=True)
        self.settings = settings
        self.predictor = Predictor.load(
            settings.folder,
            device=settings.device,
            folds=settings.folds,
            configurations=settings.configurations,
            step_size=settings.step_size,
            mirror=settings.mirror,
            precision=settings.precision,
            postprocess=settings.postprocess,
            weights=settings.weights,
        )

    def prepare(self, job: Job) -> PreparedCase:
        """Read and preprocess.

        Raises:
            DatasetError: The images cannot be read.
        """
        image, geometry, _ = read_case(job.case, channels=self.predictor.model.channels)
        return self.predictor.prepare(image, geometry, case_id=job.case.case_id)

    def compute(self, case: PreparedCase) -> tuple[MemberLogits, ...]:
        """Run the networks."""
        return self.predictor.logits(case)

    def finish(self, job: Job, members: tuple[MemberLogits, ...]) -> Story | None:
        """Decide labels and write; the mask comes last, so that a case with a mask is complete.

        Returns:
            What a region-of-interest cascade did with the case.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        if self.settings.save_probabilities:
            for name, member in zip(self.predictor.final, members, strict=True):
                target = probabilities_folder(job.output.parent, job.case.case_id)
                save_probabilities(target, name, member, regions=self.predictor.space.is_regions)
        geometry = members[0].record.original.geometry()
        write_label(job.output, self.predictor.labels(members), geometry, like=job.case.images[0])
        return None if members[0].found is None else members[0].found.story


def segment_here(
    jobs: Sequence[Job], settings: CaseSettings, *, ahead: int, memory_limit: int | None = None
) -> Iterator[Finished[Job]]:
    """Segment in this process: while one case computes, `ahead` others are read and as many written.

    Args:
        jobs: Cases in their order.
        settings: Model folder and settings.
        ahead: Fewer where they do not fit the memory.
        memory_limit: Bytes; None keeps to what is free, and refuses nothing.

    Raises:
        BudgetError: A case does not fit the limit in any way.
        SpecError: Not a model folder, or a configuration or fold that the model does not have.
        CheckpointError: Missing or damaged weights.
        StorageError: The disk is full, or the folder cannot be written.
    """
    work = CaseWork(settings)
    keeps = settings.save_probabilities
    thrift = fit_jobs(work.predictor, jobs, ahead=ahead, limit=memory_limit, keeps_probabilities=keeps)
    log = CaseLog(jobs[0].output.parent)

    def finish(job: Job, members: tuple[MemberLogits, ...]) -> None:
        story = work.finish(job, members)
        if story is not None:
            log.write(job.case.case_id, story)

    return run_conveyor(jobs, prepare=work.prepare, compute=work.compute, finish=finish, ahead=thrift.ahead)
