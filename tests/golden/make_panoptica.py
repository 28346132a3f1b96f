"""Make panoptica_2_1_7.json; run it in an environment of its own.

pip install panoptica==2.1.7 brats-evaluation==0.0.10

It uses the evaluator that BraTS 2025 configures as the oracle, on the masks of lesion_masks.py as the label GTV.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.resources import files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from lesion_masks import SEEDS, SPACING_MM, masks
from panoptica import Panoptica_Evaluator

NAMES = {
    "lesions_tp": "tp",
    "lesions_fp": "fp",
    "lesions_fn": "fn",
    "lesion_f1": "rq",
    "lesionwise_dice": "sq_dsc",
    "lesionwise_nsd": "sq_nsd",
    "lesionwise_hd95_mm": "sq_hd95",
    "global_dice": "global_bin_dsc",
    "global_nsd": "global_bin_nsd",
    "global_hd95_mm": "global_bin_hd95",
}


def figures(evaluator: Panoptica_Evaluator, seed: int) -> dict[str, float | None]:
    """Every figure of one pair of masks; an infinite distance is 373, as BraTS reports it."""
    prediction, reference = (mask.astype("uint8") for mask in masks(seed))
    found = evaluator.evaluate(prediction, reference, voxelspacing=SPACING_MM)["gtv"].to_dict()
    row: dict[str, float | None] = {"seed": seed}
    for name, theirs in NAMES.items():
        value = float(found[theirs])
        row[name] = 373.0 if math.isinf(value) else None if math.isnan(value) else round(value, 9)
    return row


if __name__ == "__main__":
    config = str(files("brats_evaluation").joinpath("configs", "config_MenRT.yaml"))
    rows = [figures(Panoptica_Evaluator.load_from_config(config), seed) for seed in SEEDS]
    made_by = "tests/golden/make_panoptica.py with panoptica 2.1.7 and brats-evaluation 0.0.10"
    table = {"made_by": made_by, "cases": rows}
    text = json.dumps(table).replace('{"seed"', '\n {"seed"')
    Path(__file__).with_name("panoptica_2_1_7.json").write_text(text + "\n")
