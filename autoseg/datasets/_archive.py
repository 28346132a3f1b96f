"""The files of a submission, in a zip or a folder; written so that equal masks give an equal archive."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoseg.core.atomic import replacing, write_bytes
from autoseg.core.errors import SubmissionError

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the earliest that the format knows, so that the digest depends on the content alone."""


def list_archive(archive: Path) -> tuple[str, ...]:
    """Names of the files, sorted; a name twice is twice in it.

    Raises:
        SubmissionError: Neither a folder nor a readable zip.
    """
    if archive.is_dir():
        return tuple(sorted(path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()))
    with _opened(archive) as file:
        return tuple(sorted(name for name in file.namelist() if not name.endswith("/")))


@contextlib.contextmanager
def unpacked(archive: Path, name: str) -> Iterator[Path]:
    """One file of an archive as a path that holds while the block runs.

    Raises:
        SubmissionError: The archive or the file in it is damaged.
    """
    if archive.is_dir():
        yield archive / name
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.write_bytes(read_file(archive, name))
        yield path


def read_file(archive: Path, name: str) -> bytes:
    """Content of one file.

    Raises:
        SubmissionError: The archive or the file in it is damaged.
    """
    if archive.is_dir():
        return (archive / name).read_bytes()
    try:
        with _opened(archive) as file:
            return file.read(name)
    except zipfile.BadZipFile as error:
        raise SubmissionError(f"{name} in {archive} is damaged ({error})", "pack it again") from error


def write_zip(archive: Path, files: Mapping[str, bytes]) -> str:
    """Write a zip whole or not at all; masks are compressed already and are stored as they are.

    Returns:
        Its SHA-256.
    """
    with replacing(archive) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            for name, content in sorted(files.items()):
                file.writestr(zipfile.ZipInfo(name, _TIME), content)
        return hashlib.sha256(temporary.read_bytes()).hexdigest()


def write_folder(archive: Path, files: Mapping[str, bytes]) -> str:
    """Write a folder of files, each whole or not at all.

    Returns:
        SHA-256 of the names and digests of the files.
    """
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        write_bytes(archive / name, content)
        digest.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = zipfile.ZipFile(archive)
    except OSError as error:
        raise SubmissionError(f"{archive} cannot be read ({error.strerror})", "check the path") from error
    except zipfile.BadZipFile as error:
        raise SubmissionError(f"{archive} is no zip ({error})", "give the archive that autoseg submit wrote") from error
    with file:
        yield file
