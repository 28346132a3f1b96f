"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real images; tests that need it skip with a reason where it is absent."""
    named = os.environ.get("AUTOSEG_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real images are not here: set AUTOSEG_TEST_DATA to their folder")
    return folder
