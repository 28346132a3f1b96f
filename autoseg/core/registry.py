"""Find components by short name: one public file of a folder is one component."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from autoseg.core.errors import RegistryError

if TYPE_CHECKING:
    from pydantic import BaseModel


def nearest(name: str, known: Iterable[str]) -> str:
    """Cure for a mistyped name: the closest known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(names) or 'none'}"


class Registry:
    """Components of one kind, discovered by file name and imported on first use.

    A component file defines `Options` (a frozen pydantic model) and `build(options, **context)`; what the context
    holds and what `build` returns is stated by the package that owns the registry.

    Args:
        package: Import path of the folder, e.g. `autoseg.losses`.
        kind: What one component is, singular, for messages.
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package = package
        self.kind = kind
        self._names: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Sorted component names, looked up once; nothing is imported but the package itself.

        Raises:
            RegistryError: When two files claim the same name.
        """
        if self._names:
            return self._names
        folders = [Path(folder) for folder in importlib.import_module(self.package).__path__]
        files = [path.stem for folder in folders for path in folder.glob("*.py")]
        packages = [path.parent.name for folder in folders for path in folder.glob("*/__init__.py")]
        found = [name for name in (*files, *packages) if not name.startswith("_")]
        for name in found:
            if found.count(name) > 1:
                raise RegistryError(f"two files in {self.package} define the {self.kind} '{name}'", "rename one")
        self._names = tuple(sorted(found))
        return self._names

    def check_name(self, name: str) -> None:
        """Refuse an unknown name, without importing anything.

        Raises:
            RegistryError: Unknown name.
        """
        if name not in self.names():
            raise RegistryError(f"unknown {self.kind} '{name}'", nearest(name, self.names()))

    def load(self, name: str) -> ModuleType:
        """Import the component's module.

        Raises:
            RegistryError: Unknown name, a file that fails to import, or one without `Options` and `build`.
        """
        self.check_name(name)
        try:
            module = importlib.import_module(f"{self.package}.{name}")
        except Exception as error:
            raise RegistryError(f"{self.package.replace('.', '/')}/{name}.py does not import ({error!r})") from error
        for attribute in ("Options", "build"):
            if not hasattr(module, attribute):
                raise RegistryError(f"{self.package.replace('.', '/')}/{name}.py", f"define '{attribute}'")
        return module

    def options(self, name: str, values: Mapping[str, Any] | None = None) -> BaseModel:
        """Validate options without building.

        Raises:
            RegistryError: Unknown component, unknown option (with the nearest name) or a value of the wrong type.
        """
        from pydantic import ValidationError  # a fifth of the start-up of commands that need none

        model: type[BaseModel] = self.load(name).Options
        try:
            return model.model_validate(dict(values or {}))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            cure = nearest(field, model.model_fields) if first["type"] == "extra_forbidden" else first["msg"]
            raise RegistryError(f"{self.kind} '{name}', option '{field}' = {first['input']!r}", cure) from error

    def build(self, name: str, values: Mapping[str, Any] | None = None, **context: Any) -> Any:
        """Validate `values` and build the component."""
        return self.load(name).build(self.options(name, values), **context)
