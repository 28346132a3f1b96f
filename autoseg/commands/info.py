"""info: what is installed, what this machine offers, what the workspace holds. Answers without loading torch."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from rich.console import Console

from autoseg import __version__
from autoseg.core.workspace import Workspace
from autoseg.datasets.registry import converter_names, load_converter
from autoseg.devices.budget import DeviceBudget, measure_device
from autoseg.devices.cpu import BFLOAT16_FLAGS, cpu_flags
from autoseg.devices.memory import available_memory_bytes, memory_limit_bytes
from autoseg.planning.methods import method_names, read_method

PACKAGES = ("torch", "numpy", "scipy", "nibabel", "SimpleITK", "blosc2")
GIGABYTE = 1e9


@dataclass(frozen=True)
class Options:
    """What to tell.

    Attributes:
        datasets: List the converters with what they need instead.
        device: Device to describe.
    """

    datasets: bool = False
    device: str = "auto"


def run(options: Options, workspace: Workspace) -> str:
    """Print and return the lines."""
    text = _converters() if options.datasets else _machine(options, workspace)
    Console(soft_wrap=True).print(text, markup=False, highlight=False)
    return text


def _machine(options: Options, workspace: Workspace) -> str:
    budget = measure_device(options.device)
    total, free = memory_limit_bytes() / GIGABYTE, available_memory_bytes() / GIGABYTE
    rows = [
        ("autoseg", f"{__version__} on Python {platform.python_version()}, {platform.platform(terse=True)}"),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ("device", f"{budget.kind}: {budget.description}"),
        ("precision", _precision(budget)),
        ("memory", f"{free:.1f} of {total:.1f} GB free for this process"),
        *(("method", f"{name}: {read_method(name).description}") for name in method_names()),
        ("converters", f"{', '.join(converter_names())} (more: autoseg info --datasets)"),
        *_contents(workspace),
    ]
    return _aligned(rows)


def _precision(budget: DeviceBudget) -> str:
    """What `devices.precision` will choose, as far as it can be told without torch."""
    if budget.kind == "gpu":
        return "bfloat16 where the GPU computes it, else float16"
    flags = cpu_flags()
    if not flags:
        return "measured when training starts"
    found = sorted(flags & BFLOAT16_FLAGS)
    return f"bfloat16 ({', '.join(found)})" if found else "float32 (no bfloat16 instructions)"


def _contents(workspace: Workspace) -> list[tuple[str, str]]:
    if not workspace.root.is_dir():
        return [("workspace", f"{workspace.root} (not there yet)")]
    datasets = workspace.datasets()
    models = [f"{folder.parent.name}/{folder.name}" for folder in workspace.models()]
    return [
        ("workspace", str(workspace.root)),
        ("data sets", ", ".join(datasets) or "none"),
        ("models", ", ".join(models) or "none"),
    ]


def _converters() -> str:
    blocks = []
    for name in converter_names():
        told = load_converter(name).spec()
        rows = [("source", told.needs or "none: it makes its data"), ("licence", told.licence), ("cite", told.citation)]
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in load_converter(name).Options.model_fields)
        rows += [("options", flags)] if flags else []
        blocks.append(f"{name}: {told.title}\n" + "\n".join(f"  {key:<8} {value}" for key, value in rows))
    return "\n\n".join(blocks)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _aligned(rows: list[tuple[str, str]]) -> str:
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key:<{width}}  {value}" for key, value in rows)
