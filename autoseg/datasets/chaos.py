"""CHAOS: grey values of the ground truth's PNG slices, as the challenge's own evaluation reads them."""

from __future__ import annotations

from collections.abc import Mapping

ORGANS: Mapping[str, int] = {"liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4}
"""Organ of the MR tasks -> label value; CT has the liver alone."""

GREY_RANGES: Mapping[int, tuple[int, int]] = {1: (55, 70), 2: (110, 135), 3: (175, 200), 4: (240, 255)}
"""Label value -> grey values that mean it: above the first, up to and including the second."""

GREY_CODES: Mapping[int, int] = {1: 63, 2: 126, 3: 189, 4: 252}
"""Label value -> grey value to write."""
