"""What the labels of a data set mean: classes or regions, the ignore label, and how heads map to labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoseg.core.errors import SpecError

BACKGROUND = "background"
IGNORE = "ignore"


@dataclass(frozen=True)
class LabelSpace:
    """Foreground targets in head order.

    Attributes:
        names: One per foreground class or region.
        values: Label values that make up each of `names`.
        ignore: Label value of voxels that were not annotated, or None.
        class_order: Region mode only: the label written for each region, later regions overwrite earlier ones.
    """

    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    ignore: int | None = None
    class_order: tuple[int, ...] | None = None

    @property
    def is_regions(self) -> bool:
        """Whether targets may overlap, so that heads are independent sigmoids."""
        return self.class_order is not None

    @property
    def heads(self) -> int:
        """Output channels of a network: one per region, or background plus one per class (softmax)."""
        return len(self.names) if self.is_regions else len(self.names) + 1

    @property
    def foreground_values(self) -> tuple[int, ...]:
        """Every label value of the foreground, sorted, without the ignore label."""
        return tuple(sorted({value for group in self.values for value in group}))

    @property
    def head_names(self) -> tuple[str, ...]:
        """Name of each output channel."""
        return self.names if self.is_regions else (BACKGROUND, *self.names)

    @property
    def head_values(self) -> tuple[int, ...]:
        """Label value written for each head (region mode: see `class_order`)."""
        if self.class_order is not None:
            return self.class_order
        return (0, *(group[0] for group in self.values))

    @classmethod
    def parse(
        cls, labels: Mapping[str, int | Sequence[int]], regions_class_order: Sequence[int] | None = None
    ) -> LabelSpace:
        """Read the `labels` block of a `dataset.json` (nnU-Net v2: name -> value, or name -> values = region).

        Raises:
            SpecError: When background is not 0, a region has no class order, a value repeats, or ignore is not the
                largest value plus one.
        """
        if labels.get(BACKGROUND) not in (0, (0,), [0]):
            raise SpecError("labels: 'background' must be 0", 'add "background": 0 to the labels of dataset.json')
        groups = {name: _as_values(value) for name, value in labels.items() if name not in (BACKGROUND, IGNORE)}
        if not groups:
            raise SpecError("labels: no foreground label", "declare at least one label besides background")
        has_regions = regions_class_order is not None or any(len(values) > 1 for values in groups.values())
        ignore = _ignore_value(labels, groups)
        names, values = tuple(groups), tuple(groups.values())
        if not has_regions:
            _check_classes(groups)
            return cls(names, values, ignore)
        if regions_class_order is None or len(regions_class_order) != len(names):
            raise SpecError(
                f"regions_class_order must have one label per region ({len(names)}): found {regions_class_order}",
                "list in dataset.json the label to write for each region, in the order of 'labels'",
            )
        return cls(names, values, ignore, tuple(regions_class_order))


def _as_values(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _ignore_value(labels: Mapping[str, int | Sequence[int]], groups: Mapping[str, tuple[int, ...]]) -> int | None:
    if IGNORE not in labels:
        return None
    (value,) = _as_values(labels[IGNORE])
    expected = max(max(values) for values in groups.values()) + 1
    if value != expected:
        raise SpecError(f"labels: 'ignore' is {value}", f"make it the largest label plus one, {expected}")
    return value


def _check_classes(groups: Mapping[str, tuple[int, ...]]) -> None:
    seen: dict[int, str] = {}
    for name, (value,) in groups.items():
        if value in seen or value < 1:
            other = seen.get(value, BACKGROUND)
            raise SpecError(f"labels: '{name}' and '{other}' share the value {value}", "give each label its own value")
        seen[value] = name


def value_names(labels: Mapping[str, int | Sequence[int]]) -> dict[int, str]:
    """Label value -> name; a value that only occurs inside regions is named after the smallest of them."""
    groups = {name: (value,) if isinstance(value, int) else tuple(value) for name, value in labels.items()}
    found: dict[int, str] = {}
    for name, values in sorted(groups.items(), key=lambda item: len(item[1])):
        for value in values:
            found.setdefault(value, name if len(values) == 1 else f"{name} ({value})")
    return dict(sorted(found.items()))
