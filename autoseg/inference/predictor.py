"""Segment images from Python: load a model folder once, then predict paths, arrays or SimpleITK images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.inference.export import Labels, MemberLogits, merged_labels_on_native_grid
from autoseg.inference.forward import Precision
from autoseg.inference.model_folder import LoadedMember, checked_weights, load_members, read_model, space_of
from autoseg.inference.record import chosen_step_size
from autoseg.inference.region import merge_found
from autoseg.inference.region_stage import RegionStage
from autoseg.inference.runner import PreparedCase, RawImage, Runner
from autoseg.inference.share import ORIGIN
from autoseg.inference.sources import as_image
from autoseg.inference.steps import read_steps
from autoseg.postprocessing import apply_steps
from autoseg.preprocessing.case import preprocess_case
from autoseg.preprocessing.masks import labels_on_plan_grid
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.plan import Configuration, Region

__all__ = ["Prediction", "Predictor", "PreparedCase", "Runner"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Prediction:
    """A segmentation.

    Attributes:
        labels: (Z, Y, X), label values as in `dataset.json`, on the image's own grid.
        geometry: That grid.
    """

    labels: Labels
    geometry: Geometry


class Predictor:
    """A trained model, ready to segment.

    Args:
        model: Its recipe.
        members: Networks, previous stages of a cascade first.
        final: Configurations whose probabilities are averaged.
        runner: Device and settings.
        steps: Post-processing of the labels.
        first: Finds the organ where the member looks at a region.
    """

    def __init__(
        self,
        model: Model,
        members: Sequence[LoadedMember],
        *,
        final: Sequence[str],
        runner: Runner,
        steps: Sequence[Component] = (),
        first: Predictor | None = None,
    ) -> None:
        self.model = model
        self.space = runner.space
        self.runner = runner
        self.final = tuple(final)
        self.steps = tuple(steps)
        self.weights: dict[str, float] = {}
        self.members = tuple(LoadedMember(member.configuration, runner.place(member.networks)) for member in members)
        self.first = first
        last = self.members[-1]
        self.region = None if first is None else RegionStage(last.configuration, last.networks, runner)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        device: str = "auto",
        folds: Sequence[str] = (),
        configurations: Sequence[str] = (),
        step_size: float | None = None,
        mirror: bool | None = None,
        precision: Literal["auto"] | Precision = "auto",
        postprocess: bool = True,
        weights: Mapping[str, float] | None = None,
    ) -> Self:
        """Read a model folder.

        Args:
            folder: Holds `model.json`.
            device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
            folds: To average; empty takes all.
            configurations: Members to average; empty takes the selected ones.
            step_size: Window step as a share of the patch; None takes the model's.
            mirror: Average over mirrored copies; None takes the model's.
            precision: `auto`, `float32`, `bfloat16` or `float16`.
            postprocess: Apply the steps of `postprocess.json`, which hold for the selected members.
            weights: Member -> share in the average, 1 where it is not named; None takes the model's.

        Raises:
            SpecError: Not a model folder, a configuration or fold that the model does not have, or a wrong window step.
            CheckpointError: Missing or damaged weights.
        """
        folder = Path(folder)
        model = read_model(folder)
        members = load_members(folder, model, configurations=configurations, folds=folds)
        final = tuple(configurations) or model.selected
        shares = checked_weights(model, final, weights or {})
        mirrors = model.predict.mirror if mirror is None else mirror
        runner = Runner(
            space_of(model, final),
            mirror_axes=model.mirror_axes if mirrors else (),
            laterality=model.laterality,
            step_size=chosen_step_size(model, step_size),
            device=device,
            precision=precision,
            half_sums=(folder / ORIGIN).is_dir(),  # nnU-Net's model: its masks, to the last rounding
        )
        steps = read_steps(folder, model, final) if postprocess else ()
        region = members[-1].configuration.region
        first = None
        if region is not None:
            *earlier, last = members
            first = cls._load_first(folder, model, earlier, region, mirror=mirror, device=device, precision=precision)
            members = (last,)
        predictor = cls(model, members, final=final, runner=runner, steps=steps, first=first)
        predictor.weights = shares
        return predictor

    @classmethod
    def _load_first(
        cls,
        folder: Path,
        model: Model,
        members: Sequence[LoadedMember],
        region: Region,
        *,
        mirror: bool | None,
        device: str,
        precision: Literal["auto"] | Precision,
    ) -> Self:
        """Whatever finds the organ: a model inside of the model folder, or earlier members."""
        mirrors = region.mirror and mirror is not False
        if region.model is not None:
            path = folder / region.model
            return cls.load(path, device=device, step_size=region.step_size, mirror=mirrors, precision=precision)
        stage: Configuration = members[-1].configuration
        runner = Runner(
            space_of(model, (stage.name,)),
            mirror_axes=model.mirror_axes if mirrors else (),
            laterality=model.laterality,
            step_size=region.step_size,
            device=device,
            precision=precision,
        )
        return cls(model, members, final=(stage.name,), runner=runner)

    def predict(self, source: Any) -> Prediction:
        """Segment one image.

        Args:
            source: A path, one path per channel, an array (Z, Y, X) or (C, Z, Y, X) with its spacing (z, y, x) in mm,
                or a SimpleITK image.

        Raises:
            DatasetError: The image cannot be read or has other channels than the model.
        """
        array, geometry, case_id = as_image(source, channels=self.model.channels)
        prepared = self.prepare(array, geometry, case_id=case_id)
        return Prediction(self.labels(self.logits(prepared)), geometry)

    def prepare(self, image: Array, geometry: Geometry, *, case_id: str = "image") -> PreparedCase:
        """Preprocess (C, Z, Y, X) for every member; members with equal preprocessing share the result.

        Raises:
            DatasetError: The channels are not the model's.
        """
        if len(image) != len(self.model.channels):
            raise DatasetError(
                f"{case_id} has {len(image)} channels, the model takes {len(self.model.channels)} "
                f"({', '.join(self.model.channels)})",
                "give the channels that the model was trained on, in that order",
                case_id=case_id,
            )
        if self.first is not None:
            # The second stage's part of the image is known when the first has run.
            return replace(self.first.prepare(image, geometry, case_id=case_id), raw=RawImage(image, geometry, case_id))
        images = {}
        sections = [member.configuration.preprocessing for member in self.members]
        for digest, section in {section.digest(): section for section in sections}.items():
            array, _, record, _ = preprocess_case(image, geometry, None, section, self.space, case_id=case_id)
            images[digest] = (torch.from_numpy(np.ascontiguousarray(array)), record)
        return PreparedCase(case_id, images)

    def logits(self, case: PreparedCase) -> tuple[MemberLogits, ...]:
        """Run the members over a prepared case; those of earlier cascade stages feed the later ones.

        Returns:
            One per configuration of `final`.
        """
        if self.first is not None and self.region is not None and case.raw is not None:
            started = time.perf_counter()
            organ = self.first.labels(self.first.logits(case))
            return (self.region.logits(case.raw, organ, started=started),)
        done: dict[str, MemberLogits] = {}
        for member in self.members:
            configuration = member.configuration
            image, record = case.images[configuration.preprocessing.digest()]
            previous = None
            if configuration.previous_stage is not None:
                earlier = merged_labels_on_native_grid((done[configuration.previous_stage],), self.space)
                previous = labels_on_plan_grid(earlier, record, configuration.preprocessing.resampling)
            half = len(self.final) > 1  # they wait for each other
            found = self.runner.logits(member.networks, configuration, image, record, previous, half=half)
            done[configuration.name] = found
        return tuple(replace(done[name], weight=self.weights.get(name, 1.0)) for name in self.final)

    def labels(self, members: Sequence[MemberLogits]) -> Labels:
        """Labels (Z, Y, X) of the members' mean probabilities on the image's own grid, post-processed."""
        labels = merged_labels_on_native_grid(members, self.space)
        if members[0].found is not None:
            merge_found(labels, members[0].found, self.space, members[0].record.original.spacing_mm)
        return apply_steps(self.steps, labels, members[0].record.original.spacing_mm)
