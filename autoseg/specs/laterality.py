"""Labels that change places when an image is mirrored left to right: what is left then lies on the right."""

from __future__ import annotations

from collections.abc import Iterable

from autoseg.core.labels import LabelSpace
from autoseg.specs.document import Section


class Laterality(Section):
    """Pairs of labels, and the axis whose reversal exchanges them."""

    axis: int
    """Left-right axis after the transpose: 0, 1 or 2."""
    pairs: tuple[tuple[int, int], ...]
    """Label values that are exchanged; all others stay."""

    def exchanged(self, value: int) -> int:
        """What a label value becomes."""
        for first, second in self.pairs:
            if value in (first, second):
                return second if value == first else first
        return value

    def heads(self, space: LabelSpace) -> tuple[int, ...] | None:
        """Order in which the heads of a mirrored image mean those of the image; None where one has no counterpart.

        Args:
            space: What the heads mean.
        """
        meanings = [frozenset(values) for values in space.values]
        if not space.is_regions:
            meanings = [frozenset({0}), *meanings]
        return _order(meanings, (frozenset(map(self.exchanged, values)) for values in meanings))

    def places(self, values: tuple[int, ...]) -> tuple[int, ...] | None:
        """The same for maps of one label value each, such as those that a cascade hands on."""
        return _order(list(values), map(self.exchanged, values))


def _order(meanings: list[int] | list[frozenset[int]], mirrored: Iterable[object]) -> tuple[int, ...] | None:
    found = [meanings.index(one) if one in meanings else -1 for one in mirrored]  # type: ignore[arg-type]
    return tuple(found) if sorted(found) == list(range(len(meanings))) else None
