"""Load a method: built-in or a file, on top of what it extends, with `--set` overrides."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.specs.document import read_values
from autoseg.specs.method import Method

SUFFIX = ".toml"


def method_names() -> tuple[str, ...]:
    """Sorted names of the built-in methods."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in _folder().iterdir() if path.name.endswith(SUFFIX)))


def load_method(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Method:
    """Built-in method by name, or a TOML file by path, with known components.

    Args:
        name_or_path: A path has the suffix `.toml`.
        overrides: `section.key=value`, the value in TOML (a bare word is taken as a string), later ones win.

    Raises:
        SpecError: Unknown method, a circle of `extends`, broken TOML, an unknown key or a value of the wrong type.
        RegistryError: Unknown component or option of one.
    """
    method = read_method(name_or_path, overrides)
    _check_components(method)
    return method


def read_method(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Method:
    """The same without a look at the components, whose files take a moment to import."""
    values = _resolved(str(name_or_path), Path.cwd(), ())
    source = f"method {values['name']}"
    for override in overrides:
        _apply(values, override)
        source = f"method {values['name']} with {', '.join(overrides)}"
    _complete_paths(values, Path.cwd())
    return Method.parse(values, source)


def _check_components(method: Method) -> None:
    """Names and options, before any work; of augmentations the names alone, as their files import torch."""
    from autoseg.augment import augmentations
    from autoseg.intensity import normalizers
    from autoseg.losses import losses
    from autoseg.networks import networks
    from autoseg.sampling import samplers

    for registry, component in (
        (networks, method.plan.network),
        (samplers, method.train.sampler),
        *((normalizers, component) for component in method.plan.normalization),
        *((losses, component) for component in (method.train.loss,) if component is not None),
    ):
        registry.options(component.name, component.options)
    for component in method.train.augment:
        augmentations.check_name(component.name)


def _folder() -> Any:
    return importlib.resources.files("autoseg") / "methods"


def _resolved(name: str, folder: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """Values of a method over those it extends; relative paths are relative to the file that names them."""
    values, place, key = _read(name, folder)
    if key in seen:
        raise SpecError(f"methods extend each other in a circle: {' -> '.join((*seen, key))}", "remove one 'extends'")
    own_name = values.get("name", Path(name).name.removesuffix(SUFFIX))
    parent = values.get("extends")
    if parent is not None:
        values = _merged(_resolved(str(parent), place, (*seen, key)), values)
    return {**values, "name": own_name}


def _read(name: str, folder: Path) -> tuple[dict[str, Any], Path, str]:
    """Values, folder for relative names, and an identity."""
    if name.endswith(SUFFIX):
        path = (folder / name).resolve()
        values = dict(read_values(path))
        _complete_paths(values, path.parent)
        return values, path.parent, str(path)
    known = method_names()
    if name not in known:
        raise SpecError(f"no method '{name}'", f"{nearest(name, known)} A file is given with its suffix {SUFFIX}")
    text = (_folder() / f"{name}{SUFFIX}").read_text(encoding="utf-8")
    return tomllib.loads(text), folder, name


def _complete_paths(values: dict[str, Any], folder: Path) -> None:
    """Whole paths in place: a plan that names a model is used by later commands, which may run in another folder."""
    region = values["plan"].get("region") if isinstance(values.get("plan"), dict) else None
    if isinstance(region, dict) and isinstance(region.get("model"), str):
        region["model"] = str((folder / region["model"]).resolve())


def _merged(base: Any, over: Any) -> Any:
    """Tables are merged key by key; a table that names another component replaces the whole table."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    if "options" in base and "name" in over and over["name"] != base.get("name"):
        return over
    return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in over.items()}}


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one dotted key in place."""
    dotted, equals, text = override.partition("=")
    keys = [part.strip().replace("-", "_") for part in dotted.split(".")]
    if not equals or not all(keys):
        raise SpecError(f"--set {override}", "write section.key=value, e.g. plan.seconds_per_step=0.3")
    table = values
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise SpecError(f"--set {override}: '{key}' is not a section", "shorten the key")
    table[keys[-1]] = _merged(table.get(keys[-1]), _value(text.strip()))


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
