"""Make brats_lesionwise.json; run it in an environment of its own: pip install surface-distance==0.1 scipy.

The published steps of BraTS 2023 and 2024 (lesion-wise), one whole-volume operation after the other with scipy, HD95 by
DeepMind's package, on the masks of lesion_masks.py. Slow and plain on purpose; it shares nothing with the protocols.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import surface_distance
from lesion_masks import SEEDS, SPACING_MM, masks
from scipy import ndimage

RULES = {
    "brats2023:met": (1, 2, 374.0, False),
    "brats2023:men": (1, 50, 374.0, False),
    "brats2023": (3, 50, 374.0, False),
    "brats2024:met": (1, 2, 374.0, True),
    "brats2024:ssa": (3, 50, 374.0, True),
}
BOX = np.ones((3, 3, 3))
EIGHTEEN = ndimage.generate_binary_structure(3, 2)


def joined(mask: np.ndarray, times: int) -> np.ndarray:
    """Numbers of the dilated mask's components on the mask's own voxels."""
    return ndimage.label(ndimage.binary_dilation(mask, EIGHTEEN, times), BOX)[0] * mask


def hausdorff(one: np.ndarray, other: np.ndarray, penalty: float) -> float:
    """DeepMind's HD95, the penalty where it is infinite."""
    found = surface_distance.compute_surface_distances(other, one, SPACING_MM)
    return min(float(surface_distance.compute_robust_hausdorff(found, 95)), penalty)


def figures(seed: int, name: str) -> dict[str, object]:
    """Lesion-wise scores of one pair of masks by one set of rules."""
    times, threshold, penalty, joins = RULES[name]
    prediction, reference = masks(seed)
    pieces = joined(prediction, times) if joins else ndimage.label(prediction, BOX)[0]
    if joins:
        numbers, voxels = np.unique(pieces, return_counts=True)
        pieces = np.where(np.isin(pieces, numbers[voxels <= threshold]), 0, pieces)
    lesions = joined(reference, times)
    assigned: set[int] = set()
    dice, distances, found = [], [], 0
    for number in np.unique(lesions)[1:]:
        lesion = lesions == number
        touched = set(np.unique(pieces[ndimage.binary_dilation(lesion, EIGHTEEN, times)]).tolist()) - {0}
        assigned |= touched
        if lesion.sum() * np.prod(SPACING_MM) <= threshold:
            continue
        both = np.isin(pieces, list(touched))
        found += bool(touched)
        dice.append(2 * (both & lesion).sum() / (both.sum() + lesion.sum()))
        distances.append(hausdorff(both, lesion, penalty) if touched else penalty)
    wrong = len(set(np.unique(pieces).tolist()) - {0} - assigned)
    number = len(dice) + wrong
    return {
        "seed": seed,
        "protocol": name,
        "lesions": [found, wrong, len(dice) - found],
        "dice": round(float(sum(dice) / number), 9) if number else 1.0,
        "hd95_mm": round(float((sum(distances) + wrong * penalty) / number), 9) if number else 0.0,
    }


if __name__ == "__main__":
    rows = [figures(seed, name) for name in RULES for seed in SEEDS[:10]]
    table = {"made_by": "tests/golden/make_brats_lesionwise.py with surface-distance 0.1 and scipy", "cases": rows}
    text = json.dumps(table).replace('{"seed"', '\n {"seed"')
    Path(__file__).with_name("brats_lesionwise.json").write_text(text + "\n")
