"""How many cases are prepared at a time so that they stay within a limit of memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autoseg.core.errors import AutosegError, SpecError
from autoseg.core.geometry import Shape3
from autoseg.core.workers import on_cluster
from autoseg.devices.limit import MemoryLimit, base_bytes
from autoseg.io.case_files import RawCase
from autoseg.io.stored_size import CaseSize, case_size
from autoseg.preprocessing.memory import Grids, prepared_bytes, preparing_bytes, storing_bytes
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Preprocessing

EXAMINED_BYTES = 10
"""Per voxel of a case whose intensities are summed up: masks, and sorted values twice where a quarter is foreground."""


def fitting_workers(
    cases: Sequence[RawCase],
    sections: Iterable[Preprocessing],
    *,
    cropped: Mapping[str, Shape3],
    workers: int,
    limit: int | None,
    beside: int = 0,
) -> int:
    """Processes that prepare cases within a limit; says what they will need at most. A cluster's are not counted.

    Args:
        cases: With their references; those whose headers cannot be read are left to the reader's error.
        sections: What each case is prepared for; none where it is only read.
        cropped: Shape of the box of voxels that are not 0, by case, in the file's axes, where it is known.
        workers: Processes where memory suffices.
        limit: Bytes; None keeps to what is free, and refuses nothing.
        beside: Bytes per voxel that are held beside a case that has been read.

    Raises:
        BudgetError: A case does not fit the limit.
    """
    wanted = tuple(sections)
    needs = {}
    for case in () if on_cluster() else cases:
        with contextlib.suppress(AutosegError, OSError):
            size = case_size(case.images, case.label)
            looked_at = size.image_bytes + size.label_bytes + beside * math.prod(size.geometry.shape)
            needs[case.case_id] = max(case_bytes(size, wanted, cropped=cropped.get(case.case_id)), looked_at)
    if not needs:
        return workers
    base, allowed = base_bytes(), MemoryLimit.of(limit)
    most = sorted(needs.values(), reverse=True)
    count = max(1, min(workers, len(most)))
    while count > 1 and _together(base, most, count) > allowed.size:
        count -= 1
    largest = max(needs, key=lambda case_id: needs[case_id])
    how = "1 worker" if count == 1 else f"{count} workers"
    allowed.tell(_together(base, most, count), how, case_id=largest)
    return count


def reading_workers(cases: Sequence[RawCase], *, workers: int, limit: int | None) -> int:
    """As `fitting_workers`, for cases that are read and looked at."""
    return fitting_workers(cases, (), cropped={}, workers=workers, limit=limit, beside=EXAMINED_BYTES)


def case_bytes(size: CaseSize, sections: Iterable[Preprocessing], *, cropped: Shape3 | None = None) -> int:
    """Most that one case holds while it is read, prepared and stored.

    Args:
        size: Of its files.
        sections: What it is prepared for, one after the other.
        cropped: Shape of the box of voxels that are not 0, in the file's axes.
    """
    most, raw = size.peak_bytes, size.image_bytes + size.label_bytes
    width = -(-size.label_bytes * size.channels * 4 // max(1, size.image_bytes))
    for section in sections:
        grids = Grids.of(size.geometry, section, cropped)
        preparing = preparing_bytes(grids, section, channels=size.channels, label_bytes=width)
        stored = prepared_bytes(grids, channels=size.channels, label_bytes=width)
        storing = stored + storing_bytes(grids, section, channels=size.channels, label_bytes=width)
        most = max(most, raw + max(preparing, storing))
    return most


def known_crops(fingerprint: Path) -> dict[str, Shape3]:
    """Shapes of the boxes of voxels that are not 0 by case, as the fingerprint found them; none without one."""
    try:
        cases = Fingerprint.load(fingerprint).cases
    except SpecError:
        return {}
    return {case.case_id: case.cropped_shape_voxels for case in cases}


def _together(base: int, most: Sequence[int], count: int) -> int:
    """This process alone, or with others that each load what it has loaded."""
    return base + most[0] if count == 1 else base + sum(base + need for need in most[:count])
