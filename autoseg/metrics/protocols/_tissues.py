"""Which label values a challenge's regions have in a data set: found by name, or by the challenge's own values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace


@dataclass(frozen=True)
class Region:
    """A region that a challenge scores.

    Attributes:
        values: Label values in the challenge's own files, used where labels have no names but numbers.
        names: Names that data sets give to the region itself; its values are all that belong to it.
        parts: Classes it is made of, by name; some may be absent from a data set.
        optional: Not every data set has it; it is left out then.
        inside: Names of a region that holds it, for data sets whose labels are regions.
        outside: Names of the regions that the rest of `inside` is made of; the first one must be known.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...] = ()
    optional: bool = False
    inside: tuple[str, ...] = ()
    outside: tuple[tuple[str, ...], ...] = ()


def find_regions(labels: LabelSpace, wanted: Mapping[str, Region]) -> dict[str, tuple[int, ...]]:
    """Name -> label values of every wanted region.

    Raises:
        SpecError: The labels have names, and none of them belongs to a region that is not optional.
    """
    values = {_plain(name): group for name, group in zip(labels.names, labels.values, strict=True)}
    if all(name.isdigit() for name in values):
        # Nobody named the labels: values that no reference holds are no labels then.
        return {
            name: tuple(value for value in region.values if value in labels.foreground_values)
            for name, region in wanted.items()
        }
    found = {name: _find(region, values) for name, region in wanted.items()}
    for name, region in wanted.items():
        if not (found[name] or region.optional):
            shown = ", ".join(dict.fromkeys(known for part in (region.names, *region.parts) for known in part))
            raise SpecError(f"no label of the data set is the region '{name}'", f"name its labels one of: {shown}")
    return {name: members for name, members in found.items() if members}


def _find(region: Region, values: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    for known in region.names:
        if known in values:
            return values[known]
    found = {value for part in region.parts for known in part for value in values.get(known, ())}
    if not found and region.outside and any(known in values for known in region.outside[0]):
        others = {value for part in region.outside for known in part for value in values.get(known, ())}
        found = {value for known in region.inside for value in values.get(known, ())} - others
    return tuple(sorted(found))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).replace("tumour", "tumor").replace("oedema", "edema")
