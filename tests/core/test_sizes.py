"""Amounts of memory as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.errors import SpecError
from autoseg.core.sizes import describe_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5 g", 15 * 10**8),
        ("2000000", 2 * 10**6),
        ("50%", 500),
        ("1TiB", 2**40),
    ],
)
def test_amounts_are_read(text: str, size: int) -> None:
    assert parse_size(text, whole=1000) == size


@pytest.mark.parametrize("text", ["", "much", "4 parsecs", "-3GB", "0", "GB", "101%", "0%", "0.5"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"is not an amount of memory: write it like 4GB, 512MiB or 50%"):
        parse_size(text, whole=1000)


@given(st.integers(1, 10**14))
def test_what_is_said_is_never_less_and_hardly_more(size: int) -> None:
    said = parse_size(describe_size(size), whole=1)
    assert size <= said <= size + max(10**6, size // 10)
