"""Find converters: entry points of the group `autoseg.converters`, and the files of `dataset_conversion`."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from autoseg.core.errors import RegistryError
from autoseg.core.registry import nearest
from autoseg.datasets.converter import Converter

GROUP = "autoseg.converters"
PACKAGE = "dataset_conversion"


@functools.cache
def _modules() -> dict[str, str]:
    """Converter name -> import path. A file in the package needs no installation to be found."""
    found = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}
    spec = importlib.util.find_spec(PACKAGE)
    for module in pkgutil.iter_modules(spec.submodule_search_locations if spec else None):
        if spec is not None and not module.name.startswith("_"):
            path = f"{PACKAGE}.{module.name}"
            other = found.setdefault(module.name, path)
            if other != path:
                raise RegistryError(f"{path} and {other} both define the converter '{module.name}'", "rename one")
    return found


def converter_names() -> tuple[str, ...]:
    """Sorted names; no converter is imported."""
    return tuple(sorted(_modules()))


def load_converter(name: str) -> Converter:
    """Import a converter by name; `-` and `_` are equal.

    Raises:
        RegistryError: Unknown name, or a module that does not import or has no `converter`.
    """
    converter: Converter = converter_module(name).converter
    return converter


def converter_module(name: str) -> ModuleType:
    """The file of a converter; `-` and `_` are equal.

    Raises:
        RegistryError: Unknown name, or a module that does not import or has no `converter`.
    """
    wanted = name.replace("-", "_")
    if wanted not in _modules():
        raise RegistryError(f"unknown converter '{name}'", nearest(wanted, converter_names()))
    path = _modules()[wanted]
    try:
        module = importlib.import_module(path)
    except Exception as error:
        raise RegistryError(f"{path.replace('.', '/')}.py does not import ({error!r})") from error
    if not hasattr(module, "converter"):
        raise RegistryError(f"{path.replace('.', '/')}.py has no 'converter'", "put an instance of a Converter there")
    return module


def recognising(source: Path) -> tuple[str, ...]:
    """Names of the converters that take a folder for their data set."""
    return tuple(name for name in converter_names() if load_converter(name).recognises(source))
