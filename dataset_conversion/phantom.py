"""Phantoms: made-up but lifelike scans for trying everything without downloading anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, field_validator

from autoseg.core.geometry import Geometry, Matrix3, Shape3, Vector3
from autoseg.core.seeds import derive_seed
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._phantom_brain import CHANNELS, brain
from dataset_conversion._phantom_ct import abdomen
from dataset_conversion._phantom_scene import Scene

_TUMOURS = (2, 1, 0, 3, 1, 4, 2, 0)  # per case in turn, so that small sets hold healthy livers too
_SIZE: Mapping[str, Shape3] = {"ct": (64, 96, 96), "brain": (64, 96, 80)}
_FIELD_OF_VIEW_MM: Mapping[str, Vector3] = {"ct": (235.0, 384.0, 384.0), "brain": (150.0, 186.0, 155.0)}
MOST_TUMOUR = 0.3
"""Share of the liver that tumours may be."""
MOST_CONTRAST_HU = 100.0
"""Attenuation that tumours may be below the liver's, which has about so much."""
_FLIPS = ((), (1, 2), (0,), (2,), (0, 1, 2), (1,))


class PhantomOptions(BaseModel):
    """What to make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Literal["ct", "brain"] = "ct"
    """`ct`: abdomen with liver and tumours. `brain`: skull-stripped MR in four sequences with a glioma."""
    cases: int = 32
    """Training cases."""
    test_cases: int = 6
    """Cases without labels in `imagesTs`; their labels are in `labelsTs`."""
    seed: int = 0
    """Equal seeds give equal files."""
    size: tuple[int, int, int] | None = None
    """Typical voxels along (z, y, x); None is 64 x 96 x 96, and 64 x 96 x 80 for the brain."""
    orientations: Literal["mixed", "same"] = "mixed"
    """Whether files differ in the directions of their axes, as they do in real collections."""
    tumour_share: tuple[float, float] | None = None
    """CT only: every liver has one or two tumours that are between these shares of it, e.g. 0.01,0.03; None gives none
    to four of any size."""
    tumour_contrast: tuple[float, float] = (26.0, 52.0)
    """CT only: HU that a tumour is darker than the liver, drawn between these; below 20 it is hard to see."""
    labels: Literal["regions", "plain"] = "regions"
    """Brain only: nested regions (whole, core, enhancing) or one label per tissue."""

    @field_validator("size", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Accept `32x48x48` from the command line."""
        return tuple(value.replace(",", "x").split("x")) if isinstance(value, str) else value

    @field_validator("tumour_share", "tumour_contrast", mode="before")
    @classmethod
    def _split_range(cls, value: Any) -> Any:
        """Accept `0.01,0.03` from the command line."""
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("tumour_share")
    @classmethod
    def _is_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] <= value[1] <= MOST_TUMOUR:
            raise ValueError(f"must be two rising numbers above 0 and at most {MOST_TUMOUR}")
        return value

    @field_validator("tumour_contrast")
    @classmethod
    def _is_darker(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= MOST_CONTRAST_HU:
            raise ValueError(f"must be two rising numbers above 0 and at most {MOST_CONTRAST_HU}")
        return value

    @field_validator("cases", "test_cases", "seed")
    @classmethod
    def _not_negative(cls, value: int) -> int:
        if value < 0:
            raise ValueError("must not be negative")
        return value


class Phantom(Converter):
    """Needs no source: every case is a pure function of (variant, seed, number, size)."""

    Options: ClassVar[type[BaseModel]] = PhantomOptions
    EXAMPLE_OPTIONS: ClassVar[Mapping[str, Any]] = {"cases": 2, "test_cases": 1, "size": (16, 24, 24)}
    options: PhantomOptions = PhantomOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="phantom",
            title="Synthetic abdominal CT with liver tumours, or brain MR with gliomas",
            licence="CC0-1.0",
            citation="made by autoseg",
            needs="",
            dataset_name="PhantomBrain" if self.options.variant == "brain" else "PhantomLiver",
            scoring="brats2020" if self.options.variant == "brain" else "lits",
        )

    def recognises(self, source: Path) -> bool:  # noqa: ARG002 - there is no source to recognise
        return False

    def cases(self, source: Path) -> Sequence[SourceCase]:  # noqa: ARG002
        everything = self.options.cases + self.options.test_cases
        return tuple(self._case(number) for number in range(everything))

    def dataset(self, source: Path) -> Dataset:  # noqa: ARG002
        is_brain = self.options.variant == "brain"
        channels = CHANNELS if is_brain else ("CT",)
        return Dataset(
            channel_names={str(index): name for index, name in enumerate(channels)},
            labels=self._labels(),
            regions_class_order=(1, 2, 3) if is_brain and self.options.labels == "regions" else None,
            numTraining=self.options.cases,
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            description=self.spec().title,
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        channels, labels, geometry = self._render(int(case.details["number"]))
        for path, channel in zip(target.images, channels, strict=True):
            write_image(path, channel, geometry)
        if target.label is not None:
            write_label(target.label, labels, geometry)

    def example(self, root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        return root

    def _labels(self) -> dict[str, int | tuple[int, ...]]:
        if self.options.variant == "ct":
            return {"background": 0, "liver": 1, "tumour": 2}
        if self.options.labels == "plain":
            return {"background": 0, "edema": 1, "non_enhancing": 2, "enhancing": 3}
        return {"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": 3}

    def _case(self, number: int) -> SourceCase:
        training = number < self.options.cases
        return SourceCase(
            case_id=f"{self.options.variant}_{number:03d}",
            images=(),
            split="train" if training else "test",
            provenance=Provenance(source=f"phantom {self.options.variant} seed {self.options.seed} case {number}"),
            details={"number": str(number)},
            has_label=True,
        )

    def _render(self, number: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], Geometry]:
        options = self.options
        generator = np.random.default_rng(derive_seed("phantom", options.variant, options.seed, number))
        typical = options.size or _SIZE[options.variant]
        shape, spacing = _grid(generator, typical, _FIELD_OF_VIEW_MM[options.variant])
        scene = Scene(shape, spacing, generator)
        if options.variant == "ct":
            given = options.tumour_share
            share = None if given is None else float(generator.uniform(*given))
            tumours = _TUMOURS[number % len(_TUMOURS)]
            image, labels = abdomen(scene, tumours, share=share, contrast_hu=options.tumour_contrast)
            channels = image[None]
        else:
            channels, labels = brain(scene, enhancing=number % 5 != 3)
        flips = _FLIPS[number % len(_FLIPS)] if options.orientations == "mixed" else ()
        tilt = float(generator.uniform(-6, 6)) if options.variant == "brain" else 0.0
        geometry = _placed(generator, shape, spacing, tilt_degrees=tilt, flips=flips)
        turned = tuple(axis + 1 for axis in flips)
        return np.flip(channels, turned), np.flip(labels, flips), geometry


def _grid(generator: np.random.Generator, typical: Shape3, field_mm: Vector3) -> tuple[Shape3, Vector3]:
    """Shape and spacing of one scan: slices from thin to nearly twice as thick, in-plane a tenth about the typical."""
    slices = max(4, round(typical[0] * float(generator.uniform(0.6, 1.1))))
    in_plane = float(generator.uniform(0.92, 1.08))
    rows, columns = max(8, round(typical[1] * in_plane)), max(8, round(typical[2] * in_plane))
    length_mm = field_mm[0] * float(generator.uniform(0.93, 1.05))
    # Scanners give square pixels and spacings with few digits.
    pixel_mm = round(field_mm[1] * float(generator.uniform(0.96, 1.04)) / rows, 3)
    return (slices, rows, columns), (round(length_mm / slices, 2), pixel_mm, pixel_mm)


def _placed(
    generator: np.random.Generator, shape: Shape3, spacing: Vector3, *, tilt_degrees: float, flips: tuple[int, ...]
) -> Geometry:
    """Grid in the patient: the head tilted about the left-right axis, some array axes stored backwards."""
    cosine, sine = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    direction = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    half = (np.array(shape) - 1) / 2 * np.array(spacing)
    origin = np.round(generator.uniform(-40, 40, 3), 1) - direction @ half
    for axis in flips:
        origin = origin + direction[:, axis] * (shape[axis] - 1) * spacing[axis]
        direction[:, axis] *= -1
    rows: Matrix3 = tuple(tuple(float(value) + 0.0 for value in row) for row in direction)  # type: ignore[assignment]
    z, y, x = (float(value) for value in origin)
    return Geometry(shape, spacing, (z, y, x), rows)


converter = Phantom()
