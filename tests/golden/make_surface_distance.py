"""Make surface_distance_0_1.json; run it in an environment of its own: pip install surface-distance==0.1.

It uses DeepMind's package as the oracle, on the masks of surface_masks.py, and writes the figures it gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import surface_distance
from surface_distance import lookup_tables
from surface_masks import SEEDS, SPACINGS_MM, TOLERANCES_MM, masks


def figures(seed: int, spacing_mm: tuple[float, ...], dimensions: int) -> dict[str, object]:
    """Every figure of one pair of masks; in 2D that of the middle slice."""
    prediction, reference = masks(seed)
    if dimensions == 2:
        prediction, reference = prediction[12], reference[12]
    spacing = spacing_mm[-dimensions:]
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    areas = distances["surfel_areas_gt"].sum(), distances["surfel_areas_pred"].sum()
    means = surface_distance.compute_average_surface_distance(distances)
    return {
        "seed": seed,
        "spacing_mm": spacing_mm,
        "dimensions": dimensions,
        "voxels": [int(prediction.sum()), int(reference.sum())],
        "area_reference": areas[0],
        "area_prediction": areas[1],
        "hd100_mm": surface_distance.compute_robust_hausdorff(distances, 100),
        "hd95_mm": surface_distance.compute_robust_hausdorff(distances, 95),
        "mean_to_prediction_mm": means[0],
        "mean_to_reference_mm": means[1],
        "nsd": [surface_distance.compute_surface_dice_at_tolerance(distances, t) for t in TOLERANCES_MM],
    }


def area_table(spacing_mm: tuple[float, ...]) -> list[float]:
    """Areas by our numbering of the corners: bit 4 z + 2 y + x instead of 7 - (4 z + 2 y + x)."""
    areas = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm)
    return [float(areas[int(f"{code:08b}"[::-1], 2)]) for code in range(256)]


if __name__ == "__main__":
    table = {
        "made_by": "tests/golden/make_surface_distance.py with surface-distance 0.1",
        "areas": {"spacing_mm": [3.0, 1.3, 0.7], "by_code": area_table((3.0, 1.3, 0.7))},
        "cases": [figures(s, spacing, d) for d in (3, 2) for s in SEEDS for spacing in SPACINGS_MM],
    }
    rounded = json.loads(json.dumps(table), parse_float=lambda text: round(float(text), 9))
    text = json.dumps(rounded)
    for start in ('{"seed"', '"areas"', '"cases"'):
        text = text.replace(f", {start}", f",\n {start}")
    Path(__file__).with_name("surface_distance_0_1.json").write_text(text + "\n")
