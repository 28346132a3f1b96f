"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real images; tests that need it skip with a reason where it is absent."""
    named = os.environ.get("AUTOSEG_TEST_DATA")
    if not named:
        pytest.skip("real images: set AUTOSEG_TEST_DATA to their folder")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"AUTOSEG_TEST_DATA={named} is not a folder")
    return folder
