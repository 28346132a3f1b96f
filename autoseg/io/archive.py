"""The files below a folder or inside a zip, zips inside zips included, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import contextlib
import functools
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from autoseg.core.errors import DatasetError

READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError)
_JUNK_PREFIXES = (".", "__MACOSX")
_CURE = "download it again"


@dataclass(frozen=True)
class Entry:
    """One file of a folder or archive.

    Attributes:
        path: Its path from the root's own name on; a zip counts as a folder of its name.
        where: How to name it to a person.
        open: Opens it for reading; valid while the archive is open.
    """

    path: PurePosixPath
    where: str
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def opened(root: Path, *, into: Callable[[PurePosixPath], bool]) -> Iterator[tuple[Entry, ...]]:
    """Yield every file below a folder or inside a zip, sorted by path.

    Args:
        root: Folder or zip file.
        into: Whether to look into the zip of that path, or else list it as a file; the root is always looked into.

    Raises:
        DatasetError: A zip is damaged, is encrypted, or has members outside of itself.
    """
    with contextlib.ExitStack() as stack:
        found = list(_walk(root, stack, into))
        yield tuple(sorted(found, key=lambda entry: entry.path))


def _walk(root: Path, stack: contextlib.ExitStack, into: Callable[[PurePosixPath], bool]) -> Iterator[Entry]:
    top = PurePosixPath(root.name)
    if root.is_file():
        yield from _inside(file_entry(root), stack, into)
        return
    for file in root.rglob("*"):
        inner = top / file.relative_to(root).as_posix()
        if any(part.startswith(_JUNK_PREFIXES) for part in inner.parts[1:]) or not file.is_file():
            continue
        entry = file_entry(file, inner)
        if _is_zip(inner) and into(inner):
            yield from _inside(entry, stack, into)
        else:
            yield entry


def file_entry(path: Path, inner: PurePosixPath | None = None) -> Entry:
    """A file on disk, called `inner` (its own name by default)."""
    return Entry(inner or PurePosixPath(path.name), str(path), functools.partial(_open, path))


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _inside(entry: Entry, stack: contextlib.ExitStack, into: Callable[[PurePosixPath], bool]) -> Iterator[Entry]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(entry.open())))
    except READ_ERRORS as error:
        raise DatasetError(f"{entry.where} is not a whole zip file ({error})", _CURE) from error
    for member in archive.infolist():
        path = _inner_path(member.filename, entry)
        if member.is_dir() or any(part.startswith(_JUNK_PREFIXES) for part in path.parts):
            continue
        inner = Entry(entry.path / path, f"{entry.where}/{path}", functools.partial(archive.open, member))
        if _is_zip(path) and into(inner.path):
            # A zip needs random access, which a compressed stream gives only slowly.
            content = read_bytes(inner)
            yield from _inside(Entry(inner.path, inner.where, functools.partial(io.BytesIO, content)), stack, into)
        else:
            yield inner


def read_bytes(entry: Entry) -> bytes:
    """The whole file, its checksum compared where it is in a zip.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        with entry.open() as handle:
            return handle.read()
    except READ_ERRORS as error:
        raise DatasetError(f"{entry.where} cannot be read ({error})", _CURE) from error


def _inner_path(name: str, entry: Entry) -> PurePosixPath:
    """Members are never written to disk, but one that points outside was not made by the data set's authors."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DatasetError(
            f"{entry.where} has the member '{name}', which lies outside of it", f"do not use it; {_CURE}"
        )
    return path


def _is_zip(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".zip"
