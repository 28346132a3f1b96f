"""`submit`: masks of the test cases -> an archive that the challenge takes, and `manifest.json` beside it."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from autoseg.core.errors import DatasetError, SubmissionError
from autoseg.core.workspace import Workspace
from autoseg.datasets._archive import Content, Written, kind_of, list_archive, write_folder, write_tar, write_zip
from autoseg.datasets.submission import Entry, SubmissionFormat, load_format
from autoseg.datasets.submission_checks import check_submission, mask_problems, say_verdicts
from autoseg.datasets.submission_defaults import complete
from autoseg.datasets.submission_files import joined_files, mask_files
from autoseg.io.label_files import find_label_files
from autoseg.io.raw import find_images
from autoseg.specs.dataset import Dataset
from autoseg.specs.prediction import PredictionRecord
from autoseg.specs.submission import Manifest, SubmittedFile

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"
TARS = (".tar", ".tar.gz", ".tgz")
PREDICTION = "predict.json"
PACKAGES = ("autoseg", "nibabel", "numpy")


@dataclass(frozen=True)
class Options:
    """What to pack, or to check.

    Attributes:
        input: Folder of masks; with `check` the archive or folder to judge.
        dataset: Folder name of the data set whose test cases are answered.
        output: Archive to write, a tar where its name says so and the challenge takes it; not used with `check`.
        format: Submission format; None takes that of the converter that made the data set, else the Decathlon's.
        settings: Options of the format; what is not given is taken from how the data set was made.
        images: Folder of the test images; None takes `imagesTs` of the data set.
        join: Archives of other tasks whose files are taken over.
        check: Only judge.
    """

    input: Path
    dataset: str
    output: Path | None = None
    format: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    images: Path | None = None
    join: tuple[Path, ...] = ()
    check: bool = False


def run(options: Options, workspace: Workspace) -> Path:
    """Pack what would be accepted, or judge what is there, with one line per file.

    An archive that the challenge would reject is not left behind.

    Returns:
        The archive.

    Raises:
        SubmissionError: A file would be rejected; names the first and how many there are.
        DatasetError: No masks, no images, or an image that lacks a channel.
        RegistryError: Unknown format or option.
    """
    raw = workspace.raw_dataset(options.dataset)
    spec = Dataset.load(raw / "dataset.json")
    name, settings = complete(raw, options.format, dict(options.settings))
    form = load_format(name, settings)
    folder = options.images or raw / "imagesTs"
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "name that of the images that were segmented: --images FOLDER")
    cases = {case.case_id: case.images[0] for case in find_images(folder, spec.channels())}
    labels = {0, *spec.label_space().foreground_values}
    _refuse_labels(form, labels)
    allowed = set(form.allowed) if form.allowed is not None else {form.values.get(value, value) for value in labels}
    entries = form.entries(cases)
    if options.check:
        _judge(options.input, form, entries, allowed)
        return options.input
    if options.output is None:
        raise SubmissionError("no archive to write is named", "give --output, or --check to judge what is there")
    masks = _masks(options.input, cases, labels)
    files = {**joined_files(options.join, form), **mask_files(entries, masks, form)}
    written = _write(options.output, files, form, entries, allowed)
    _manifest(options, form, written, entries).save(options.output.parent / MANIFEST)
    return options.output


def _masks(folder: Path, cases: Mapping[str, Path], labels: set[int]) -> dict[str, Path]:
    """One sound mask per case; every file is judged before the first problem is raised."""
    masks = find_label_files(folder)
    lines = [f"{case_id}: it has no mask in {folder}" for case_id in cases if case_id not in masks]
    lines += [f"{masks[case_id].name}: no test case has this name" for case_id in masks if case_id not in cases]
    for case_id in sorted(masks.keys() & cases.keys()):
        found = mask_problems(masks[case_id], cases[case_id], labels)
        lines += [f"{masks[case_id].name}: {'; '.join(found)}"] * bool(found)
    for line in lines:
        logger.error("%s", line)
    _refuse(lines)
    return masks


def _refuse(lines: Sequence[str]) -> None:
    if lines:
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise SubmissionError(f"{lines[0]}{more}", "predict these cases again, with the images as names and grids")


def _judge(archive: Path, form: SubmissionFormat, entries: Sequence[Entry], allowed: set[int]) -> None:
    if kind_of(archive) == "tar":
        _refuse_tar(archive, form)
    verdicts = tuple(check_submission(archive, form, entries, allowed))
    _refuse(say_verdicts(verdicts, good=logger.info, bad=logger.error))
    for note in form.notes(list_archive(archive)):
        logger.warning("%s", note)


def _refuse_tar(archive: Path, form: SubmissionFormat) -> None:
    if "tar" not in form.also:
        raise SubmissionError(f"{archive} is a tar, {form.name} takes a {form.container}", "pack it so")


def _refuse_labels(form: SubmissionFormat, labels: set[int]) -> None:
    why = form.refuses(labels)
    if why:
        raise SubmissionError(f"{form.name} cannot hold these masks: {why}", "choose another --format, or its options")


def _write(
    archive: Path, files: Mapping[str, Content], form: SubmissionFormat, entries: Sequence[Entry], allowed: set[int]
) -> Written:
    """Write beside the archive, judge what is there, and only then give it its name."""
    if form.container == "folder" and archive.exists():
        raise SubmissionError(f"{archive} exists already", "remove it, or name another folder")
    write: Callable[[Path, Mapping[str, Content]], Written] = write_folder if form.container == "folder" else write_zip
    if archive.name.endswith(TARS):
        _refuse_tar(archive, form)
        write = functools.partial(write_tar, packed=not archive.name.endswith(".tar"))
    unjudged = archive.with_name(f".{archive.name}.part")
    _remove(unjudged)
    try:
        written = write(unjudged, files)
        _judge(unjudged, form, entries, allowed)
        unjudged.replace(archive)
    finally:
        _remove(unjudged)
    return written


def _remove(archive: Path) -> None:
    if archive.is_dir():
        shutil.rmtree(archive)
    archive.unlink(missing_ok=True)


def _manifest(options: Options, form: SubmissionFormat, written: Written, entries: Sequence[Entry]) -> Manifest:
    case_of = {entry.path: entry.case_id for entry in entries}
    record = options.input / PREDICTION
    return Manifest(
        format=form.name,
        dataset=options.dataset,
        archive=options.output.name if options.output else "",
        sha256=written.sha256,
        files=tuple(
            SubmittedFile(case=case_of.get(path, ""), path=path, sha256=digest)
            for path, digest in sorted(written.files.items())
        ),
        prediction=PredictionRecord.load(record) if record.is_file() else None,
        versions={name: version(name) for name in PACKAGES},
    )
