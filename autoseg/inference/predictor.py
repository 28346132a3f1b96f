"""Segment images from Python: load a model folder once, then predict paths, arrays or SimpleITK images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.devices.precision import choose_precision
from autoseg.devices.select import select_device
from autoseg.inference.cascade import PreviousLabels, with_previous_labels
from autoseg.inference.export import Labels, MemberLogits, merged_labels_on_native_grid
from autoseg.inference.forward import Precision, cast_networks
from autoseg.inference.model_folder import LoadedMember, load_members, read_model
from autoseg.inference.sliding import predict_logits
from autoseg.inference.sources import as_image
from autoseg.inference.steps import read_steps
from autoseg.postprocessing import apply_steps
from autoseg.preprocessing.case import preprocess_case
from autoseg.preprocessing.masks import labels_on_plan_grid
from autoseg.specs.case import CaseRecord
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.plan import Configuration

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


@dataclass(frozen=True)
class PreparedCase:
    """An image on the grid of each member.

    Attributes:
        case_id: Name for messages.
        images: Digest of a preprocessing -> image (C, Z, Y, X) and its record.
    """

    case_id: str
    images: dict[str, tuple[torch.Tensor, CaseRecord]]


class Runner:
    """Networks on a device with the settings of the sliding window.

    Args:
        space: What the heads mean.
        mirror_axes: Axes (z, y, x) to average mirrored copies over; empty for none.
        step_size: Window step as a share of the patch.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: Type to compute in; `auto` takes the fastest that the device has.
    """

    def __init__(
        self,
        space: LabelSpace,
        *,
        mirror_axes: Sequence[int],
        step_size: float,
        device: str = "auto",
        precision: Literal["auto"] | Precision = "auto",
    ) -> None:
        self.space = space
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
    ) -> MemberLogits:
        """Run one member over one case.

        Args:
            networks: From `place`.
            configuration: Patch and resampling.
            image: (C, Z, Y, X) on the member's grid.
            record: How it came there.
            previous: Labels (Z, Y, X) of the previous stage on the member's grid, for a cascade.
        """
        if previous is not None:
            image = with_previous_labels(image, previous, self.space.foreground_values)
        logits = predict_logits(
            networks,
            image,
            patch_size_voxels=configuration.patch_size_voxels,
            step_size=self.step_size,
            mirror_axes=self.mirror_axes,
            device=self.device,
            precision=self.precision,
        )
        return MemberLogits(logits, record, configuration.preprocessing.resampling)


class Predictor:
    """A trained model, ready to segment.

    Args:
        model: Its recipe.
        members: Networks, previous stages of a cascade first.
        final: Configurations whose probabilities are averaged.
        runner: Device and settings.
        steps: Post-processing of the labels.
    """

    def __init__(
        self,
        model: Model,
        members: Sequence[LoadedMember],
        *,
        final: Sequence[str],
        runner: Runner,
        steps: Sequence[Component] = (),
    ) -> None:
        self.model = model
        self.space = runner.space
        self.runner = runner
        self.final = tuple(final)
        self.steps = tuple(steps)
        self.members = tuple(LoadedMember(member.configuration, runner.place(member.networks)) for member in members)

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

        Raises:
            SpecError: Not a model folder, or a configuration or fold that the model does not have.
            CheckpointError: Missing or damaged weights.
        """
        folder = Path(folder)
        model = read_model(folder)
        members = load_members(folder, model, configurations=configurations, folds=folds)
        mirrors = model.predict.mirror if mirror is None else mirror
        runner = Runner(
            LabelSpace.parse(model.labels, model.regions_class_order),
            mirror_axes=model.mirror_axes if mirrors else (),
            step_size=model.predict.step_size if step_size is None else step_size,
            device=device,
            precision=precision,
        )
        final = tuple(configurations) or model.selected
        steps = read_steps(folder, model, final) if postprocess else ()
        return cls(model, members, final=final, runner=runner, steps=steps)

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
        done: dict[str, MemberLogits] = {}
        for member in self.members:
            configuration = member.configuration
            image, record = case.images[configuration.preprocessing.digest()]
            previous = None
            if configuration.previous_stage is not None:
                earlier = merged_labels_on_native_grid((done[configuration.previous_stage],), self.space)
                previous = labels_on_plan_grid(earlier, record, configuration.preprocessing.resampling)
            done[configuration.name] = self.runner.logits(member.networks, configuration, image, record, previous)
        return tuple(done[name] for name in self.final)

    def labels(self, members: Sequence[MemberLogits]) -> Labels:
        """Labels (Z, Y, X) of the members' mean probabilities on the image's own grid, post-processed."""
        labels = merged_labels_on_native_grid(members, self.space)
        return apply_steps(self.steps, labels, members[0].record.original.spacing_mm)
