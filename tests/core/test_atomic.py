"""A write is all or nothing, and a refusal of the disk is one line."""

import errno
import os

import pytest

from autoseg.core import atomic
from autoseg.core.errors import AutosegError


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "scores.json"
    atomic.write_text(path, "old")
    with pytest.raises(ValueError, match="halfway"), atomic.replacing(path) as temporary:
        temporary.write_text("ne")
        raise ValueError("halfway")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["scores.json"]


def test_a_full_disk_is_named_with_its_cure(tmp_path):
    with pytest.raises(AutosegError, match="No space left.*free some space"), atomic.replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AutosegError, match="a part of this path is a file|a file is in the way"):
        atomic.write_text(tmp_path / "file" / "below.json", "{}")


def test_other_errors_keep_their_kind(tmp_path):
    with pytest.raises(OSError, match="Input/output"), atomic.replacing(tmp_path / "a"):
        raise OSError(errno.EIO, "Input/output error")
