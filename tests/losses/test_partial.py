"""Samples that annotate some labels: probabilities are merged, regions left out, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.labels import LabelSpace
from autoseg.losses._partial import annotated_logits, annotated_space, samples_by_annotation

CLASSES = LabelSpace.parse({"background": 0, "liver": 1, "spleen": 2, "kidney": 3, "ignore": 4})
REGIONS = LabelSpace.parse({"background": 0, "whole": (1, 2, 3), "core": (2, 3), "active": 3}, (1, 2, 3))
NAMES = st.lists(st.sampled_from(CLASSES.names), min_size=1, unique=True).map(tuple)


def random_logits(heads: int, *, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(2, heads, 3, 4, 5, generator=torch.Generator().manual_seed(heads))


@given(NAMES, st.sampled_from([0.1, 3.0, 300.0]))
def test_probabilities_of_what_is_not_annotated_are_the_backgrounds(names: tuple[str, ...], scale: float) -> None:
    logits = random_logits(4, scale=scale)
    everything, merged = logits.softmax(1), annotated_logits(logits, CLASSES, names).softmax(1)
    kept = [CLASSES.head_names.index(name) for name in CLASSES.names if name in names]
    others = [head for head in range(4) if head not in kept]
    torch.testing.assert_close(merged[:, 0], everything[:, others].sum(1))
    torch.testing.assert_close(merged[:, 1:], everything[:, kept])


def test_half_precision_is_widened() -> None:
    logits = random_logits(4).bfloat16()
    merged = annotated_logits(logits, CLASSES, ("liver",))
    assert merged.dtype == torch.float32
    torch.testing.assert_close(merged, annotated_logits(logits.float(), CLASSES, ("liver",)))


def test_regions_that_are_not_annotated_are_left_out() -> None:
    logits = random_logits(3)
    assert torch.equal(annotated_logits(logits, REGIONS, ("active", "whole")), logits[:, [0, 2]])


def test_the_space_of_the_annotated_labels() -> None:
    space = annotated_space(CLASSES, ("kidney", "liver"))
    assert (space.names, space.values, space.ignore, space.heads) == (("liver", "kidney"), ((1,), (3,)), 4, 3)
    regions = annotated_space(REGIONS, ("core",))
    assert (regions.names, regions.values, regions.class_order) == (("core",), ((2, 3),), (2,))
    assert annotated_space(REGIONS, REGIONS.names) == REGIONS


@pytest.mark.parametrize(
    ("annotated", "expected"),
    [((None, None), {None: [0, 1]}), ((("a",), None, ("a",)), {("a",): [0, 2], None: [1]})],
)
def test_samples_are_grouped(annotated: tuple[tuple[str, ...] | None, ...], expected: object) -> None:
    assert samples_by_annotation(annotated) == expected
