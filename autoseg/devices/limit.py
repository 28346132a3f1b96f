"""The memory that a stage may take, and the line that says so."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from autoseg.core.errors import BudgetError
from autoseg.core.sizes import describe_size
from autoseg.devices.memory import available_memory_bytes, give_back_memory, resident_bytes

logger = logging.getLogger(__name__)
LATER_BYTES = 40_000_000
"""What a process takes for libraries that it loads when they are first needed, and for its threads."""


@dataclass(frozen=True)
class MemoryLimit:
    """How much may be held at most, by this process and those that it starts.

    Attributes:
        size: Bytes.
        is_asked: Whether somebody set it. What is merely free is kept to where there is a way, and never refuses work.
    """

    size: int
    is_asked: bool

    @classmethod
    def of(cls, asked: int | None) -> MemoryLimit:
        """The limit asked for, or what is free beside what this process holds already."""
        if asked is not None:
            return cls(asked, is_asked=True)
        return cls(available_memory_bytes() + resident_bytes(with_children=False), is_asked=False)

    def tell(self, needed: int, how: str, *, case_id: str) -> None:
        """Say what is needed, or refuse to begin.

        Args:
            needed: Estimate in bytes.
            how: How the work will be done.
            case_id: The case that needs most.

        Raises:
            BudgetError: The limit was asked for and is less than that.
        """
        if needed <= self.size or not self.is_asked:
            limit = f"limit {describe_size(self.size)}" if self.is_asked else f"{describe_size(self.size)} are free"
            level = logging.INFO if needed <= self.size else logging.WARNING
            logger.log(level, "memory: about %s at most, %s, %s", describe_size(needed), limit, how)
            return
        raise BudgetError(
            f"{case_id} needs about {describe_size(needed)} of memory, the limit is {describe_size(self.size)}",
            f"give --memory-limit {describe_size(needed).replace(' ', '')} or more, or leave the case out",
        )


def base_bytes() -> int:
    """What this process holds now, and will hold for libraries alone."""
    give_back_memory()
    return resident_bytes(with_children=False) + LATER_BYTES
