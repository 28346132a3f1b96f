"""Sums of weighted windows for the slices that windows still reach, on the device until its memory is full."""

from __future__ import annotations

import torch

from autoseg.core.geometry import Shape3
from autoseg.devices.memory import is_out_of_memory

Box = tuple[slice, slice, slice]
"""Where a window lies among the slices, (z, y, x)."""


class Sums:
    """Weighted logits (heads, z, Y, X) and weights (z, Y, X) of a row of windows.

    Every sum is taken in float32 and then rounded to the type of the sums, as torch does in place.

    Args:
        shape: (z, Y, X).
        weights: (z, y, x), or (y, x), of a window.
        dtype: Of the sums.
        device: Where the windows come from.
    """

    def __init__(self, shape: Shape3, weights: torch.Tensor, dtype: torch.dtype, device: torch.device) -> None:
        self.weights = weights.to(device, dtype)
        self.totals = torch.zeros(shape, dtype=dtype, device=device)
        self.logits = self.totals[:0]

    def make_room(self) -> bool:
        """Move to the host, for windows that need the device's memory; False where that frees nothing."""
        if self.totals.device.type == "cpu":
            return False
        self.weights, self.totals, self.logits = self.weights.cpu(), self.totals.cpu(), self.logits.cpu()
        return True

    def add(self, window: torch.Tensor, where: Box) -> None:
        """Add the logits (heads, z, y, x) of a window."""
        if not self.logits.numel():
            self.logits = self._zeros(len(window))
        window = window.to(self.totals.device)
        inside = self.logits[(slice(None), *where)]
        if inside.dtype == torch.float32:
            inside.addcmul_(window, self.weights)
        else:
            inside += window * self.weights
        self.totals[where] += self.weights

    def finish(self, slices: int) -> torch.Tensor:
        """Weighted means (heads, slices, Y, X) of the first slices; they are valid until `advance`."""
        return self.logits[:, :slices].div_(self.totals[:slices])

    def advance(self, slices: int) -> None:
        """Drop the first slices and append as many zeros."""
        for buffer in (*self.logits, self.totals):
            kept = len(buffer) - slices
            if kept:
                buffer[:kept] = buffer[slices:].clone()
            buffer[kept:] = 0

    def _zeros(self, heads: int) -> torch.Tensor:
        try:
            return self.totals.new_zeros((heads, *self.totals.shape))
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self.make_room():
                raise
        return self.totals.new_zeros((heads, *self.totals.shape))
