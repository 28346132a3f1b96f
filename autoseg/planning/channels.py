"""Normaliser per channel from its name, and whether it looks only inside the non-zero mask."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.specs.document import Component
from autoseg.specs.plan import Decision

MASK_BELOW_RELATIVE_SIZE = 3 / 4
"""Median share of voxels left by the non-zero crop below which z-scores use the mask (nnU-Net v2)."""

_BY_NAME = {
    "ct": "ct_clip",
    "nonorm": "none",
    "zscore": "zscore",
    "rescale_to_0_1": "rescale_to_0_1",
    "rgb_to_0_1": "rgb_to_0_1",
}
"""Channel names, without case, that choose a normaliser (nnU-Net v2); any other name takes the z-score."""


def normalization(name: str) -> Component:
    """Normaliser of a channel."""
    return Component(name=_BY_NAME.get(name.casefold(), "zscore"))


def normalizations(channels: Sequence[str], relative_size: float) -> tuple[tuple[Component, ...], tuple[bool, ...]]:
    """Normaliser and mask use of every channel.

    Args:
        channels: Names in input order.
        relative_size: Median over cases of voxels after / before the non-zero crop.
    """
    components = tuple(normalization(name) for name in channels)
    masked = relative_size < MASK_BELOW_RELATIVE_SIZE
    return components, tuple(masked and component.name == "zscore" for component in components)


def explain(
    channels: Sequence[str], components: Sequence[Component], masks: Sequence[bool], relative_size: float
) -> tuple[Decision, ...]:
    """One decision per channel."""
    sign = "<" if relative_size < MASK_BELOW_RELATIVE_SIZE else ">="
    share = f"the non-zero crop keeps {relative_size:.2f} {sign} {MASK_BELOW_RELATIVE_SIZE:g} of the voxels (median)"
    found = []
    for name, component, mask in zip(channels, components, masks, strict=True):
        value = component.name + (" inside the non-zero mask" if mask else "")
        reason = f"channel name '{name}'" + (f"; {share}" if component.name == "zscore" else "")
        found.append(Decision(topic=f"normalisation of {name}", value=value, reason=reason))
    return tuple(found)
