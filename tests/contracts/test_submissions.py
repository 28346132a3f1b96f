"""What every challenge gets: a miniature converted, masks packed and found good, and each damage found by name."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.core.errors import SubmissionError
from autoseg.core.workspace import Workspace
from autoseg.datasets import Converter, converter_names, load_converter
from autoseg.io.case_files import find_images
from autoseg.io.images import read_header, read_image, read_label, write_label
from autoseg.io.raw import RawDataset
from autoseg.specs.submission import Manifest
from autoseg.stages import convert, submit

ANSWERED = tuple(name for name in converter_names() if load_converter(name).spec().submission)
# The miniature has one test volume.
OPTIONS = {"lits": (("subset", "true"),)}


@dataclass(frozen=True)
class Packed:
    """A submission that passes."""

    check: submit.Options
    workspace: Workspace
    folder: Path
    files: tuple[str, ...]


@pytest.fixture(params=ANSWERED)
def converter(request: pytest.FixtureRequest) -> Converter:
    found = load_converter(request.param)
    return found.with_options(found.EXAMPLE_OPTIONS)


@pytest.fixture
def packed(converter: Converter, tmp_path: Path) -> Packed:
    info, source = converter.spec(), converter.example(tmp_path / "source")
    workspace = Workspace(tmp_path / "workspace")
    given = tuple(converter.EXAMPLE_OPTIONS.items())
    dataset = RawDataset.open(
        convert.run(convert.Options(info.name, source, id=7, workers=1, options=given), workspace)
    )
    images = dataset.folder / ("imagesTs" if dataset.test else "imagesTr")
    options = submit.Options(
        _masks(dataset, images, tmp_path / "masks"),
        dataset.name,
        output=tmp_path / "out" / "answer",
        settings=OPTIONS.get(info.name, ()),
        images=images,
    )
    archive = submit.run(options, workspace)
    folder = tmp_path / "unpacked"
    if archive.is_dir():
        shutil.copytree(archive, folder)
    else:
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
    manifest = Manifest.load(archive.parent / "manifest.json")
    files = tuple(file.path for file in manifest.files)
    sources = {case.case_id for case in find_images(images, dataset.spec.channels())}
    assert manifest.format == dataset.spec.submission
    assert {file.case for file in manifest.files} == sources
    return Packed(replace(options, input=archive, output=None, check=True), workspace, folder, files)


def _masks(dataset: RawDataset, images: Path, folder: Path) -> Path:
    """The references of training cases; of test cases a stack of blocks with every label."""
    references = {case.case_id: case.label for case in dataset.training}
    for case in find_images(images, dataset.spec.channels()):
        reference, grid = references.get(case.case_id), read_header(case.images[0])
        if reference is not None:
            labels = read_label(reference)[0]
        else:
            labels = np.zeros(grid.shape, np.uint8)
            for inset, value in enumerate(sorted(dataset.labels.foreground_values)):
                labels[1:-1, 2:, 1 + 2 * inset : 3 + 2 * inset] = value
        write_label(folder / f"{case.case_id}.nii.gz", labels, grid)
    return folder


def test_what_is_packed_passes_as_archive_and_as_folder(packed: Packed) -> None:
    submit.run(packed.check, packed.workspace)
    submit.run(replace(packed.check, input=packed.folder), packed.workspace)
    assert sorted(path.relative_to(packed.folder).as_posix() for path in packed.folder.rglob("*.*")) == [*packed.files]


def remove(path: Path) -> tuple[str, ...]:
    path.unlink()
    return ("it is missing",)


def rename(path: Path) -> tuple[str, ...]:
    path.rename(path.with_name(f"{path.name.partition('.')[0]}_seg{''.join(path.suffixes)}"))
    return ("it is missing", "no test case has this name")


def reshape(path: Path) -> tuple[str, ...]:
    rewrite(path, lambda labels: labels[..., :-1])
    return ("its shape is",)


def revalue(path: Path) -> tuple[str, ...]:
    rewrite(path, lambda labels: np.where(labels == labels.max(), 77, labels))
    return ("it holds the value 77",)


def damage(path: Path) -> tuple[str, ...]:
    path.write_bytes(b"no image")
    return ("cannot be read",)


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    if path.suffix == ".png":
        Image.fromarray(change(np.asarray(Image.open(path))).astype(np.uint8)).save(path)
        return
    image = read_image(path)
    labels = change(image.array[0].astype(np.uint8)).astype(np.uint8)
    write_label(path, labels, replace(image.geometry, shape=labels.shape))


@pytest.mark.parametrize("harm", [remove, rename, reshape, revalue, damage])
def test_each_harm_is_found_by_name(
    harm: Callable[[Path], tuple[str, ...]], packed: Packed, caplog: pytest.LogCaptureFixture
) -> None:
    name = packed.files[len(packed.files) // 2]
    reasons = harm(packed.folder / name)
    with pytest.raises(SubmissionError):
        submit.run(replace(packed.check, input=packed.folder), packed.workspace)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == len(reasons)
    assert lines[0].startswith(f"{name}: ")
    for line, reason in zip(lines, reasons, strict=True):
        assert reason in line
