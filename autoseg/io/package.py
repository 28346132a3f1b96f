"""A model folder in one file, and back: equal folders give equal bytes, and nothing that comes in is trusted."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from safetensors import SafetensorError, safe_open

from autoseg.core.atomic import named_disk_errors, replacing
from autoseg.core.errors import SpecError
from autoseg.specs.package import MANIFEST_FILE, Package, PackedFile

SAFE_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""One folder or file name: no dot in front, no separators, nothing that a shell or a terminal takes for a command."""
NESTED = "organ"
"""The one folder that may be a model folder itself."""
WEIGHTS = ".safetensors"
DOCUMENTS = (".json", ".md")
LARGEST_DOCUMENT_BYTES = 64 * 2**20
LARGEST_WEIGHTS_BYTES = 8 * 2**30
LARGEST_TOTAL_BYTES = 64 * 2**30
MOST_FILES = 1_000
BLOCK_BYTES = 2**20
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
_MAGIC = {b"PK\x03\x04": "a zip, as PyTorch's pickled checkpoints are", b"\x1f\x8b": "a gzip file"}
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError)
_CURE = "do not use it; ask its author for another one"


@dataclass(frozen=True)
class Member:
    """A file inside a package that has not been read.

    Attributes:
        name: Its path, with `/`.
        size: Bytes that it claims to have.
        open: Opens it for reading.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def write_package(folder: Path, names: Sequence[str], target: Path) -> Package:
    """Pack files of a folder: sorted, stored as they are, without dates and owners.

    Args:
        folder: Holds them.
        names: Paths inside it, with `/`.
        target: Zip file.

    Returns:
        The manifest, which is the file's first member.

    Raises:
        SpecError: A name that no import would take.
        StorageError: The disk is full, or the target cannot be written.
    """
    for name in names:
        _check_name(name, str(folder))
    files = {name: _measure(folder / name) for name in sorted(names)}
    package = Package(files=files)
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_info(MANIFEST_FILE), package.to_json())
        _store(archive, folder, files)
    return package


def zip_folder(folder: Path, target: Path) -> tuple[str, ...]:
    """Pack every file of a folder as it is, for other programs: no manifest, no limits; equal folders, equal bytes.

    Returns:
        The names, sorted.

    Raises:
        StorageError: The disk is full, or the target cannot be written.
    """
    names = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        _store(archive, folder, names)
    return names


@contextlib.contextmanager
def open_package(source: Path) -> Iterator[tuple[Package, dict[str, Member]]]:
    """Yield the manifest and the files of a packed model, their names and claimed sizes checked against each other.

    Args:
        source: Zip file, or a folder that one was unpacked to.

    Raises:
        SpecError: Damage, or a member that no model has, by its name.
    """
    with contextlib.ExitStack() as stack:
        members = _of_folder(source) if source.is_dir() else _of_zip(source, stack)
        known = _checked(members, str(source))
        package = _read_manifest(known, source)
        for name in [name for name in known if name not in package.files]:
            raise SpecError(f"{source}: '{name}' is not in its {MANIFEST_FILE}", _CURE)
        for name, file in package.files.items():
            if name not in known:
                raise SpecError(f"{source}: '{name}' is in its {MANIFEST_FILE} but not there", "copy it again")
            if known[name].size != file.bytes:
                raise SpecError(f"{source}: '{name}' has {known[name].size} bytes, not {file.bytes}", "copy it again")
        yield package, known


def extract(package: Package, members: dict[str, Member], folder: Path) -> None:
    """Write every file, its size, digest and format checked.

    Args:
        package: The manifest.
        members: The files, from `open_package`.
        folder: Empty folder.

    Raises:
        SpecError: A file that is not what the manifest says, or not in the format of its ending.
        StorageError: The disk is full, or the folder cannot be written.
    """
    needed, free = sum(file.bytes for file in package.files.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise SpecError(f"the model needs {needed} bytes, {folder} has {free}", "free some space")
    for name, file in package.files.items():
        target = folder / name
        with named_disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(members[name], target, file)
        if target.suffix == WEIGHTS:
            check_safetensors(target, name)


def read_bounded(member: Member, limit: int) -> bytes:
    """A whole file.

    Raises:
        SpecError: It is damaged or longer than it claims or `limit` allows.
    """
    try:
        with member.open() as handle:
            content = handle.read(min(limit, member.size) + 1)
    except _DAMAGED as error:
        raise SpecError(f"'{member.name}' cannot be read ({error})", "copy it again") from error
    if len(content) > min(limit, member.size):
        raise SpecError(f"'{member.name}' is longer than it claims", _CURE)
    return content


def check_safetensors(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a file whose header was validated.

    Raises:
        SpecError: Another format, pickles above all, or a damaged header.
    """
    with path.open("rb") as handle:
        start = handle.read(9)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            raise SpecError(f"'{name}' is {kind}, not safetensors", _CURE)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and start[8:9] != b"{":
        raise SpecError(f"'{name}' is a pickle, not safetensors", _CURE)
    try:
        with safe_open(path, framework="numpy") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise SpecError(f"'{name}' is not a valid safetensors file ({error})", _CURE) from error


def _of_folder(root: Path) -> list[Member]:
    members = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            raise SpecError(f"{root}: '{name}' is a link", _CURE)
        if not path.is_dir():
            members.append(Member(name, path.stat().st_size, functools.partial(_open, path)))
    return members


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_zip(path: Path, stack: contextlib.ExitStack) -> list[Member]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except _DAMAGED as error:
        raise SpecError(f"{path} is not a whole zip file ({error})", "copy it again") from error
    members = []
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & 1:
            what = "encrypted" if info.flag_bits & 1 else "a link or a device"
            raise SpecError(f"{path}: '{info.filename}' is {what}", _CURE)
        if not info.filename.endswith("/"):
            # The name as stored: zipfile cuts names at a zero byte.
            members.append(Member(info.orig_filename, info.file_size, functools.partial(archive.open, info)))
    return members


def _checked(members: Sequence[Member], where: str) -> dict[str, Member]:
    """By name, after all that can be known without reading them."""
    if len(members) > MOST_FILES:
        raise SpecError(f"{where} has {len(members)} files, more than {MOST_FILES}", _CURE)
    known: dict[str, Member] = {}
    for member in members:
        _check_name(member.name, where)
        # File systems of macOS and Windows hold one of two names that differ in case only.
        if member.name.lower() in (name.lower() for name in known):
            raise SpecError(f"{where} has '{member.name}' twice", _CURE)
        limit = LARGEST_WEIGHTS_BYTES if member.name.endswith(WEIGHTS) else LARGEST_DOCUMENT_BYTES
        if member.size > limit:
            raise SpecError(f"{where}: '{member.name}' has {member.size} bytes, more than {limit}", _CURE)
        known[member.name] = member
    total = sum(member.size for member in members)
    if total > LARGEST_TOTAL_BYTES:
        raise SpecError(f"{where} has {total} bytes, more than {LARGEST_TOTAL_BYTES}", _CURE)
    return known


def _check_name(name: str, where: str) -> None:
    parts = name.split("/")
    deepest = 3 if parts[0] == NESTED else 2
    if len(parts) > deepest or not all(SAFE_PART.fullmatch(part) for part in parts):
        raise SpecError(f"{where}: {name!a} is no name of a file in a model folder", _CURE)
    if not name.endswith((*DOCUMENTS, WEIGHTS)):
        raise SpecError(f"{where}: '{name}' is neither weights ({WEIGHTS}) nor a document (.json, .md)", _CURE)


def _read_manifest(known: dict[str, Member], source: Path) -> Package:
    manifest = known.pop(MANIFEST_FILE, None)
    if manifest is None:
        raise SpecError(f"{source} has no {MANIFEST_FILE}", "pack a model with autoseg export")
    try:
        values = json.loads(read_bounded(manifest, LARGEST_DOCUMENT_BYTES))
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{source}: '{MANIFEST_FILE}' is not valid JSON ({error})", "copy it again") from error
    return Package.parse(values, f"{source}/{MANIFEST_FILE}")


def _copy(member: Member, target: Path, expected: PackedFile) -> None:
    """Stream one file, and stop at the first byte too many."""
    digest, size = hashlib.sha256(), 0
    try:
        with member.open() as source, target.open("xb") as handle:
            while block := source.read(BLOCK_BYTES):
                size += len(block)
                if size > expected.bytes:
                    raise SpecError(f"'{member.name}' is longer than its manifest says", _CURE)
                digest.update(block)
                handle.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SpecError(f"'{member.name}' cannot be read ({error})", "copy it again") from error
    if size != expected.bytes or digest.hexdigest() != expected.sha256:
        raise SpecError(f"'{member.name}' is not what its manifest says (SHA-256 or size differs)", _CURE)


def _measure(path: Path) -> PackedFile:
    with path.open("rb") as handle:
        return PackedFile(bytes=path.stat().st_size, sha256=hashlib.file_digest(handle, "sha256").hexdigest())


def _store(archive: zipfile.ZipFile, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        info = _info(name)
        info.file_size = (folder / name).stat().st_size
        with archive.open(info, "w") as member, (folder / name).open("rb") as source:
            shutil.copyfileobj(source, member, BLOCK_BYTES)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIXED_DATE)
    info.external_attr, info.create_system = _PLAIN_FILE, 3
    return info
