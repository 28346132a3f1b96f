"""Files in folders and zips, zips inside zips, and zips that must not be trusted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from autoseg.core.errors import DatasetError
from autoseg.io.archive import opened, read_bytes


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _everything(path: PurePosixPath) -> bool:
    return path.name != "closed.zip"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    inner = _zip({"b/image_1": b"one", "b/": b"", "__MACOSX/b/._image_1": b"junk"})
    path = tmp_path / "outer.zip"
    path.write_bytes(_zip({"a/inner.zip": inner, "closed.zip": b"no zip at all", "a/.DS_Store": b"junk"}))
    return path


def test_zips_in_zips_are_folders_and_others_files(archive: Path) -> None:
    with opened(archive, into=_everything) as entries:
        found = {str(entry.path): read_bytes(entry) for entry in entries}
    assert found == {"outer.zip/a/inner.zip/b/image_1": b"one", "outer.zip/closed.zip": b"no zip at all"}


def test_a_folder_gives_the_same_files(archive: Path, tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    with opened(tmp_path, into=_everything) as entries:
        assert [entry.where for entry in entries] == [
            f"{tmp_path}/outer.zip/a/inner.zip/b/image_1",
            f"{tmp_path}/outer.zip/closed.zip",
        ]


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", "..\\outside"])
def test_members_outside_of_the_zip(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(_zip({name: b"x"}))
    with pytest.raises(DatasetError, match=r"bad\.zip has the member '.*', which lies outside of it: do not use it"):
        opened(path, into=_everything).__enter__()
    assert sorted(tmp_path.iterdir()) == [path]


def test_truncated(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"outer\.zip is not a whole zip file .*: download it again"):
        opened(archive, into=_everything).__enter__()


def test_damaged_member(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    content = bytearray(_zip({"image": bytes(range(256)) * 40}))
    content[60] ^= 0xFF
    path.write_bytes(bytes(content))
    with (
        opened(path, into=_everything) as (entry,),
        pytest.raises(DatasetError, match=r"bad\.zip/image cannot be read"),
    ):
        read_bytes(entry)
