"""What both programs' measuring scripts share: a clock for the parts of a step, and an image to augment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt


class Clock:
    """Seconds added up by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same function, counted."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return call(*args, **kwargs)

        return counted

    def shares(self, steps: int) -> dict[str, float]:
        """Mean seconds per step of `load`, `augment`, `network` (forward and backward) and `update`.

        `fetch` covers what comes before the step and `step` the step; augmentation may happen in either, and what is
        left of them is reading and the network.
        """
        step, fetch = self.seconds["step"], self.seconds["fetch"]
        in_fetch, in_step = (self.seconds.get(name, 0.0) for name in ("augment in fetch", "augment in step"))
        update = self.seconds["update"]
        found = {
            "load": fetch - in_fetch,
            "augment": in_fetch + in_step,
            "network": step - in_step - update,
            "update": update,
        }
        return {name: total / steps for name, total in found.items()}


def sample(source: Sequence[int], *, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """Image (1, *source) of a ball (label 1) around a smaller one (label 2) in noise, and its labels."""
    axes = np.meshgrid(*(np.linspace(-1, 1, edge) for edge in source), indexing="ij", sparse=True)
    distance = np.sqrt(sum(axis**2 for axis in axes))
    labels = ((distance < 0.6).astype(np.int16) + (distance < 0.3))[None]
    noise = np.random.default_rng(seed).standard_normal(labels.shape, dtype=np.float32)
    return (labels + 0.3 * noise).astype(np.float32), labels.astype(np.int16)
