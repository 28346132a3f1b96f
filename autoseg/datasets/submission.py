"""What a submission format is, and where formats are found: built-in ones, and those that converters bring."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import RegistryError
from autoseg.core.registry import Registry, nearest
from autoseg.datasets.registry import converter_module, converter_names, load_converter

formats = Registry("autoseg.datasets.formats", "submission format")


@dataclass(frozen=True)
class Entry:
    """One file of a submission.

    Attributes:
        case_id: Its case.
        path: Name in the archive, with `/` between folders.
        image: File whose grid and header the mask takes.
        part: Which slice along z, where a file holds one slice; None is the whole mask.
    """

    case_id: str
    path: str
    image: Path
    part: int | None = None


class SubmissionFormat(Protocol):
    """How a challenge wants its masks. Everything here is cheap: no voxel is read but by `encode` and `problems`."""

    name: str
    """Word on the command line."""
    container: Literal["zip", "folder"]
    """One archive, or a folder."""
    also: tuple[Literal["tar"], ...]
    """Other containers that the challenge takes."""
    allowed: tuple[int, ...] | None
    """Values that may occur; None takes the labels of the data set."""
    values: Mapping[int, int]
    """Label of the data set -> value to write; labels not named stay."""

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """Every file that the submission must hold.

        Args:
            cases: Case id -> its (first) image.

        Raises:
            SubmissionError: A case that the challenge does not know, or one that it wants is absent.
        """
        ...

    def key(self, path: str) -> str:
        """What the challenge goes by in a file's name: its case, where names may begin as they like."""
        ...

    def refuses(self, labels: Collection[int]) -> str:
        """Why masks of a data set with these label values have no meaning here; empty when they have."""
        ...

    def encode(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> bytes:
        """The file of an entry.

        Args:
            entry: Which.
            labels: Values as submitted, (Z, Y, X) of the whole case.
        """
        ...

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Why the challenge would reject a file.

        Args:
            file: Copy on disk; its name without folders is the entry's.
            entry: What it should be.
            allowed: Values that may occur.
        """
        ...

    def belongs(self, path: str) -> bool:
        """Whether a file that is no entry may be in the archive, such as those of another task."""
        ...

    def notes(self, paths: Sequence[str]) -> tuple[str, ...]:
        """What the user should know about an archive with these files though nothing in it is wrong."""
        ...


def format_names() -> tuple[str, ...]:
    """Built-in formats with their variants, and converters that name one of their own."""
    own = [name for name in converter_names() if load_converter(name).spec().submission == name]
    return tuple(sorted({*formats.names(), *_variants(), *own}))


def load_format(name: str, options: Mapping[str, Any] | None = None) -> SubmissionFormat:
    """A format by name; `-` and `_` are equal.

    A file of `formats` may have `VARIANTS`, further names with the options that they stand for. A converter brings a
    format by naming it in its `spec().submission` and having `submission(options)` return it.

    Raises:
        RegistryError: Unknown name or option.
    """
    wanted = name.replace("-", "_")
    if wanted in formats.names():
        found: SubmissionFormat = formats.build(wanted, options)
        return found
    if wanted in _variants():
        family, meant = _variants()[wanted]
        variant: SubmissionFormat = formats.build(family, {**(options or {}), **meant})
        return variant
    if wanted in converter_names():
        make = getattr(converter_module(wanted), "submission", None)
        if make is not None:
            brought: SubmissionFormat = make(dict(options or {}))
            return brought
    raise RegistryError(f"unknown submission format '{name}'", nearest(wanted, format_names()))


def option_names(name: str) -> frozenset[str]:
    """Options of a built-in format; of others nothing is known."""
    wanted = name.replace("-", "_")
    family = _variants().get(wanted, (wanted, {}))[0]
    return frozenset(formats.load(family).Options.model_fields) if family in formats.names() else frozenset()


def _variants() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Name of a variant -> its family's file and options."""
    return {
        variant: (family, options)
        for family in formats.names()
        for variant, options in getattr(formats.load(family), "VARIANTS", {}).items()
    }
