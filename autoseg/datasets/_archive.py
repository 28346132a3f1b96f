"""The files of a submission, in a zip or a folder; written so that equal masks give an equal archive."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic import replacing, write_bytes
from autoseg.core.errors import SubmissionError

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the earliest that the format knows, so that the digest depends on the content alone."""
_PACKED = (".gz", ".png")
_LEVEL = 1
"""Of deflate, for files that are not compressed themselves: 100 MB per mask of LiTS, nearly all zeros."""

Content = Callable[[], bytes]
"""Makes a file's bytes when they are wanted: the 70 masks of LiTS are 8 GB."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        sha256: Digest of the archive.
        files: Name -> digest of the file.
    """

    sha256: str
    files: Mapping[str, str]


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


def write_zip(archive: Path, files: Mapping[str, Content]) -> Written:
    """Write a zip whole or not at all; one file is in memory at a time."""
    digests = {}
    with replacing(archive) as temporary:
        with zipfile.ZipFile(temporary, "w") as file:
            for name, content in sorted(files.items()):
                data = content()
                digests[name] = hashlib.sha256(data).hexdigest()
                how = zipfile.ZIP_STORED if name.endswith(_PACKED) else zipfile.ZIP_DEFLATED
                file.writestr(zipfile.ZipInfo(name, _TIME), data, how, _LEVEL)
        with temporary.open("rb") as handle:
            return Written(hashlib.file_digest(handle, "sha256").hexdigest(), digests)


def write_folder(archive: Path, files: Mapping[str, Content]) -> Written:
    """Write a folder of files, each whole or not at all; its digest is that of their names and digests."""
    total, digests = hashlib.sha256(), {}
    for name, content in sorted(files.items()):
        data = content()
        write_bytes(archive / name, data)
        digests[name] = hashlib.sha256(data).hexdigest()
        total.update(f"{digests[name]}  {name}\n".encode())
    return Written(total.hexdigest(), digests)


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
