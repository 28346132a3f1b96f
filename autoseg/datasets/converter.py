"""What a converter is: one file of `dataset_conversion` that turns a challenge's own folder into a raw data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autoseg.core.errors import RegistryError
from autoseg.core.registry import nearest
from autoseg.specs.dataset import Dataset, Provenance


@dataclass(frozen=True)
class ConverterInfo:
    """What a converter says of itself.

    Attributes:
        name: Word on the command line, the file's name.
        title: The data set in one line.
        licence: Licence of the images.
        citation: Publication or address to cite.
        needs: The folder or files it reads, in words; empty when it makes its data by itself.
        dataset_name: Bare name of the data set it writes by default.
        scoring: Name of the challenge's scoring protocol, or empty.
        submission: Name of the challenge's submission format, or empty.
    """

    name: str
    title: str
    licence: str
    citation: str
    needs: str
    dataset_name: str
    scoring: str = ""
    submission: str = ""


@dataclass(frozen=True)
class SourceCase:
    """One case as the challenge ships it.

    Attributes:
        case_id: Its name in the raw data set.
        images: Source files (or folders, or archives), as the converter wants them.
        label: Source of the reference, or None.
        split: Where it goes: `imagesTr` or `imagesTs`.
        provenance: Origin, patient and overlap group.
        has_label: Whether a label file is written; always for training cases.
        details: Whatever else `convert_case` must know.
    """

    case_id: str
    images: tuple[Path, ...]
    label: Path | None = None
    split: Literal["train", "test"] = "train"
    provenance: Provenance = field(default_factory=Provenance)
    has_label: bool = True
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[Path, ...]:
        """Every file the case is made from."""
        return (*self.images, *([] if self.label is None else [self.label]))


@dataclass(frozen=True)
class CaseTarget:
    """Files that `convert_case` must write.

    Attributes:
        images: One file per channel.
        label: The label file of a training case, else None.
    """

    images: tuple[Path, ...]
    label: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.images, *([] if self.label is None else [self.label]))


class NoOptions(BaseModel):
    """A converter without options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Converter(Protocol):
    """Inherit from this class and put one instance, `converter`, into the module.

    Instances are sent to worker processes: keep them small.
    """

    Options: ClassVar[type[BaseModel]] = NoOptions
    EXAMPLE_OPTIONS: ClassVar[Mapping[str, Any]] = {}
    options: Any = NoOptions()

    def spec(self) -> ConverterInfo:
        """Name, licence and needs."""
        ...

    def recognises(self, source: Path) -> bool:
        """Whether the folder looks like this data set; cheap, and false rather than an error."""
        ...

    def cases(self, source: Path) -> Sequence[SourceCase]:
        """Every case, without reading images.

        Raises:
            DatasetError: The layout is not as expected.
        """
        ...

    def dataset(self, source: Path) -> Dataset:
        """`dataset.json` of the result; `name` is the bare name of its folder unless the user gives another."""
        ...

    def convert_case(self, case: SourceCase, target: CaseTarget) -> Sequence[tuple[str, str]] | None:
        """Write the case's files.

        Returns:
            What was let pass but should be looked at, as (problem, cure); None is the same as nothing.

        Raises:
            DatasetError: The case is broken.
        """
        ...

    def example(self, root: Path) -> Path:
        """Write a miniature of the original layout below `root` and return the source folder.

        It has two training cases, or two test cases where the source has no labels.
        """
        ...

    def with_options(self, values: Mapping[str, Any]) -> Self:
        """A copy with options.

        Raises:
            RegistryError: An option is unknown (with the nearest name) or its value wrong.
        """
        try:
            options = self.Options.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            unknown = first["type"] == "extra_forbidden"
            cure = nearest(name, self.Options.model_fields) if unknown else first["msg"].removeprefix("Value error, ")
            problem = f"converter '{self.spec().name}', option '{name}' = {first['input']!r}"
            raise RegistryError(problem, cure) from error
        configured = type(self)()
        configured.options = options
        return configured
