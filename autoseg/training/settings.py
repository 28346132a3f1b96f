"""What a person may say about a training beside its method: length, device, seed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from autoseg.core.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of every fold of a call.

    Attributes:
        method: Name or file.
        overrides: `section.key=value` settings.
        epochs: Epochs per fold; None asks the method.
        iterations_per_epoch: Updates per epoch; None asks the method.
        time_budget_s: Fill this time per fold instead of a number of epochs.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        seed: Of every draw.
        train_fraction: Share of the fold's training cases to learn from; smaller shares lie within larger ones.
        threads: CPU threads; None leaves torch's choice.
        replan: Replace what was made with other settings.
    """

    method: str = "autoseg"
    overrides: tuple[str, ...] = ()
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    time_budget_s: float | None = None
    device: str = "auto"
    seed: int = 0
    train_fraction: float = 1.0
    threads: int | None = None
    replan: bool = False

    def __post_init__(self) -> None:
        """Refuse what no training can have.

        Raises:
            SpecError: The fraction is not in (0, 1].
        """
        if not 0 < self.train_fraction <= 1:
            raise SpecError(f"the training fraction is {self.train_fraction:g}", "give one above 0 and at most 1")

    def settings(self) -> dict[str, Any]:
        """These fields alone, of a subclass too, to be handed on as keywords."""
        return {field.name: getattr(self, field.name) for field in fields(TrainingSettings)}
