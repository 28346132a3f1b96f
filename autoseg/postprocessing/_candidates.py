"""Steps worth trying for a data set: which labels are lesions of an organ, which is enhancing tumour, what is small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from autoseg.core.labels import LabelSpace
from autoseg.datasets.label_names import lesion_hosts
from autoseg.metrics.protocols._gliomas import NETC, UNTIL_2022
from autoseg.metrics.protocols._tissues import find_regions
from autoseg.specs.document import Component

VOLUMES_MM3 = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Thresholds to try, in steps of three: what a lesion's volume is known to."""
MOST_REGIONS = 4
"""With more, all of them share one threshold: every further sequence of steps costs a pass over all masks."""


@dataclass(frozen=True)
class Candidate:
    """One kind of step.

    Attributes:
        title: For the reason.
        variants: Text of what differs -> the step.
    """

    title: str
    variants: dict[str, Component]


def candidates(labels: LabelSpace) -> tuple[Candidate, ...]:
    """What to try after the largest components, in the order of application."""
    return (*_organs(labels), *_enhancing(labels), *_small(labels), *_holes(labels))


def _organs(labels: LabelSpace) -> Iterator[Candidate]:
    names = {
        value: name for name, values in zip(labels.names, labels.values, strict=True) for value in reversed(values)
    }
    for lesions, organ in lesion_hosts(labels):
        options = {"labels": list(lesions), "organ": list(organ)}
        variants = {
            "touching any piece of it": Component(name="inside_organ", options={**options, "host": "any"}),
            "touching its largest piece": Component(name="inside_organ", options={**options, "host": "largest"}),
        }
        yield Candidate(f"lesions only in their organ ({names[organ[0]]})", variants)


def _enhancing(labels: LabelSpace) -> Iterator[Candidate]:
    """The rule for small enhancing tumours, where labels are a glioma's."""
    if all(name.isdigit() for name in labels.names):
        return
    wanted = {"ET": replace(UNTIL_2022["ET"], optional=True), **NETC}
    found = find_regions(labels, wanted)
    if len(found.get("ET", ())) != 1:
        return
    targets = {0: "removed"}
    if found.get("NETC"):
        targets = {found["NETC"][0]: "made necrosis or non-enhancing tumour", **targets}
    variants = {
        f"below {volume:g} mm3 {text}": Component(
            name="replace_small", options={"labels": list(found["ET"]), "volume_mm3": volume, "to": value}
        )
        for value, text in targets.items()
        for volume in VOLUMES_MM3
    }
    yield Candidate("small enhancing tumour", variants)


def _small(labels: LabelSpace) -> Iterator[Candidate]:
    for name, options in _groups(labels):
        variants = {
            f"below {volume:g} mm3": Component(name="drop_small", options={**options, "volume_mm3": volume})
            for volume in VOLUMES_MM3
        }
        yield Candidate(f"small components of {name}", variants)


def _holes(labels: LabelSpace) -> Iterator[Candidate]:
    for name, options in _groups(labels):
        yield Candidate(f"holes of {name}", {"filled": Component(name="fill_holes", options=options)})


def _groups(labels: LabelSpace) -> Iterator[tuple[str, dict[str, object]]]:
    if len(labels.names) > MOST_REGIONS:
        yield "every label", {"labels": list(labels.foreground_values), "grouping": "each"}
        return
    for name, values in zip(labels.names, labels.values, strict=True):
        yield name, {"labels": list(values), "grouping": "together"}
