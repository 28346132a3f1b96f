"""With what cases are segmented: everything a process needs to know, small enough to be sent to one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self


@dataclass(frozen=True)
class CaseSettings:
    """Model folder and settings; each field as in `autoseg.stages.predict.Options`.

    Attributes:
        folder: The model folder.
    """

    folder: Path
    device: str = "auto"
    folds: tuple[str, ...] = ()
    configurations: tuple[str, ...] = ()
    step_size: float | None = None
    mirror: bool | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    postprocess: bool = True
    weights: dict[str, float] = field(default_factory=dict)
    save_probabilities: bool = False
    threads: int | None = None

    @classmethod
    def of(cls, folder: Path, options: Any) -> Self:
        """Those of a call's options, which have fields of the same names."""
        return cls(folder, **{each.name: getattr(options, each.name) for each in fields(cls) if each.name != "folder"})
