"""The files of a submission, in a zip, a tar or a folder; written so that equal masks give an equal archive."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import posixpath
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.core.atomic import replacing, write_bytes
from autoseg.core.errors import SubmissionError

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the earliest that the format knows, so that the digest depends on the content alone."""
_PACKED = (".gz", ".png")
_LEVEL = 1
"""Of deflate, for files that are not compressed themselves: 100 MB per mask of LiTS, nearly all zeros."""

_BEGINNINGS = (b"PK\x03\x04", b"\x1f\x8b")
"""Of zip and gzip."""
_TAR_ERRORS = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError)

Kind = Literal["zip", "tar", "folder"]
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


def kind_of(archive: Path) -> Kind:
    """What holds the files, by content, not by name.

    Raises:
        SubmissionError: Neither a folder, a zip nor a tar.
    """
    if archive.is_dir():
        return "folder"
    try:
        if zipfile.is_zipfile(archive):
            return "zip"
        if tarfile.is_tarfile(archive):
            return "tar"
        with archive.open("rb") as handle:
            beginning = handle.read(4)
    except (OSError, *_TAR_ERRORS) as error:
        told = getattr(error, "strerror", None) or error
        raise SubmissionError(f"{archive} cannot be read ({told})", "check the path, or pack it again") from error
    if beginning.startswith(_BEGINNINGS):
        raise SubmissionError(f"{archive} is cut off", "copy or pack it again")
    raise SubmissionError(f"{archive} is neither a zip nor a tar", "give the archive that autoseg submit wrote")


def list_archive(archive: Path) -> tuple[str, ...]:
    """Names of the files, sorted; a name twice is twice in it.

    Raises:
        SubmissionError: Neither a folder nor a readable zip or tar.
    """
    kind = kind_of(archive)
    if kind == "folder":
        return tuple(sorted(path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()))
    if kind == "tar":
        with _opened_tar(archive) as tar:
            return tuple(sorted(_plain(member.name) for member in tar if not member.isdir()))
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
    kind = kind_of(archive)
    if kind == "folder":
        return (archive / name).read_bytes()
    if kind == "tar":
        return _read_from_tar(archive, name)
    try:
        with _opened(archive) as file:
            return file.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SubmissionError(f"{name} in {archive} is damaged ({error})", "pack it again") from error


def _read_from_tar(archive: Path, name: str) -> bytes:
    with _opened_tar(archive) as tar:
        member = next(member for member in tar if not member.isdir() and _plain(member.name) == name)
        stream = tar.extractfile(member) if member.isfile() else None
        if stream is None:
            raise SubmissionError(f"{name} in {archive} is a link", "pack the file itself")
        return stream.read()


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


def write_tar(archive: Path, files: Mapping[str, Content], *, packed: bool) -> Written:
    """Write a tar, gzipped or not, whole or not at all; one file is in memory at a time."""
    digests = {}
    with replacing(archive) as temporary:
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(temporary.open("wb"))
            # The name and time in a gzip header would make equal masks differ.
            stream = stack.enter_context(gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0)) if packed else raw
            tar = stack.enter_context(tarfile.TarFile(mode="w", fileobj=stream))
            for name, content in sorted(files.items()):
                data = content()
                digests[name] = hashlib.sha256(data).hexdigest()
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
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


def _plain(name: str) -> str:
    """`tar -C folder .` puts `./` before every name."""
    return posixpath.normpath(name)


@contextlib.contextmanager
def _opened_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive) as tar:
            yield tar
    except _TAR_ERRORS as error:
        raise SubmissionError(f"{archive} is damaged ({error})", "pack it again") from error


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise SubmissionError(f"{archive} is damaged ({error})", "pack it again") from error
    with file:
        yield file
