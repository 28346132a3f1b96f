"""Take source files over into a raw data set, unchanged where nothing need change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from autoseg.core.atomic import named_disk_errors, replacing

JUNK_PREFIXES = (".", "_")


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it byte for byte where links are not possible (another disk, no permission)."""
    with named_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def is_junk(path: Path) -> bool:
    """Whether a name is a left-over of an archive (`.DS_Store`, `._case.nii.gz`, `__MACOSX`)."""
    return path.name.startswith(JUNK_PREFIXES)
