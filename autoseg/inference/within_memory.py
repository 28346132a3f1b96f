"""Choose how sparingly cases are segmented so that they stay within a limit, and say so before the first is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from autoseg.core.errors import AutosegError
from autoseg.devices.limit import MemoryLimit, base_bytes
from autoseg.inference.forward import CPU_PLANAR_WINDOWS, DTYPES, cpu_passes
from autoseg.inference.jobs import Job
from autoseg.inference.memory import Demand, Machine, Pass, Work, peak
from autoseg.inference.predictor import Predictor, Runner
from autoseg.inference.thrift import Thrift
from autoseg.io.raw import RawCase
from autoseg.io.stored_size import CaseSize, case_size
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Configuration

Demands = Callable[[Thrift], Sequence[Demand]]
WIDE_LABELS = 256
"""Label values from here on take two bytes per voxel."""


def fit_jobs(
    predictor: Predictor, jobs: Sequence[Job], *, ahead: int, limit: int | None, keeps_probabilities: bool = False
) -> Thrift:
    """Set how sparingly a loaded model works, for images that are read from their files.

    Args:
        predictor: Its runners take over what is chosen.
        jobs: Cases in their order; those whose headers cannot be read are left to the reader's error.
        ahead: Cases read, and written, beside the one in work, where memory suffices.
        limit: Bytes; None keeps to what is free, and refuses nothing.
        keeps_probabilities: Whether they are written too.

    Raises:
        BudgetError: A case does not fit the limit in any way.
    """
    runners = [predictor.runner, *([] if predictor.first is None else [predictor.first.runner])]
    work = work_of(predictor, keeps_probabilities=keeps_probabilities)
    return _fit_files(work, runners, [job.case for job in jobs], ahead=ahead, limit=limit, disk=jobs[0].output.parent)


def fit_region(
    runner: Runner,
    configuration: Configuration,
    cases: Sequence[RawCase],
    *,
    channels: int,
    ahead: int,
    limit: int | None,
    disk: Path,
) -> Thrift:
    """As `fit_jobs`, for the second stage of a region-of-interest cascade alone.

    Args:
        runner: Takes over what is chosen.
        configuration: Of the second stage.
        cases: In their order.
        channels: Of the image.
        ahead: As in `fit_jobs`.
        limit: As in `fit_jobs`.
        disk: Folder for logits.

    Raises:
        BudgetError: A case does not fit the limit in any way.
    """
    only = _pass_of(configuration, runner, channels=channels)
    work = Work((only,), 1, channels, _label_bytes([runner]), in_region=True)
    return _fit_files(work, [runner], cases, ahead=ahead, limit=limit, disk=disk)


def fit_stored(
    runner: Runner,
    configuration: Configuration,
    records: Sequence[CaseRecord],
    *,
    channels: int,
    ahead: int,
    limit: int | None,
    disk: Path,
    keeps_probabilities: bool = False,
) -> Thrift:
    """As `fit_jobs`, for cases that were preprocessed before.

    Args:
        runner: Takes over what is chosen.
        configuration: Of the networks.
        records: Of the cases.
        channels: Of the image.
        ahead: As in `fit_jobs`.
        limit: As in `fit_jobs`.
        disk: Folder for logits.
        keeps_probabilities: As in `fit_jobs`.

    Raises:
        BudgetError: A case does not fit the limit in any way.
    """
    only = _pass_of(configuration, runner, channels=channels)
    work = Work((only,), 1, channels, _label_bytes([runner]), keeps_probabilities=keeps_probabilities)

    def demands(thrift: Thrift) -> list[Demand]:
        return [work.stored_demand(record, thrift) for record in records]

    return _choose(demands, [runner], ahead=ahead, limit=limit, disk=disk)


def work_of(predictor: Predictor, *, keeps_probabilities: bool = False) -> Work:
    """What a loaded model does with every case."""
    first = predictor.first
    members = [(member, predictor.runner) for member in predictor.members]
    if first is not None:
        members = [*((member, first.runner) for member in first.members), *members]
    channels = len(predictor.model.channels)
    passes = tuple(_pass_of(member.configuration, runner, channels=channels) for member, runner in members)
    return Work(
        passes,
        len(predictor.final),
        channels,
        _label_bytes([runner for _, runner in members]),
        keeps_probabilities=keeps_probabilities,
        cleans=bool(predictor.steps),
        in_region=first is not None,
    )


def _pass_of(configuration: Configuration, runner: Runner, *, channels: int) -> Pass:
    import torch

    machine = Machine(
        on_cpu=runner.device.type == "cpu",
        bytes_each=DTYPES[runner.precision].itemsize,
        passes=cpu_passes(),
        threads=torch.get_num_threads(),
        planar_windows=CPU_PLANAR_WINDOWS,
    )
    extra = len(configuration.previous_values(runner.space))
    return Pass(configuration, channels=channels, heads=runner.space.heads, extra_channels=extra, machine=machine)


def _label_bytes(runners: Sequence[Runner]) -> int:
    """Per voxel of a mask."""
    highest = max(max((0, *runner.space.head_values)) for runner in runners)
    return 2 if highest >= WIDE_LABELS else 1


def _fit_files(
    work: Work,
    runners: Sequence[Runner],
    cases: Sequence[RawCase],
    *,
    ahead: int,
    limit: int | None,
    disk: Path,
) -> Thrift:
    sizes: dict[str, CaseSize] = {}
    for case in cases:
        with contextlib.suppress(AutosegError, OSError):
            size = case_size(case.images)
            work.demand(case.case_id, size, Thrift())
            sizes[case.case_id] = size

    def demands(thrift: Thrift) -> list[Demand]:
        return [work.demand(case_id, size, thrift) for case_id, size in sizes.items()]

    return _choose(demands, runners, ahead=ahead, limit=limit, disk=disk)


def _choose(demands: Demands, runners: Sequence[Runner], *, ahead: int, limit: int | None, disk: Path) -> Thrift:
    """The first that fits of ever leaner ways; the leanest where none does and nobody set the limit."""
    base, allowed = base_bytes(), MemoryLimit.of(limit)
    chosen, found = Thrift(ahead), demands(Thrift(ahead))
    if not found:
        return chosen
    for chosen in Thrift(min(ahead, len(found) - 1)).leaner(disk=disk, passes=cpu_passes()):
        found = demands(chosen)
        if base + peak(found, chosen) <= allowed.size:
            break
    largest = max(found, key=lambda each: each.most)
    allowed.tell(base + peak(found, chosen), str(chosen), case_id=largest.case_id)
    for runner in runners:
        runner.thrift = chosen
    return chosen
