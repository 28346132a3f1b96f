"""`autoseg plan` on a terminal: decisions, configurations, and voxels per class and split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from autoseg.core.labels import value_names
from autoseg.intensity import title_of
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Configuration, Plan
from autoseg.specs.splits import Splits

MOST_CLASS_COLUMNS = 6
Side = tuple[str, int, dict[int, int]]
"""Title, cases, voxels per label value."""


def plan_view(plan: Plan, fingerprint: Fingerprint, splits: Splits) -> RenderableType:
    """All three tables, for `rich.print`."""
    tables = (decision_table(plan), configuration_table(plan), class_table(plan.labels, fingerprint, splits))
    return Group(*(part for table in tables for part in (table, "")))


def decision_table(plan: Plan) -> Table:
    """What was decided and why, in order."""
    table = _table(f"{plan.dataset}, method {plan.method}")
    table.add_column("decision", no_wrap=True)
    table.add_column("value")
    table.add_column("because", style="dim")
    for decision in plan.decisions:
        table.add_row(decision.topic, decision.value, decision.reason)
    return table


def configuration_table(plan: Plan) -> Table:
    """One column per configuration."""
    table = _table("configurations")
    table.add_column("")
    for name in plan.configurations:
        table.add_column(name)
    for title, show in _ROWS:
        table.add_row(title, *(show(configuration) for configuration in plan.configurations.values()))
    return table


def class_table(labels: Mapping[str, int | Sequence[int]], fingerprint: Fingerprint, splits: Splits) -> Table:
    """Voxels per label value and their share, over all cases and per side of each fold.

    Up to six classes are columns; more are rows, with shares only for the sides of the folds.
    """
    names = value_names(labels)
    sides = [
        (title, len(cases), class_voxels(fingerprint, cases, tuple(names)))
        for title, cases in split_sides(fingerprint, splits)
    ]
    return _classes_as_columns(names, sides) if len(names) <= MOST_CLASS_COLUMNS else _classes_as_rows(names, sides)


def _classes_as_columns(names: Mapping[int, str], sides: Sequence[Side]) -> Table:
    table = _table("voxels per class and split")
    table.add_column("split", no_wrap=True)
    table.add_column("cases", justify="right")
    for name in names.values():
        table.add_column(name, justify="right")
    for title, cases, counts in sides:
        cells = (f"{_count(counts[value])} ({_share(counts, value)})" for value in names)
        table.add_row(title, str(cases), *cells)
    return table


def _classes_as_rows(names: Mapping[int, str], sides: Sequence[Side]) -> Table:
    table = _table("voxels per class, and share per split")
    table.add_column("class")
    table.add_column("voxels", justify="right")
    for title, _, _ in sides:
        table.add_column(title, justify="right")
    table.add_row("(cases)", "", *(str(cases) for _, cases, _ in sides))
    for value, name in names.items():
        everyone = sides[0][2]
        table.add_row(name, _count(everyone[value]), *(_share(counts, value) for _, _, counts in sides))
    return table


def class_voxels(fingerprint: Fingerprint, cases: Sequence[str], values: Sequence[int]) -> dict[int, int]:
    """Voxels of each label value over the named cases."""
    wanted = set(cases)
    counted = [case.label_voxels for case in fingerprint.cases if case.case_id in wanted]
    return {value: sum(voxels.get(str(value), 0) for voxels in counted) for value in values}


def split_sides(fingerprint: Fingerprint, splits: Splits) -> list[tuple[str, tuple[str, ...]]]:
    """Title and case ids of the whole data set, then of each side of each fold."""
    rows = [("all", tuple(case.case_id for case in fingerprint.cases))]
    for number, fold in enumerate(splits.folds):
        rows += [(f"fold {number} train", fold.train), (f"fold {number} val", fold.val)]
    return rows


def _join(values: Sequence[object]) -> str:
    return " x ".join(str(value) for value in values)


def _spacing(configuration: Configuration) -> str:
    spacing = configuration.preprocessing.spacing_mm
    if spacing is None:
        return "each case's own"
    native = configuration.preprocessing.native_axes
    return _join(["own" if axis in native else f"{value:.4g}" for axis, value in enumerate(spacing)])


def _normalisation(configuration: Configuration) -> str:
    preprocessing = configuration.preprocessing
    names = [
        title_of(component) + (" in mask" if mask else "")
        for component, mask in zip(preprocessing.normalization, preprocessing.mask_normalization, strict=True)
    ]
    return names[0] if len(set(names)) == 1 else ", ".join(names)


_ROWS: tuple[tuple[str, Callable[[Configuration], str]], ...] = (
    ("network", lambda one: one.network.name),
    ("spacing (mm)", _spacing),
    ("median case", lambda one: _join(one.median_shape_voxels)),
    ("patch", lambda one: _join(one.patch_size_voxels)),
    ("window", lambda one: _join(one.window)),
    ("batch", lambda one: str(one.batch_size)),
    ("channels", lambda one: " ".join(str(width) for width in one.topology.features)),
    ("blocks", lambda one: " ".join(str(blocks) for blocks in one.topology.encoder_blocks)),
    ("normalisation", _normalisation),
    ("batch Dice", lambda one: "yes" if one.batch_dice else "no"),
    ("input from", lambda one: one.previous_stage or "image"),
)


def _count(voxels: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if voxels >= size:
            return f"{voxels / size:.3g} {unit}"
    return str(voxels)


def _share(counts: Mapping[int, int], value: int) -> str:
    return f"{counts[value] / max(sum(counts.values()), 1):.2%}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
