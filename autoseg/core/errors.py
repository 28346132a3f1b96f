"""Errors a user can act on; the command line prints them as one line and exits with code 2."""


class AutosegError(Exception):
    """Base of every error that names its cause and its cure.

    Args:
        problem: What was found, naming the file, case or field.
        cure: What to do about it, one imperative clause; empty when the problem says it all.
    """

    def __init__(self, problem: str, cure: str = "") -> None:
        self.problem = problem
        self.cure = cure
        super().__init__(problem, cure)

    def __str__(self) -> str:
        return f"{self.problem}: {self.cure}" if self.cure else self.problem


class SpecError(AutosegError):
    """A document (JSON or TOML) or an option does not say what it must."""


class DatasetError(AutosegError):
    """Raw data are missing, unreadable or contradict their `dataset.json`."""

    def __init__(self, problem: str, cure: str = "", *, case_id: str | None = None) -> None:
        self.case_id = case_id
        super().__init__(problem, cure)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only state must survive the trip back from a worker process.
        return (_rebuild_dataset_error, (type(self), self.problem, self.cure, self.case_id))


def _rebuild_dataset_error(kind: type[DatasetError], problem: str, cure: str, case_id: str | None) -> DatasetError:
    return kind(problem, cure, case_id=case_id)


class GeometryError(AutosegError):
    """Grids that must match do not, or a grid cannot be used."""


class RegistryError(AutosegError):
    """A component name is unknown, or a component file is broken."""


class BudgetError(AutosegError):
    """The work does not fit the memory or the time that is available."""


class CheckpointError(AutosegError):
    """A checkpoint is damaged or belongs to another run."""


class StorageError(AutosegError):
    """The disk is full, or a folder cannot be written: no later case will fare better."""


class WorkerError(AutosegError):
    """The process that worked on a case died; the case may have had no part in it."""


class SubmissionError(AutosegError):
    """A submission would be rejected by its challenge."""


class Interrupted(AutosegError):  # noqa: N818 - a state, not a mistake
    """The work was stopped by a signal after it had been saved; the same command goes on from there.

    Args:
        signal_number: What was received; decides the exit code (SIGINT 130, any other 75).
        problem: What was stopped and where it stands.
    """

    def __init__(self, signal_number: int, problem: str) -> None:
        self.signal_number = signal_number
        super().__init__(problem, "run the same command again to go on")
