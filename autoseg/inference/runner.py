"""An image made ready for networks, and networks on a device with the settings of the sliding window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from autoseg.core.errors import SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.devices.precision import choose_precision
from autoseg.devices.select import select_device
from autoseg.inference.cascade import PreviousLabels, with_previous_labels
from autoseg.inference.export import MemberLogits
from autoseg.inference.forward import Precision, Swap, cast_networks
from autoseg.inference.sliding import predict_logits
from autoseg.inference.spill import OnDisk, empty_on_disk
from autoseg.inference.thrift import Thrift
from autoseg.networks import context_voxels
from autoseg.specs.case import CaseRecord
from autoseg.specs.laterality import Laterality
from autoseg.specs.plan import Configuration

_CURE = "predict with --disable-tta, or take laterality out of model.json"


@dataclass(frozen=True)
class RawImage:
    """An image as read.

    Attributes:
        array: (C, Z, Y, X).
        geometry: Its grid.
        case_id: Name for messages.
    """

    array: npt.NDArray[np.floating[Any]]
    geometry: Geometry
    case_id: str


@dataclass(frozen=True)
class PreparedCase:
    """An image on the grid of each member.

    Attributes:
        case_id: Name for messages.
        images: Digest of a preprocessing -> image (C, Z, Y, X) and its record.
        raw: The image as read, where a later stage cuts its own part of it.
    """

    case_id: str
    images: dict[str, tuple[torch.Tensor, CaseRecord]]
    raw: RawImage | None = None


class Runner:
    """Networks on a device with the settings of the sliding window.

    Attributes:
        thrift: How much memory is saved; may be set at any time.

    Args:
        space: What the heads mean.
        mirror_axes: Axes (z, y, x) to average mirrored copies over; empty for none.
        step_size: Window step as a share of the patch.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: Type to compute in; `auto` takes the fastest that the device has.
        laterality: Labels that change places in copies mirrored left to right; None for none.
        half_sums: Round the sums of windows as nnU-Net does, see `predict_logits`.
    """

    def __init__(
        self,
        space: LabelSpace,
        *,
        mirror_axes: Sequence[int],
        step_size: float,
        device: str = "auto",
        precision: Literal["auto"] | Precision = "auto",
        laterality: Laterality | None = None,
        half_sums: bool = False,
    ) -> None:
        self.space = space
        self.half_sums = half_sums
        self.laterality = laterality
        self.thrift = Thrift()
        self.mirror_axes = tuple(mirror_axes)
        self.step_size = step_size
        self.device = select_device(device)
        self.precision: Precision = choose_precision(self.device, precision)

    def place(self, networks: Sequence[nn.Module]) -> tuple[nn.Module, ...]:
        """Networks on the device, in the type to compute in."""
        return cast_networks(networks, device=self.device, precision=self.precision)

    def logits(
        self,
        networks: Sequence[nn.Module],
        configuration: Configuration,
        image: torch.Tensor,
        record: CaseRecord,
        previous: PreviousLabels | None = None,
        *,
        half: bool = False,
    ) -> MemberLogits:
        """Run one member over one case.

        Args:
            networks: From `place`.
            configuration: Patch and resampling.
            image: (C, Z, Y, X) on the member's grid.
            record: How it came there.
            previous: Labels (Z, Y, X) of the previous stage on the member's grid, for a cascade.
            half: Logits in float16, however small: they wait in memory for other members.

        Raises:
            SpecError: Labels that change places have no counterpart among the outputs or inputs of the network.
        """
        swap = self._swap(configuration, len(image))
        if previous is not None:
            image = with_previous_labels(image, previous, configuration.previous_values(self.space))
        spilled: list[OnDisk] = []

        def on_disk(shape: tuple[int, ...], kind: torch.dtype) -> tuple[torch.Tensor, Callable[[], None]]:
            made = empty_on_disk(self.thrift.disk or Path(), shape, kind)
            spilled.append(made)
            return made.tensor, made.release

        logits = predict_logits(
            networks,
            image,
            patch_size_voxels=configuration.window,
            context_voxels=context_voxels(configuration.network.name, configuration.network.options),
            step_size=self.step_size,
            mirror_axes=self.mirror_axes,
            device=self.device,
            precision=self.precision,
            passes_at_once=self.thrift.passes,
            half=half,
            half_sums=self.half_sums,
            store=None if self.thrift.disk is None else on_disk,
            swap=swap,
        )
        release = spilled[0].release if spilled else None
        rule = configuration.preprocessing.resampling
        return MemberLogits(logits, record, rule, release=release, half=self.half_sums)

    def _swap(self, configuration: Configuration, image_channels: int) -> Swap | None:
        """What changes places in mirrored copies; None where none is mirrored left to right."""
        sides = self.laterality
        if sides is None or sides.axis not in self.mirror_axes:
            return None
        heads, places = sides.heads(self.space), sides.places(configuration.previous_values(self.space))
        if heads is None or places is None:
            raise SpecError(f"laterality: the labels {sides.pairs} of {configuration.name} cannot change places", _CURE)
        channels = (*range(image_channels), *(image_channels + place for place in places))
        return Swap(sides.axis, channels, heads)
