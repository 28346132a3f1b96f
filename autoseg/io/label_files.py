"""Folders of label maps, one file per case."""

from __future__ import annotations

from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.io.images import image_ending


def find_label_files(folder: Path) -> dict[str, Path]:
    """Case id -> file, sorted; anything but images is passed over, endings may be mixed.

    Raises:
        DatasetError: No such folder, or two files of one case.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "check the path")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = image_ending(path)
        if ending is None or path.name.startswith(".") or not path.is_file():
            continue
        case_id = path.name[: -len(ending)]
        if case_id in files:
            raise DatasetError(f"{path} and {files[case_id].name} are the same case", "remove one", case_id=case_id)
        files[case_id] = path
    return files
