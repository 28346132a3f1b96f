"""Run by an interpreter with surface-distance: the same scores as `_ours_distances.py`. Needs nothing but that."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import surface_distance


def distances(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds for HD95 and normalised surface Dice of all masks, reading left out; and the scores."""
    folder = Path(request["folder"])
    about = json.loads((folder / "about.json").read_text())
    shape, spacing = about["shape"], about["spacing_mm"]
    reference = _load(folder / "reference.npy", shape)
    seconds, hausdorff, dice = 0.0, [], []
    for number in range(request["count"]):
        mask = _load(folder / f"{number}.npy", shape)
        started = time.perf_counter()
        found = surface_distance.compute_surface_distances(reference, mask, spacing)
        hausdorff.append(float(surface_distance.compute_robust_hausdorff(found, 95)))
        dice.append(float(surface_distance.compute_surface_dice_at_tolerance(found, request["tolerance_mm"])))
        seconds += time.perf_counter() - started
    return {"seconds": seconds, "hd95_mm": hausdorff, "nsd": dice}


def _load(path: Path, shape: list[int]) -> Any:
    return np.unpackbits(np.load(path), count=int(np.prod(shape))).view(np.bool_).reshape(shape)


if __name__ == "__main__":
    print(json.dumps(distances(json.loads(sys.argv[1]))))
