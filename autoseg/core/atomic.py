"""Write files so that a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autoseg.core.errors import StorageError

PARTIAL_PREFIX = ".partial-"
_CURES = {
    errno.ENOSPC: "free some space or choose another --workspace or output folder",
    errno.EDQUOT: "free some space or choose another --workspace or output folder",
    errno.ENOTDIR: "a part of this path is a file; choose another folder",
    errno.EEXIST: "a file is in the way; choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, renamed over it when the block ends well.

    The suffixes are kept, since image libraries choose the format by them. The file is flushed to disk before
    the rename; on any failure the temporary file is removed.

    Raises:
        StorageError: When the disk is full, or the folder cannot be created or written.
    """
    with named_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=path.parent))
        temporary = folder / path.name
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `folder` when the block ends well, else nothing changes.

    It lies two levels down beside `folder`, where no search for complete folders finds it.

    Raises:
        StorageError: When the disk is full, or the parent cannot be created or written.
    """
    with named_disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder.parent))
        temporary, old = place / "new" / folder.name, place / "old"
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if folder.exists():
                folder.rename(old)
            try:
                temporary.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
        finally:
            shutil.rmtree(place, ignore_errors=True)


def remove_partial(folder: Path) -> None:
    """Remove what killed writers left in a folder; for folders with one writer at a time."""
    for path in folder.glob(f"{PARTIAL_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text to `path` atomically."""
    write_bytes(path, content.encode())


@contextlib.contextmanager
def named_disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names `path` and the cure."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CURES:
            raise
        raise StorageError(f"cannot write {path} ({os.strerror(error.errno)})", _CURES[error.errno]) from error
