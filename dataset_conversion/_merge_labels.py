"""One meaning of labels for several data sets: names brought together, values numbered anew, the unknown marked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autoseg.core.errors import DatasetError
from autoseg.core.labels import BACKGROUND, IGNORE, LabelSpace
from autoseg.core.registry import nearest
from autoseg.core.workspace import DATASET_FOLDER
from autoseg.datasets.label_names import canonical

logger = logging.getLogger(__name__)
Names = frozenset[str]
_NOTHING: Names = frozenset()


@dataclass(frozen=True)
class Labelling:
    """How one data set labels.

    Attributes:
        dataset: Its folder name, for messages.
        space: Its labels.
        names: Its label -> common name; `background` where the label is given up.
        elsewhere: Common names that it does not label, whose voxels are all in voxels to be ignored.
    """

    dataset: str
    space: LabelSpace
    names: Mapping[str, str]
    elsewhere: frozenset[str] = _NOTHING

    def meaning(self) -> dict[int, Names]:
        """Value -> the common names that a voxel of this value belongs to."""
        found = {0: _NOTHING}
        for name, values in zip(self.space.names, self.space.values, strict=True):
            for value in values:
                found[value] = found.get(value, _NOTHING) | {self.names[name]} - {BACKGROUND}
        return found


@dataclass(frozen=True)
class Joined:
    """Labels of the joined data set.

    Attributes:
        labels: As in `dataset.json`.
        class_order: Label to write for each region; None for classes.
        values: Per data set, its value -> the joined one.
        found: Per data set, how it labels.
    """

    labels: dict[str, int | tuple[int, ...]]
    class_order: tuple[int, ...] | None
    values: tuple[dict[int, int], ...]
    found: tuple[Labelling, ...]

    def annotated(self, index: int, own: Sequence[str] | None) -> tuple[str, ...] | None:
        """Joined labels that a case annotates; None is all of them.

        Args:
            index: Of its data set.
            own: Labels of its data set that it annotates; None is all of them.
        """
        names = self.found[index].names
        names_of = [name for name in self.labels if name not in (BACKGROUND, IGNORE)]
        lacking = {names[name] for name in names if own is not None and name not in own}
        there = {*names.values(), *self.found[index].elsewhere} - lacking
        return None if there.issuperset(names_of) else tuple(name for name in names_of if name in there)


def common_names(
    spaces: Mapping[str, LabelSpace], *, renamed: Mapping[str, str], wanted: Sequence[str]
) -> tuple[tuple[Labelling, ...], tuple[str, ...]]:
    """Every data set's labels by their common names, and all names in order.

    Args:
        spaces: Folder name -> labels.
        renamed: Label, or DATASET/LABEL for that of one data set -> common name; others go by their synonyms.
        wanted: Names to keep; empty keeps all.

    Raises:
        DatasetError: A name that no data set has, or two labels of a data set that only synonyms make one.
    """
    known = {key for folder, space in spaces.items() for name in space.names for key in _keys(folder, name)}
    changes: dict[str, str] = {}
    for old, new in renamed.items():
        spelling = _one_of(old.casefold(), tuple(sorted(known)), "map: no data set has a label '{}'")
        changes[spelling] = new.lower()
    every = {folder: _renamed(folder, space, changes) for folder, space in spaces.items()}
    order = tuple(dict.fromkeys(name for names in every.values() for name in names.values() if name != BACKGROUND))
    keep = tuple(_one_of(name, order, "labels: no data set has '{}'") for name in wanted) or order
    found = tuple(
        Labelling(folder, space, {old: name if name in keep else BACKGROUND for old, name in every[folder].items()})
        for folder, space in spaces.items()
    )
    return found, keep


def _keys(folder: str, name: str) -> tuple[str, ...]:
    """Spellings by which a label is named in `map`, the closest first."""
    match = DATASET_FOLDER.fullmatch(folder)
    datasets = (folder, match.group(2)) if match else (folder,)
    return (*(f"{dataset}/{name}".casefold() for dataset in datasets), name.casefold(), canonical(name))


def _renamed(folder: str, space: LabelSpace, changes: Mapping[str, str]) -> dict[str, str]:
    """Label -> common name."""
    names: dict[str, str] = {}
    by_synonym: dict[str, str] = {}
    for name in space.names:
        given = next((changes[key] for key in _keys(folder, name) if key in changes), None)
        names[name] = canonical(name) if given is None else given
        if given is None:
            other = by_synonym.setdefault(names[name], name)
            if other != name:
                problem = f"{folder}: '{other}' and '{name}' are both names of '{names[name]}'"
                raise DatasetError(problem, f"name one of them, e.g. --map {name}:other_{names[name]}")
        if names[name] != name:
            logger.info("%s: '%s' becomes '%s'", folder, name, names[name])
    return names


def _one_of(name: str, known: Sequence[str], problem: str) -> str:
    """A common name as it was given, or by its synonym."""
    for spelling in (name, canonical(name)):
        if spelling in known:
            return spelling
    raise DatasetError(problem.format(name), nearest(name, known))


def join_labels(found: Sequence[Labelling], names: Sequence[str], *, hidden: Mapping[str, Sequence[str]]) -> Joined:
    """Number the common labels, and translate every data set's values.

    Args:
        found: What the data sets label.
        names: Common names in order.
        hidden: Common name -> labels (or `background`) whose voxels may belong to it where it is not annotated. Such
            labels become `ignore`; background stays, and the cases are marked as not annotating the name.

    Raises:
        DatasetError: Regions meet classes, or a data set of classes lacks a label and nobody says where its voxels are.
    """
    kinds = {each.space.is_regions: each.dataset for each in found}
    if len(kinds) > 1:
        raise DatasetError(
            f"{kinds[True]} has regions, {kinds[False]} has classes", "convert both alike, or join others"
        )
    unjoined = "hidden: no label '{}' is joined"
    places = {
        _one_of(name, names, unjoined): {_one_of(place, (*names, BACKGROUND), unjoined) for place in where}
        for name, where in hidden.items()
    }
    unknown = [_unknown(each, names, places) for each in found]
    meanings = [each.meaning() for each in found]
    numbers = _numbers(meanings, names)
    last = max(numbers.values())
    values = tuple(
        _table(each, meaning, unsure, numbers)
        for each, meaning, (unsure, _) in zip(found, meanings, unknown, strict=True)
    )
    labels = {BACKGROUND: 0, **_groups(numbers, names)}
    if any(last + 1 in table.values() for table in values):
        labels[IGNORE] = last + 1
    marked = tuple(replace(each, elsewhere=inside) for each, (_, inside) in zip(found, unknown, strict=True))
    return Joined(labels, _class_order(numbers, labels) if True in kinds else None, values, marked)


def _unknown(each: Labelling, names: Sequence[str], places: Mapping[str, set[str]]) -> tuple[set[str], Names]:
    """What a data set that lacks names leaves open.

    Returns:
        Its labels whose voxels may belong to a name that it lacks; and the names whose voxels are all among these.
    """
    unsure: set[str] = set()
    inside: set[str] = set()
    for name in names:
        if name in each.names.values():
            continue
        if name not in places and not each.space.is_regions:
            known = ",".join(other for other in names if other in each.names.values())
            cure = f"say where its voxels are, e.g. --hidden {name}:{BACKGROUND}, or join without it (--labels {known})"
            raise DatasetError(f"{each.dataset} does not label {name}", cure)
        # Regions may overlap: one that is not annotated says nothing of the others.
        where = places.get(name, {BACKGROUND})
        unsure |= where - {BACKGROUND}
        if where <= set(each.names.values()) - {BACKGROUND}:
            inside.add(name)
        else:
            logger.info("%s: cases are marked as not annotating %s", each.dataset, name)
    return unsure, frozenset(inside)


def _numbers(meanings: Sequence[Mapping[int, Names]], names: Sequence[str]) -> dict[Names, int]:
    """Set of names -> value: voxels that belong to the same names have the same value, whatever it was.

    Classes are numbered in their order, regions from those that hold others to those inside.
    """
    sets = {found for meaning in meanings for found in meaning.values() if found}

    def place(found: Names) -> tuple[int, list[int]]:
        return len(found), sorted(names.index(name) for name in found)

    return {found: value for value, found in enumerate(sorted(sets, key=place), start=1)}


def _groups(numbers: Mapping[Names, int], names: Sequence[str]) -> dict[str, int | tuple[int, ...]]:
    """Name -> value or values; the largest regions come first, since later ones overwrite them."""
    groups = {name: tuple(value for found, value in numbers.items() if name in found) for name in names}
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return {name: values if len(values) > 1 else values[0] for name, values in ordered}


def _class_order(numbers: Mapping[Names, int], labels: Mapping[str, int | tuple[int, ...]]) -> tuple[int, ...]:
    """Per region the value of what is in it and in as few others as possible."""
    regions = [name for name in labels if name not in (BACKGROUND, IGNORE)]
    return tuple(min((len(found), value) for found, value in numbers.items() if name in found)[1] for name in regions)


def _table(
    each: Labelling, meaning: Mapping[int, Names], unsure: set[str], numbers: Mapping[Names, int]
) -> dict[int, int]:
    ignore = max(numbers.values()) + 1
    table = {} if each.space.ignore is None else {each.space.ignore: ignore}
    for value, found in meaning.items():
        table[value] = ignore if (found or {BACKGROUND}) & unsure else numbers.get(found, 0)
    return table
