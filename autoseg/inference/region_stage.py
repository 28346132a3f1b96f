"""The second stage of a region-of-interest cascade over one case: box, network, a look at the box's faces."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from autoseg.core.geometry import Geometry
from autoseg.imageops.crop import Box, Margins, box_bounds, common_box, dilate_box
from autoseg.inference.export import MemberLogits, decided_labels
from autoseg.inference.region import Found, Organ, Story, cut_sides, find_organ
from autoseg.inference.runner import RawImage, Runner
from autoseg.preprocessing.case import Frame, preprocess_case
from autoseg.preprocessing.masks import labels_on_plan_grid
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Configuration, Region

Labels = npt.NDArray[np.integer[Any]]
MOST_GROWN = 2
"""Times that a box is grown before the whole case is taken."""
LEAST_GROWTH_MM = 10.0
"""Margin of a face that cut the organ, at least."""


class RegionStage:
    """Segments around the organ that another network found; never fails on what that one found or did not.

    Args:
        configuration: Of the second stage.
        networks: One per fold, from `runner.place`.
        runner: Device and settings.
    """

    def __init__(self, configuration: Configuration, networks: Sequence[nn.Module], runner: Runner) -> None:
        if configuration.region is None:
            raise ValueError(f"{configuration.name} has no region")
        self.configuration, self.networks, self.runner = configuration, tuple(networks), runner
        self.region: Region = configuration.region

    def logits(self, image: RawImage, first: Labels, *, started: float | None = None) -> MemberLogits:
        """Logits in the box around the organ, or in the whole case; what happened is noted in `found`.

        Args:
            image: As read.
            first: Labels (Z, Y, X) of the first stage on the image's grid.
            started: When the first stage began, by `time.perf_counter`; None is now.
        """
        started = time.perf_counter() if started is None else started
        organ = find_organ(first, image.geometry, self.region)
        story = Story(organ_ml=organ.volume_ml, box=((0, 0, 0), image.geometry.shape))
        if organ.box is None:
            story.events.append(f"{organ.problem}: the whole case is segmented")
            member = self._segment(image, organ, None)
        else:
            member = self._around(image, organ, organ.box, story)
        story.box = self._box_in_file(member.record, image.geometry)
        story.seconds = time.perf_counter() - started
        return replace(member, found=Found(organ, self.region, story))

    def _around(self, image: RawImage, organ: Organ, organ_box: Box, story: Story) -> MemberLogits:
        preprocessing, geometry = self.configuration.preprocessing, image.geometry
        frame = Frame.of(geometry, preprocessing)
        limits = frame.image_box(image.array, preprocessing)
        # A mask of another program may lie where the image has nothing.
        around = common_box(frame.from_file(organ_box, geometry.shape), limits) or limits
        margins = [[self.region.margin_mm, self.region.margin_mm] for _ in range(3)]
        for grown in range(MOST_GROWN + 1):
            box = dilate_box(around, _frozen(margins), frame.spacing_mm, limits=limits)
            member = self._segment(image, organ, box)
            cut = cut_sides(decided_labels(member, self.runner.space), self.region, box, limits)
            if not cut:
                return member
            if grown == MOST_GROWN:
                break
            for axis, side in cut:
                margins[axis][side] = max(2 * margins[axis][side], LEAST_GROWTH_MM)
            story.events.append(f"the box cut the organ on {len(cut)} sides and was grown there")
        story.events.append("the grown box still cut the organ: the whole case is segmented")
        return self._segment(image, organ, None)

    def _segment(self, image: RawImage, organ: Organ, box: Box | None) -> MemberLogits:
        configuration = self.configuration
        array, _, record, _ = preprocess_case(
            image.array,
            image.geometry,
            None,
            configuration.preprocessing,
            self.runner.space,
            case_id=image.case_id,
            region=box,
        )
        inside = self._organ_on_grid(organ, record)
        if self.region.blank_outside and organ.mask is not None:
            array = array * (inside > 0)
        previous = inside if self.region.input_channel else None
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return self.runner.logits(self.networks, configuration, tensor, record, previous)

    def _organ_on_grid(self, organ: Organ, record: CaseRecord) -> Labels:
        """The organ, as the value of its own tissue, on the grid of the network; nothing where none was found."""
        if organ.mask is None:
            return np.zeros(record.shape_voxels, np.int16)
        rule = self.configuration.preprocessing.resampling
        on_grid = labels_on_plan_grid(organ.mask.astype(np.uint8), record, rule)
        return on_grid * self.region.host

    def _box_in_file(self, record: CaseRecord, geometry: Geometry) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        first, second, third = (
            slice(start, stop) for start, stop in zip(record.crop_start_voxels, record.crop_stop_voxels, strict=True)
        )
        frame = Frame.of(geometry, self.configuration.preprocessing)
        return box_bounds(frame.to_file((first, second, third), geometry.shape))


def _frozen(margins: Sequence[Sequence[float]]) -> Margins:
    z, y, x = ((float(before), float(after)) for before, after in margins)
    return (z, y, x)
