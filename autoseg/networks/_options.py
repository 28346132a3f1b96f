"""Options that every U-Net here shares."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BlockOptions(BaseModel):
    """How a convolution block is made: convolution, dropout, norm, activation, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: Literal["instance", "batch"] = "instance"
    """Normalisation after each convolution."""
    norm_eps: float = Field(default=1e-5, gt=0)
    """Added to the variance."""
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Non-linearity; leaky has slope 0.01."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of whole channels dropped after each convolution."""
    conv_bias: bool = True
    """Whether convolutions have a bias (nnU-Net v2 has one)."""
