"""A device for each test; the folder is left out where other tests run in the same process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from twin import Twin

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only by name: `tests/contracts/test_second_device.py` does so."""
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return None if all(path == HERE or HERE in path.parents for path in named) else True


@pytest.fixture
def gpu() -> Iterator[Twin]:
    """It refuses what a GPU refuses, and counts how often it is waited for."""
    from twin import twin

    with twin() as made:
        yield made
