"""Normaliser per channel from its name, and whether it looks only inside the non-zero mask."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autoseg.core.errors import SpecError
from autoseg.intensity import modality_of, normalizers, steps_of, title_of
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
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


def normalizations(
    channels: Sequence[str], relative_size: float, chosen: Sequence[Component] = ()
) -> tuple[tuple[Component, ...], tuple[bool, ...]]:
    """Normaliser and mask use of every channel.

    Args:
        channels: Names in input order.
        relative_size: Median over cases of voxels after / before the non-zero crop.
        chosen: The method's: none, one for all channels, or one per channel.

    Raises:
        SpecError: Another number of normalisers, or one for a modality that the channel is not of.
        RegistryError: Unknown normaliser or option.
    """
    if len(chosen) not in (0, 1, len(channels)):
        raise SpecError(
            f"plan.normalization names {len(chosen)} normalisers for {len(channels)} channels", "give one, or one each"
        )
    wanted = tuple(chosen) * len(channels) if len(chosen) == 1 else tuple(chosen)
    components = wanted or tuple(normalization(name) for name in channels)
    for name, component in zip(channels, components, strict=True):
        _check_modality(name, component)
    masked = relative_size < MASK_BELOW_RELATIVE_SIZE
    return components, tuple(masked and _is_zscore(component) for component in components)


def check(components: Sequence[Component], intensities: Sequence[IntensityStatistics]) -> None:
    """Refuse before any work what the channels' intensities do not allow.

    Raises:
        SpecError: The normaliser says why.
    """
    for component, statistics in zip(components, intensities, strict=True):
        normalizers.build(component.name, component.options, statistics=statistics)


def _check_modality(channel: str, component: Component) -> None:
    wanted = modality_of(component)
    # "CT", "ct_portal" and "low dose CT" are CT; "ADC" and "T1ct" are not.
    if wanted is not None and wanted.casefold() not in re.split("[^a-z0-9]+", channel.casefold()):
        raise SpecError(
            f"channel '{channel}' is not {wanted}, which this method's normalisation ({title_of(component)}) is for",
            f"choose another method, or call the channel {wanted} in dataset.json if it is",
        )


def _is_zscore(component: Component) -> bool:
    return any(step.name == "zscore" for step in steps_of(component))


def explain(
    channels: Sequence[str],
    components: Sequence[Component],
    masks: Sequence[bool],
    relative_size: float,
    *,
    by_method: bool = False,
) -> tuple[Decision, ...]:
    """One decision per channel."""
    sign = "<" if relative_size < MASK_BELOW_RELATIVE_SIZE else ">="
    share = f"the non-zero crop keeps {relative_size:.2f} {sign} {MASK_BELOW_RELATIVE_SIZE:g} of the voxels (median)"
    found = []
    for name, component, mask in zip(channels, components, masks, strict=True):
        value = title_of(component) + (" inside the non-zero mask" if mask else "")
        origin = "chosen by the method" if by_method else f"channel name '{name}'"
        reason = origin + (f"; {share}" if _is_zscore(component) else "")
        found.append(Decision(topic=f"normalisation of {name}", value=value, reason=reason))
    return tuple(found)
