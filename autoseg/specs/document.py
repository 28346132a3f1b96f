"""Base of every document: frozen, strict, canonical JSON, errors that name the place."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from autoseg.core.atomic import write_text
from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest


class Section(BaseModel):
    """A part of a document. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def digest(self) -> str:
        """12 hexadecimal digits that change with any field, and with the order of mappings (that of labels counts)."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(values: Any) -> str:
    """12 hexadecimal digits of plain values; the order of mappings counts."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def without(values: dict[str, Any], **usual: Any) -> dict[str, Any]:
    """Values less later fields that hold what held before there were any: documents from then keep their digests."""
    return {key: value for key, value in values.items() if key not in usual or value != usual[key]}


class Component(Section):
    """A registered component by its short name, with its options."""

    name: str
    """Registry name."""
    options: dict[str, Any] = {}
    """Options of that component; validated against its `Options` when the plan is made."""


class Document(Section):
    """A file of its own, with a schema version."""

    SCHEMA_VERSION: ClassVar[int] = 1
    schema_version: int = 1
    """Version of this document's layout; a newer one than this program knows is refused."""

    @classmethod
    def parse(cls, values: Any, source: str) -> Self:
        """Validate plain JSON values.

        Args:
            values: What `json.load` or `tomllib.load` returned.
            source: File name for the message.

        Raises:
            SpecError: Names the field's path, what was found and what was expected or the nearest valid name.
        """
        version = values.get("schema_version", 1) if isinstance(values, dict) else 1
        if isinstance(version, int) and version > cls.SCHEMA_VERSION:
            raise SpecError(f"{source} has schema version {version}, newer than this autoseg", "update autoseg")
        try:
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            raise SpecError(*_explain(error, cls, source)) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a JSON or TOML file.

        Raises:
            SpecError: The file is missing, is not JSON or TOML, or does not validate.
        """
        return cls.parse(read_values(path), str(path))

    OMIT_EMPTY: ClassVar[bool] = False
    """Leave keys without a value out of the file, for formats shared with programs that test for the key alone."""

    def to_json(self) -> str:
        """Indented JSON in the order of the fields; equal documents give equal text.

        Keys of mappings keep their order: the order of `labels` is that of the network's heads.
        """
        values = self.model_dump(mode="json", exclude_none=self.OMIT_EMPTY)
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    def save(self, path: Path) -> None:
        """Write atomically."""
        write_text(path, self.to_json())


def canonical_json(values: Any) -> str:
    """JSON without spaces, keys sorted: the form that digests are taken of."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_values(path: Path) -> Any:
    """Plain values of a JSON or TOML file.

    Raises:
        SpecError: The file is missing or its syntax is broken.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"cannot read {path} ({error.strerror})", "check the path") from error
    try:
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path} is not valid {path.suffix[1:].upper()} ({error})", "mend it by hand") from error


def _explain(error: ValidationError, model: type[BaseModel], source: str) -> tuple[str, str]:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "document"
    found = repr(first.get("input"))
    problem = f"{source}, '{where}': found {found if len(found) <= 80 else found[:77] + '...'}"
    if first["type"] == "extra_forbidden":
        return f"{source}: unknown key '{where}'", nearest(str(first["loc"][-1]), _fields_at(model, first["loc"][:-1]))
    if first["type"] == "missing":
        return f"{source}: key '{where}' is missing", "add it"
    return problem, first["msg"]


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Field names of the section that `location` leads to, as far as it can be followed."""
    current: Any = model
    for part in location:
        field = current.model_fields.get(part) if isinstance(part, str) else None
        annotation = field.annotation if field else None
        # A section that may be left out is a union with None.
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        sections = [kind for kind in kinds if issubclass(kind, BaseModel)]
        if not sections:
            break
        current = sections[0]
    return tuple(current.model_fields)
