"""What must be true of every case of a raw data set: `fail` stops, `warn` is recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.datasets._anatomy import anatomy_warnings
from autoseg.io.images import Image, count_non_finite, read_image, read_label
from autoseg.io.raw import RawCase, unannotated_labels, unknown_labels

Array = npt.NDArray[Any]
_TOLERANCE = 1e-3
_SPACING_RANGE_MM = (0.2, 10.0)
_CT_AIR_HU = -200


@dataclass(frozen=True)
class Finding:
    """Something wrong with a data set.

    Attributes:
        severity: `fail` must be mended; `warn` should be looked at.
        where: Case id or file.
        problem: What was found.
        cure: What to do.
    """

    severity: Literal["fail", "warn"]
    where: str
    problem: str
    cure: str


@dataclass(frozen=True)
class CaseCheck:
    """Result of checking one case.

    Attributes:
        case_id: Its name.
        findings: What is wrong with it.
        signature: Digest of shape and middle slice of the first channel; equal = the same scan. Empty if unknown.
        label_values: Values that occur in the reference.
    """

    case_id: str
    findings: tuple[Finding, ...]
    signature: str = ""
    label_values: frozenset[int] = field(default_factory=frozenset)


def check_case(case: RawCase, channels: tuple[str, ...], labels: LabelSpace) -> CaseCheck:
    """Read every file of a case once and list what is wrong."""
    findings: list[Finding] = []
    images = [image for path in case.images if (image := _attempt(case, findings, read_image, path)) is not None]
    if len(images) != len(case.images):
        return CaseCheck(case.case_id, tuple(findings))
    findings.extend(_image_findings(case, images, channels))
    values: frozenset[int] = frozenset()
    reference = None if case.label is None else _attempt(case, findings, read_label, case.label)
    if reference is not None:
        array, own = reference
        findings.extend(_label_findings(case, array, own, geometry=images[0].geometry, space=labels))
        values = frozenset(int(value) for value in np.unique(array))
    return CaseCheck(case.case_id, tuple(findings), _signature(images[0].array[0]), values)


def duplicates(signatures: Mapping[str, str], groups: Mapping[str, str]) -> tuple[Finding, ...]:
    """Cases whose images are equal though no common overlap group says so.

    Args:
        signatures: Case id -> signature; empty ones are passed over.
        groups: Case id -> declared overlap group.
    """
    first: dict[str, str] = {}
    found = []
    for case_id, signature in sorted(signatures.items()):
        if not signature:
            continue
        other = first.setdefault(signature, case_id)
        declared = groups.get(case_id)
        if other != case_id and (declared is None or declared != groups.get(other)):
            found.append(
                Finding(
                    "warn",
                    case_id,
                    f"its image equals that of {other}",
                    "remove one, or give both the same overlap_group in dataset.json so that no split parts them",
                )
            )
    return tuple(found)


def _attempt(case: RawCase, findings: list[Finding], read: Any, path: Any) -> Any:
    try:
        return read(path)
    except DatasetError as error:
        findings.append(Finding("fail", case.case_id, error.problem, error.cure))
        return None


def _image_findings(case: RawCase, images: list[Image], channels: tuple[str, ...]) -> Iterator[Finding]:
    found = sum(len(image.array) for image in images)
    if found != len(channels):
        yield Finding("fail", case.case_id, f"{found} channels, dataset.json names {len(channels)}", "correct either")
    for path, image in zip(case.images, images, strict=True):
        bad = count_non_finite(image.array)
        if bad:
            cure = "replace them, e.g. by the background"
            yield Finding("fail", case.case_id, f"{bad} voxels of {path.name} are NaN or infinite", cure)
        differing = images[0].geometry.differences(image.geometry, tolerance=_TOLERANCE)
        if differing:
            problem = f"{path.name} and {case.images[0].name} differ in {', '.join(differing)}"
            yield Finding("fail", case.case_id, problem, "resample the channels of a case to one grid")
    yield from _grid_findings(case, images[0].geometry)
    if "ct" in (name.lower() for name in channels) and found == len(channels):
        stacked = [channel for image in images for channel in image.array]
        index = [name.lower() for name in channels].index("ct")
        yield from _ct_findings(case, stacked[index], images[0].geometry)


def _grid_findings(case: RawCase, geometry: Geometry) -> Iterator[Finding]:
    low, high = _SPACING_RANGE_MM
    if any(not low <= spacing <= high for spacing in geometry.spacing_mm):
        problem = f"spacing {_rounded(geometry.spacing_mm)} mm (z, y, x) is outside {low} to {high}"
        yield Finding("warn", case.case_id, problem, "check the unit and the header")
    direction = np.asarray(geometry.direction)
    if np.abs(direction.T @ direction - np.eye(3)).max() > _TOLERANCE:
        yield Finding("warn", case.case_id, "its axes are not at right angles", "resample it to a rectangular grid")


def _ct_findings(case: RawCase, channel: Array, geometry: Geometry) -> Iterator[Finding]:
    if geometry.spacing_mm == (1.0, 1.0, 1.0):
        problem = "a CT with spacing 1 x 1 x 1 mm, most often a lost header"
        yield Finding("warn", case.case_id, problem, "take the spacing from the original scan")
    lowest = float(channel.min())
    if lowest > _CT_AIR_HU:
        problem = f"a CT whose lowest value is {lowest:g}, so it is not in HU"
        yield Finding("warn", case.case_id, problem, "apply the rescale slope and intercept of the scan")


def _label_findings(
    case: RawCase, labels: Array, own: Geometry, *, geometry: Geometry, space: LabelSpace
) -> Iterator[Finding]:
    name = case.label.name if case.label else case.case_id
    if own.shape != geometry.shape:
        problem = f"label {name} has the shape {own.shape}, its image {geometry.shape} (z, y, x)"
        yield Finding("fail", case.case_id, problem, "export the label on the image's grid")
        return
    differing = geometry.differences(own, tolerance=_TOLERANCE)
    if differing:
        problem = f"label {name} differs from its image in {', '.join(differing)}; the image's is used"
        yield Finding("warn", case.case_id, problem, "write the image's header to the label")
    unknown = unknown_labels(labels, space)
    if unknown:
        problem = f"label {name} holds {', '.join(map(str, unknown[:5]))}, which dataset.json does not declare"
        yield Finding("fail", case.case_id, problem, "declare the label or mend the file")
    for problem, cure in unannotated_labels(labels, space, case):
        yield Finding("fail", case.case_id, problem, cure)
    if not np.isin(labels, space.foreground_values).any():
        yield Finding("warn", case.case_id, f"label {name} has no foreground", "check that it is the right file")
        return
    for problem, cure in anatomy_warnings(labels, space):
        yield Finding("warn", case.case_id, problem, cure)


def _signature(channel: Array) -> str:
    middle = np.ascontiguousarray(channel[len(channel) // 2])
    if middle.min() == middle.max():
        return ""  # an empty slice identifies nothing
    digest = hashlib.blake2b(middle.astype(np.float32).tobytes(), digest_size=12).hexdigest()
    return f"{'x'.join(str(size) for size in channel.shape)}:{digest}"


def _rounded(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
