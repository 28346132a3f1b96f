"""What to run from raw data to a model folder."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.training.settings import TrainingSettings


@dataclass(frozen=True)
class Options(TrainingSettings):
    """What to run from raw data to a model folder.

    Attributes:
        dataset: Folder name of the data set.
        configurations: Only these; empty means every planned one.
        folds: Numbers or `all`; empty means every fold.
        num_folds: Of the cross-validation; None keeps what is planned, or takes 5.
        workers: Processes for work on many cases; None is as many as pay.
        skip_bad_cases: Leave out and name training cases that cannot be used, instead of stopping.
        memory_limit: Bytes that all but training may hold; None keeps to what is free, and refuses nothing.
    """

    dataset: str
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    num_folds: int | None = None
    workers: int | None = None
    skip_bad_cases: bool = False
    memory_limit: int | None = None
