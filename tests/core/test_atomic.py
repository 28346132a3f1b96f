"""A write is all or nothing, and a refusal of the disk is one line."""

import errno

import pytest

from autoseg.core import atomic
from autoseg.core.errors import AutosegError


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "scores.json"
    atomic.write_text(path, "old")

    def write_half():
        with atomic.replacing(path) as temporary:
            temporary.write_text("ne")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.json"]


def test_a_full_disk_is_named_with_its_cure(tmp_path):
    with pytest.raises(AutosegError, match=r"No space left.*free some space"), atomic.replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AutosegError, match=r"a part of this path is a file|a file is in the way"):
        atomic.write_text(tmp_path / "file" / "below.json", "{}")


def test_other_errors_keep_their_kind(tmp_path):
    with pytest.raises(OSError, match="Input/output"), atomic.replacing(tmp_path / "a"):
        raise OSError(errno.EIO, "Input/output error")


def test_remains_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".partial-x").mkdir()
    (tmp_path / ".partial-x" / "a").write_text("half")
    (tmp_path / "a").write_text("whole")
    atomic.remove_partial(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "models" / "one"
    with atomic.replacing_folder(folder) as temporary:
        (temporary / "new.json").write_text("1")
        assert not folder.exists()
        assert not list(folder.parent.glob("*/new.json")), "a search for complete folders finds none"
    assert [path.name for path in folder.iterdir()] == ["new.json"]

    def fail():
        with atomic.replacing_folder(folder) as temporary:
            (temporary / "half.json").write_text("2")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        fail()
    assert [path.name for path in folder.iterdir()] == ["new.json"]
    with atomic.replacing_folder(folder) as temporary:
        (temporary / "other.json").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["other.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_folder_that_cannot_be_placed_leaves_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "old.json").write_text("1")
    rename = type(folder).rename

    def refuse(path, target):
        if path.parent.name == "new":
            raise OSError(errno.EACCES, "no")
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", refuse)
    with pytest.raises(AutosegError, match="cannot write"), atomic.replacing_folder(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["old.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
