"""Losses by name: `build(options, space, batch_dice) -> callable(logits, target, mask) -> scalar` (layer 3).

Component files import torch only inside `build`, so that options can be validated by commands that never touch torch.
For the same reason one that is not for all labels, or not for all batches, says so in functions of its own:
`check(options, *, space)` raises a `SpecError`, `caution(options, *, samples)` returns a line or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoseg.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoseg.core.labels import LabelSpace

losses = Registry(__name__, "loss")


def check_labels(name: str, values: Mapping[str, Any] | None, space: LabelSpace) -> None:
    """Refuse a loss that cannot judge these labels, before any work.

    Args:
        name: Registry name.
        values: Its options.
        space: Classes or regions.

    Raises:
        SpecError: It names the loss to choose instead.
        RegistryError: Unknown loss or option.
    """
    check = getattr(losses.load(name), "check", None)
    if check is not None:
        check(losses.options(name, values), space=space)


def caution(name: str, values: Mapping[str, Any] | None, *, samples: int) -> str | None:
    """What a user should know of a loss that judges so many samples at a time; None for nothing.

    Args:
        name: Registry name.
        values: Its options.
        samples: That go through the network together.

    Raises:
        RegistryError: Unknown loss or option.
    """
    said = getattr(losses.load(name), "caution", None)
    line: str | None = None if said is None else said(losses.options(name, values), samples=samples)
    return line
