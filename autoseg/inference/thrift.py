"""How sparingly cases are segmented: what is given up, step by step, until the memory suffices. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Thrift:
    """Settings that change memory and time, and no result.

    2D windows stay as many per pass as are fast: one by one, logits differ by 8e-6 in float32.

    Attributes:
        ahead: Cases in reading, and in writing, beside the one that is computed; 0 does one thing after the other.
        disk: Folder to keep logits in; None keeps them in memory.
        passes: Most passes of the networks side by side on a CPU; None is as many as are fast.
    """

    ahead: int = 1
    disk: Path | None = None
    passes: int | None = None

    def leaner(self, *, disk: Path, passes: int) -> Iterator[Thrift]:
        """This, and then one step more given up each time, the cheapest first.

        Args:
            disk: Folder on a disk.
            passes: That run side by side where nothing limits them.
        """
        current = self
        yield current
        while current.ahead > 0:
            current = replace(current, ahead=current.ahead - 1)
            yield current
        current = replace(current, disk=disk)
        yield current
        while passes > 1:
            passes -= 1
            current = replace(current, passes=passes)
            yield current

    def __str__(self) -> str:
        said = ["one case at a time" if self.ahead == 0 else f"{self.ahead} read and written beside one in work"]
        said += ["logits on disk"] if self.disk is not None else []
        said += [f"{self.passes} passes side by side"] if self.passes is not None and self.passes > 1 else []
        said += ["one pass at a time"] if self.passes == 1 else []
        return ", ".join(said)
