"""Which heads and maps change places when an image is mirrored left to right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.labels import LabelSpace
from autoseg.specs.laterality import Laterality

KIDNEYS = Laterality(axis=2, pairs=((2, 3),))
PAIRS = st.lists(st.integers(1, 9), min_size=2, max_size=8, unique=True).map(
    lambda values: tuple(zip(values[::2], values[1::2], strict=False))
)


@given(PAIRS, st.integers(0, 12))
def test_exchanging_twice_changes_nothing(pairs: tuple[tuple[int, int], ...], value: int) -> None:
    sides = Laterality(axis=0, pairs=pairs)
    assert sides.exchanged(sides.exchanged(value)) == value
    assert (sides.exchanged(value) != value) == any(value in pair for pair in pairs)


def test_heads_of_classes_and_regions() -> None:
    classes = LabelSpace.parse({"background": 0, "liver": 1, "left": 2, "right": 3})
    assert KIDNEYS.heads(classes) == (0, 1, 3, 2)
    regions = LabelSpace.parse({"background": 0, "both": [2, 3], "left": 2, "right": 3}, [2, 2, 3])
    assert KIDNEYS.heads(regions) == (0, 2, 1)
    assert KIDNEYS.heads(LabelSpace.parse({"background": 0, "liver": 1, "left": 2})) is None


@given(PAIRS)
def test_order_of_heads_undoes_itself(pairs: tuple[tuple[int, int], ...]) -> None:
    space = LabelSpace.parse({"background": 0, **{str(value): value for value in range(1, 10)}})
    heads = Laterality(axis=0, pairs=pairs).heads(space)
    assert heads is not None
    assert [heads[place] for place in heads] == list(range(10))


def test_maps_of_single_values() -> None:
    assert KIDNEYS.places((1, 2, 3)) == (0, 2, 1)
    assert KIDNEYS.places(()) == ()
    assert KIDNEYS.places((1,)) == (0,)
    assert KIDNEYS.places((1, 2)) is None
