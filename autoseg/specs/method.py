"""A method: what a person chooses. One TOML file each in `autoseg/methods/`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from autoseg.specs.document import Component, Document, Section, without
from autoseg.specs.plan import Orientation, Resampling

_LATER_FIELDS = ("region", "configurations", "fixed_size_voxels", "resampling")
"""Left out of `[plan]` where they are empty, so that plans without them keep their digests."""


class CpuChoices(Section):
    """`[plan.cpu]`: how a plan with `budget = "device"` is cut down where no GPU is there."""

    features: tuple[int, ...] = (32, 24, 16, 12, 8)
    """Widths of the finest stage to try, widest first."""
    sound_features: int = 16
    """Width that is given up only after batch and patch have been reduced."""
    batch_size: tuple[int, int] = (32, 8)
    """Wanted batch in 2D and 3D; more is never taken."""
    sound_patch_voxels: tuple[int, int] = (9_216, 110_592)
    """Patch volume in 2D and 3D (96 squared, 48 cubed) that is given up last."""
    encoder_blocks: tuple[int, ...] | None = None
    """Blocks per encoder stage instead of the GPU's; None keeps those."""
    fold: bool = False
    """Fold the voxels of the first pooling into channels (`folded_unet`): no stage runs at full resolution."""


class RegionChoices(Section):
    """`[plan.region]`: find an organ on a coarse grid first, then work at full resolution around it alone."""

    labels: tuple[str, ...] = ()
    """Labels that together are the organ, e.g. liver and tumour; empty takes all."""
    targets: tuple[str, ...] | Literal["lesions"] = ()
    """Labels that the second stage learns; empty takes all, `lesions` those of `labels` that are not the organ's own
    tissue."""
    dimensions: Literal[2, 3] = 3
    """2: both stages work slice by slice (`2d_organ`, `2d_roi`), the first at the full resolution, too."""
    spacing_mm: tuple[float, float, float] | None = None
    """Grid of the first stage, (z, y, x) before the transpose; None grows the full resolution's."""
    margin_mm: float = Field(default=20.0, ge=0)
    """Added to the organ's box on every side."""
    input_channel: bool = True
    """Give the second stage the organ's mask as an extra channel."""
    source: Literal["predicted", "reference"] = "predicted"
    """What the second stage's training boxes are made from: held-out predictions of the first stage, or references."""
    blank_outside: bool = False
    """Set voxels outside of the organ to 0 in the normalised image."""
    model: str | None = None
    """Model folder that is the first stage, instead of training one."""
    model_labels: tuple[str, ...] = ()
    """Labels of that model that are the organ; empty takes those named as `labels`, else all."""
    step_size: float = Field(default=0.5, gt=0, le=1)
    """Window step of the first stage."""
    mirror: bool = False
    """Average the first stage over mirrored copies: eight times its time, for a box that hardly changes."""
    time_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the training time that goes to all folds of the first stage together."""
    cpu_patch_share: float = Field(default=1.0, gt=0, le=1)
    """On a CPU the second stage learns from patches that are at most this share of the window that it predicts with:
    the organ's box and mask give the context, and the time is enough for more updates."""

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Choices that train on whole windows keep the digest that they had before there was anything else."""
        return without(handler(self), cpu_patch_share=1.0)


class PlanChoices(Section):
    """`[plan]`: how the planner turns a fingerprint into configurations."""

    orientation: Orientation = "canonical"
    """Keep the file's axes (the peer's behaviour) or turn to the canonical frame."""
    normalization: tuple[Component, ...] = ()
    """Normaliser of all channels, or one per channel; empty: by the channels' names."""
    network: Component = Component(name="residual_encoder_unet")
    """Network of every configuration."""
    encoder_blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6, 6, 6)
    """Blocks per encoder stage; cut to the stages at hand."""
    decoder_blocks: int = 1
    """Convolutions per decoder stage."""
    base_features: int = 32
    """Channels of the finest stage."""
    max_features: tuple[int, int] = (512, 320)
    """Cap of the channels in 2D and 3D."""
    budget: Literal["fixed", "device"] = "device"
    """`fixed`: the reference element counts below; `device`: measured memory, or seconds per step on a CPU."""
    reference_elements: tuple[int, int] = (135_000_000, 680_000_000)
    """Largest feature-map element count in 2D and 3D at the reference batch."""
    reference_batch: tuple[int, int] = (12, 2)
    """Reference batch size in 2D and 3D."""
    budget_at_minimum_batch: bool = False
    """Whether the budget holds at batch 2 (the plain planner's rule) instead of at the reference batch."""
    batch_share_of_dataset: float = 1.0
    """Largest share of the data set's voxels in one batch."""
    seconds_per_step: float = 0.5
    """CPU budget of one training step when no GPU is there."""
    cpu: CpuChoices = CpuChoices()
    """What to give up for it."""
    largest_memory_gb: float = 24.0
    """GPU memory beyond this is not planned for: larger patches would slow every step."""
    share_of_memory: float = 0.9
    """Share of the measured GPU memory to plan for."""
    reference_memory_gb: float = 8.0
    """GPU memory that the reference elements stand for."""
    mirror_axes: tuple[int, ...] | Literal["all", "auto"] = "auto"
    """Axes after the transpose to mirror; `auto`: all but left-right where labels come in left-right pairs."""
    laterality: Literal["drop", "swap"] = "drop"
    """Where labels come in left-right pairs: `auto` leaves left-right out, or mirrors it and they change places."""
    overrides: dict[str, dict[str, tuple[float, ...]]] = Field(default_factory=dict)
    """Configuration -> `spacing_mm` (of `3d_fullres`: for all), `patch_size_voxels`, `batch_size` (one number),
    `features`, `stages` (one number: that many levels, each half the size of the one before along every axis) or
    `target_shape_voxels` (every case is stretched to it, whatever its spacing; also the patch, if none is given) to use
    instead of the planned; spacings and shapes in 3D are (z, y, x) before the transpose, the others after it."""
    fixed_size_voxels: tuple[int, int, int] | None = None
    """Size (z, y, x), before the transpose and on the target grid, of one crop box for all cases, around what is not
    zero in any of them; None crops each case to its own non-zero box."""
    configurations: tuple[str, ...] = ()
    """Those to plan, with the stages before them; empty plans all that the data allow."""
    resampling: Resampling | None = None
    """Spline orders, and what grids share; None takes nnU-Net v2's."""
    region: RegionChoices | None = None
    """Stages of a region-of-interest cascade, planned instead of the other configurations; None for none."""

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Choices without what came later keep the digest that they had before there was any of it."""
        values = without(handler(self), laterality="drop")
        return {key: value for key, value in values.items() if value or key not in _LATER_FIELDS}

    @field_validator("overrides", mode="before")
    @classmethod
    def _as_tuples(cls, value: Any) -> Any:
        """Accept `batch_size = 4` for `batch_size = [4]`; anything that is no table of tables is refused later."""
        if not isinstance(value, dict) or not all(isinstance(section, dict) for section in value.values()):
            return value
        return {name: {key: _as_tuple(entry) for key, entry in section.items()} for name, section in value.items()}


def _as_tuple(value: Any) -> Any:
    if isinstance(value, int | float):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


class OptimizerChoice(Section):
    """Optimiser, learning-rate schedule and averaging."""

    name: Literal["sgd", "adam", "adamw", "muon"] = "adamw"
    """Optimiser."""
    learning_rate: float = 2e-3
    """Largest rate."""
    weight_decay: float = 1e-2
    """Decay."""
    momentum: float = 0.99
    """Nesterov momentum (SGD and Muon)."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates (Adam, AdamW, and what Muon leaves to Adam)."""
    schedule: Literal["poly", "cosine", "constant", "plateau"] = "cosine"
    """Decay over the actual number of updates; `plateau` follows the validation score, see [train.plateau]."""
    step_on: Literal["update", "epoch"] = "update"
    """Whether the rate changes each update or each epoch (the peer)."""
    warmup_share: float = 0.05
    """Share of the updates with a linearly rising rate."""
    gradient_clip: float = 12.0
    """Largest global gradient norm."""
    weight_average: float = 0.0
    """Decay of the exponential moving average of the weights that is validated and stored; 0 is off."""


class PlateauChoices(Section):
    """`[train.plateau]`: what follows when the validation score, the pseudo Dice of an epoch, no longer rises."""

    min_delta: float = Field(default=1e-4, ge=0)
    """Progress is a rise above the best so far by more than this."""
    factor: float = Field(default=0.5, gt=0, lt=1)
    """Schedule `plateau`: the rate is multiplied by this ..."""
    patience: int = Field(default=5, ge=1)
    """... after so many epochs without progress ..."""
    cooldown: int = Field(default=2, ge=0)
    """... of which so many are not counted after a change ..."""
    minimum: float = Field(default=1e-6, ge=0)
    """... but never below this."""
    stop_after: int | None = Field(default=None, ge=1)
    """Any schedule: the run ends after so many epochs without progress; None never ends it early."""


class TrainChoices(Section):
    """`[train]`: the recipe."""

    optimizer: OptimizerChoice = OptimizerChoice()
    """Optimiser."""
    plateau: PlateauChoices = PlateauChoices()
    """What follows when the validation score no longer rises."""
    loss: Component | None = None
    """Loss; None picks Dice + cross-entropy, or Dice + binary cross-entropy for regions."""
    deep_supervision: bool = True
    """Loss on every decoder level, weights halving, the coarsest left out."""
    sampler: Component = Component(name="foreground", options={"share": 1 / 3})
    """How patches are drawn."""
    augment: tuple[Component, ...] = ()
    """In order of application."""
    epochs: int = 1000
    """Epochs when no budget is given."""
    epoch: Literal["iterations", "pass"] = "iterations"
    """An epoch is the number of updates below, or one pass over the training cases (slices, minicubes)."""
    iterations_per_epoch: int = 250
    """Updates per epoch."""
    validation_iterations: int = 50
    """Validation batches per epoch."""
    validation: Literal["patches", "volumes"] = "patches"
    """What an epoch is judged by: Dice of its validation patches, or the mean Dice of whole held-out cases."""
    keep: Literal["last", "best"] = "last"
    """Weights that a finished run predicts with: those of its end, or of its best epoch."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a batch goes through the network in, their gradients added up: less memory, same step."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Autocast type; `auto` probes the device."""
    compile: bool = True
    """torch.compile on CUDA where a compiler works."""


class PredictChoices(Section):
    """`[predict]`: the sliding window."""

    step_size: float = Field(default=0.5, gt=0, le=1)
    """Window step as a share of the patch."""
    mirror: bool = True
    """Average over mirrored copies along the plan's mirror axes."""


class PostprocessChoices(Section):
    """`[postprocess]`: which cleaning steps are tried on the held-out masks."""

    search: Literal["largest", "all"] = "all"
    """`largest`: components by nnU-Net v2's rule alone; `all`: also lesions outside their organ, small components and
    enhancing tumours, holes, and no step may worsen the score of the data set's own protocol."""


class Method(Document):
    """The whole choice."""

    name: str
    """Name of the file without `.toml`."""
    description: str = ""
    """One line."""
    extends: str | None = None
    """Method to take everything not given here from."""
    plan: PlanChoices = PlanChoices()
    """Planner."""
    train: TrainChoices = TrainChoices()
    """Recipe."""
    predict: PredictChoices = PredictChoices()
    """Prediction."""
    postprocess: PostprocessChoices = PostprocessChoices()
    """Cleaning."""
