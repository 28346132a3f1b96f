"""BraTS 2025 metastases: lesions of at least 27 mm3 are segmented, smaller ones need only be found.

Facts of BraTS/BraTS_evaluation, `metrics_parser.py` (subcommand `mets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from autoseg.specs.report import Score

LARGE_MM3: Final = 27.0
FOUND_DICE: Final = 0.2
MISSED: Final = {"dice": 0.0, "nsd": 0.0, "hd95_mm": 373.0}


def large_and_small(
    volumes_mm3: Sequence[float], matched: Mapping[int, Mapping[str, float]], invented: int
) -> dict[str, Score]:
    """Lesion-wise means of the large lesions, detections of both sizes.

    Args:
        volumes_mm3: Of every reference lesion.
        matched: Position in `volumes_mm3` -> Dice, NSD and HD95 of a matched lesion.
        invented: Predicted lesions without a match; they count against both sizes.
    """
    large = [position for position, volume in enumerate(volumes_mm3) if volume >= LARGE_MM3]
    small = [position for position, volume in enumerate(volumes_mm3) if volume < LARGE_MM3]
    scores = {}
    for metric, worst in MISSED.items():
        values = [matched[position][metric] if position in matched else worst for position in large]
        mean = float(np.mean([*values, *[worst] * invented])) if large else None
        scores[f"lesionwise_{metric}"] = Score(value=mean, reason="" if large else "no large lesion in reference")
    for size, positions in (("large", large), ("small", small)):
        tp = sum(position in matched and matched[position]["dice"] >= FOUND_DICE for position in positions)
        # Every case has large counts; small ones only where there is a small lesion.
        numbers = (tp, invented, len(positions) - tp) if positions or size == "large" else (None, None, None)
        for name, number in zip(("tp", "fp", "fn"), numbers, strict=True):
            reason = "no small lesion in reference" if number is None else ""
            scores[f"{size}_lesions_{name}"] = Score(value=None if number is None else float(number), reason=reason)
    return scores
