"""Options that the overlap losses share; without torch, so that they can be validated anywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Pooling = Literal["plan", "sample", "batch", "all"]


class OverlapOptions(BaseModel):
    """Which volumes are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smooth: float = Field(default=1e-5, ge=0)
    """Added to numerator and denominator."""
    with_background: bool = False
    """Whether the background of exclusive classes counts; regions have none."""
    pooling: Pooling = "plan"
    """One volume is a `sample` or the `batch`, class by class; `all` classes of the batch; or what the `plan` says."""
