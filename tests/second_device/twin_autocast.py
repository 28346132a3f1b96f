"""Autocast of the second device by CUDA's rules, read from the lists that torch compiles them from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

HEADER = Path(torch.__file__).parent / "include" / "ATen" / "autocast_mode.h"
KEY = "AutocastPrivateUse1"
FALLBACK, LIBRARY = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
HALF = (torch.bfloat16, torch.float16)


def named(group: str) -> Iterator[tuple[str, Any]]:
    """Operations of a list, with the names that they are registered by; those that this build lacks are left out."""
    text = re.search(rf"#define {group}\(_\)(.*?)\n\n", HEADER.read_text(), re.DOTALL)
    assert text is not None, f"{HEADER} has no {group}"
    for name, overload in re.findall(r"_\((\w+)(?:, (\w+))?\)", text[1]):
        packet = getattr(torch.ops.aten, name, None)
        if packet is not None and (overload or "default") in packet.overloads():
            yield f"{name}.{overload}" if overload else name, getattr(packet, overload or "default")


def lowered(values: Any) -> Any:
    return cast(torch.get_autocast_dtype("twin"), values)


def raised(values: Any) -> Any:
    return cast(torch.float32, values)


def widest(values: Any) -> Any:
    kinds = [leaf.dtype for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]
    return raised(values) if torch.float32 in kinds else values


def cast(kind: torch.dtype, values: Any) -> Any:
    """Floating tensors of up to 32 bits in that type."""

    def one(value: Any) -> Any:
        eligible = isinstance(value, torch.Tensor) and value.dtype in (torch.float32, *HALF)
        return value.to(kind) if eligible else value

    return tree_map(one, values)


def _kernel(operation: Any, rule: Callable[[Any], Any]) -> Callable[..., Any]:
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, KEY))

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            args, kwargs = rule((args, kwargs))
            return operation(*args, **kwargs)

    return run


def register_autocast() -> None:
    """Once per process."""
    FALLBACK.fallback(torch.library.fallthrough_kernel, KEY)
    for group, rule in (
        ("AT_FORALL_LOWER_PRECISION_FP", lowered),
        ("AT_FORALL_FP32", raised),
        ("AT_FORALL_FP32_SET_OPT_DTYPE", raised),
        ("AT_FORALL_PROMOTE", widest),
    ):
        for name, operation in named(group):
            LIBRARY.impl(name, _kernel(operation, rule), KEY)
