"""Make medpy_0_5_2.json; run it in an environment of its own: pip install MedPy==0.5.2.

It uses MedPy as the oracle for voxel surfaces, on the masks of surface_masks.py, and writes the figures it gives.
LiTS joins both distance lists for its mean; MedPy averages the two directed means, so those are written one by one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from medpy.metric import binary
from surface_masks import SEEDS, SPACINGS_MM, masks


def figures(seed: int, spacing_mm: tuple[float, ...], neighbours: int) -> dict[str, object]:
    """Every figure of one pair of masks."""
    prediction, reference = masks(seed)
    options = {"voxelspacing": spacing_mm, "connectivity": {6: 1, 18: 2}[neighbours]}
    return {
        "seed": seed,
        "spacing_mm": spacing_mm,
        "neighbours": neighbours,
        "dice": binary.dc(prediction, reference),
        "ravd_swapped": binary.ravd(reference, prediction),
        "hd95_mm": binary.hd95(prediction, reference, **options),
        "hd_mm": binary.hd(prediction, reference, **options),
        "mean_to_reference_mm": binary.asd(prediction, reference, **options),
        "mean_to_prediction_mm": binary.asd(reference, prediction, **options),
    }


if __name__ == "__main__":
    rows = [figures(s, spacing, neighbours) for neighbours in (6, 18) for s in SEEDS for spacing in SPACINGS_MM]
    table = {"made_by": "tests/golden/make_medpy.py with MedPy 0.5.2", "cases": rows}
    text = json.dumps(json.loads(json.dumps(table, default=float), parse_float=lambda text: round(float(text), 9)))
    Path(__file__).with_name("medpy_0_5_2.json").write_text(text.replace('{"seed"', '\n {"seed"') + "\n")
