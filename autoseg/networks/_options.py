"""Options that the networks here share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Upsampling = Literal["transposed", "nearest", "linear"]


class BlockOptions(BaseModel):
    """How a convolution block is made: convolution, dropout, norm, activation, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: Literal["instance", "batch", "none"] = "instance"
    """Normalisation after each convolution."""
    norm_eps: float = Field(default=1e-5, gt=0)
    """Added to the variance."""
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Non-linearity; leaky has slope 0.01."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of whole channels dropped, where `dropout_position` says."""
    dropout_position: Literal["convolution", "between"] = "convolution"
    """After each convolution, before its norm; or between the blocks of a stage, after the activation."""
    conv_bias: bool = True
    """Whether convolutions have a bias (nnU-Net v2 has one)."""
    context_voxels: tuple[int, ...] | None = None
    """Voxels per side, (z, y, x) or (y, x), by which the input is larger than the output, its core; None: equal."""


class UNetOptions(BlockOptions):
    """Options of a network with skip connections."""

    skip: Literal["plain", "aligned"] = "plain"
    """Encoder features as they are, or aligned by a deformable convolution first (LFAM)."""
    offsets_from: Literal["encoder", "both"] = "encoder"
    """What the sampling offsets of `aligned` are computed from: the encoder's features, or the decoder's too."""
    alignment: Literal["per_level", "shared"] = "per_level"
    """`aligned`: a kernel per level, or one for all levels between projections to 64 channels."""
