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
