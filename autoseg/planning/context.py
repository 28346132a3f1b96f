"""What all configurations of one plan share while they are planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoseg.planning.configure import Fitted, Rules, fit_configuration
from autoseg.planning.fixed_shape import target_shape
from autoseg.planning.frame import Frame
from autoseg.planning.spacing import FloatArray
from autoseg.specs.plan import Configuration, Preprocessing

Shape = Sequence[float] | FloatArray


@dataclass(frozen=True)
class Context:
    """Method, budget and grid of one plan.

    Attributes:
        rules: Choices of the method and limits of the device.
        frame: Grid of the full resolution.
        preprocessing: Of the full resolution.
    """

    rules: Rules
    frame: Frame
    preprocessing: Preprocessing

    def fit(self, name: str, spacing_mm: FloatArray, median_shape_voxels: Shape, dataset_voxels: float) -> Fitted:
        """Patch, network and batch of one configuration; a fixed shape takes the place of the median one."""
        fixed = self.fixed_shape(name)
        median = median_shape_voxels if fixed is None else fixed[-len(spacing_mm) :]
        return fit_configuration(
            name,
            tuple(float(value) for value in spacing_mm),
            tuple(float(value) for value in median),
            dataset_voxels=dataset_voxels,
            rules=self.rules,
        )

    def thinner(self, features: int) -> Context:
        """The same with networks of at most this width at the finest stage."""
        choices = self.rules.choices
        widths = tuple(width for width in choices.cpu.features if width <= features) or choices.cpu.features[-1:]
        update = {
            "base_features": min(features, choices.base_features),
            "cpu": choices.cpu.model_copy(update={"features": widths}),
        }
        return replace(self, rules=replace(self.rules, choices=choices.model_copy(update=update)))

    def configuration(
        self, name: str, fitted: Fitted, preprocessing: Preprocessing, *, median: Shape, batch_dice: bool
    ) -> Configuration:
        """The document of what was fitted; cases of a fixed shape are whole images, stretched."""
        fixed = self.fixed_shape(name)
        if fixed is not None:
            own = (float(median[0]) if preprocessing.native_axes else fixed[0], *fixed[1:])
            preprocessing = preprocessing.model_copy(update={"target_shape_voxels": fixed, "crop_to_nonzero": False})
            median = own
        first, second, third = (round(float(size)) for size in median)
        return Configuration(
            name=name,
            preprocessing=preprocessing,
            patch_size_voxels=fitted.patch_size_voxels,
            batch_size=fitted.batch_size,
            median_shape_voxels=(first, second, third),
            topology=fitted.topology,
            network=fitted.network,
            batch_dice=batch_dice,
        )

    def fixed_shape(self, name: str) -> tuple[int, int, int] | None:
        """Shape that the method gives all cases of a configuration, after the transpose; 1 slice in 2D."""
        return target_shape(name, self.rules.choices, self.frame.transpose)

    @property
    def planar(self) -> Preprocessing:
        """Preprocessing of 2D configurations: slices keep their distance."""
        return self.preprocessing.model_copy(update={"native_axes": (0,)})

    def at_spacing(self, spacing_mm: FloatArray) -> Preprocessing:
        """Preprocessing to another grid, in the plan's axis order."""
        first, second, third = (float(value) for value in spacing_mm)
        return self.preprocessing.model_copy(update={"spacing_mm": (first, second, third)})
