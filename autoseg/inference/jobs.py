"""Which images are to be segmented, and where each mask goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic import named_disk_errors
from autoseg.core.errors import AutosegError, DatasetError
from autoseg.io.images import image_ending, is_picture
from autoseg.io.raw import RawCase, find_images
from autoseg.specs.prediction import PredictionRecord

FIRST_CHANNEL = "_0000"
RECORD = "predict.json"


@dataclass(frozen=True)
class Job:
    """One case and its mask.

    Attributes:
        case: The images.
        output: The mask, of the image's own format.
    """

    case: RawCase
    output: Path

    @property
    def is_done(self) -> bool:
        """Whether the mask is there and no image is newer; masks are written whole or not at all."""
        if not self.output.is_file():
            return False
        written = self.output.stat().st_mtime_ns
        return all(path.stat().st_mtime_ns <= written for path in self.case.images)


def find_jobs(
    source: Path, output: Path, *, channels: Sequence[str], problems: list[DatasetError] | None = None
) -> tuple[Job, ...]:
    """Jobs for a folder of images, or for one image; the output folder is made.

    Args:
        source: Folder, or an image (of the first channel where there are several).
        output: Folder; for one image also the mask's path.
        channels: Names of the model's channels.
        problems: Takes what is wrong with single cases of a folder, which are then left out; None raises the first.

    Raises:
        DatasetError: No images, a missing channel, or an image that does not exist.
        AutosegError: The output folder cannot be made, or is the input folder.
    """
    if source.is_file():
        case = _single_case(source, channels)
        if image_ending(output) is not None:
            _make(output.parent)
            return (Job(case, output),)
        cases: tuple[RawCase, ...] = (case,)
    else:
        cases = find_images(source, tuple(channels), problems)
    folder = source.parent if source.is_file() else source
    if output.resolve() == folder.resolve():
        raise AutosegError(f"{output} is where the images are", "choose another output folder")
    _make(output)
    return tuple(Job(case, output / f"{case.case_id}{image_ending(case.images[0])}") for case in cases)


def claim_jobs(jobs: Sequence[Job], record: PredictionRecord, *, overwrite: bool) -> tuple[Job, ...]:
    """Jobs that are still to be done; notes in the output folder what does them.

    Args:
        jobs: All of one output folder.
        record: Model and settings.
        overwrite: Do again what is there.

    Raises:
        AutosegError: Masks are there that another model or other settings made, and `overwrite` is off.
    """
    waiting = tuple(job for job in jobs if overwrite or not job.is_done)
    path = jobs[0].output.parent / RECORD
    if len(waiting) < len(jobs) and not (path.is_file() and PredictionRecord.load(path) == record):
        raise AutosegError(
            f"{path.parent} holds masks of another model or other settings", "add --overwrite, or choose another folder"
        )
    if waiting:
        record.save(path)
    return waiting


def _single_case(path: Path, channels: Sequence[str]) -> RawCase:
    ending = image_ending(path)
    if ending is None:
        raise DatasetError(f"{path} is not a supported image", "give an image or a folder of images")
    stem = path.name[: -len(ending)]
    if len(channels) == 1 or not stem.endswith(FIRST_CHANNEL):
        return RawCase(stem.removesuffix(FIRST_CHANNEL) or stem, (path,))
    case_id = stem.removesuffix(FIRST_CHANNEL)
    if is_picture(path) and not path.with_name(f"{case_id}_0001{ending}").is_file():
        return RawCase(case_id, (path,))  # all channels in one file
    paths = tuple(path.with_name(f"{case_id}_{index:04d}{path.name[-len(ending) :]}") for index in range(len(channels)))
    for name, file in zip(channels, paths, strict=True):
        if not file.is_file():
            raise DatasetError(f"case {case_id} lacks the channel {name}", f"add {file}", case_id=case_id)
    return RawCase(case_id, paths)


def _make(folder: Path) -> None:
    with named_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
