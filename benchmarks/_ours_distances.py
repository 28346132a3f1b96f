"""Run by our interpreter: perturbed masks, and their surface distances; a JSON argument describes the task."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
COARSE = (6, 14, 14)
"""Grid of the random field that moves the surface; interpolated, so that bumps are some centimetres wide."""
LARGEST_MOVE_MM = 8.0
BITE_EVERY = 4
"""Every fourth mask also lacks a box in the midst of the organ, which puts some of its surface far away."""


def perturbed(request: dict[str, Any]) -> dict[str, Any]:
    """Write the reference and `count` masks as bits, each its surface moved by a smooth seeded field."""
    import edt

    from autoseg.io.images import read_label

    labels, geometry = read_label(Path(request["reference"]))
    reference = labels > 0
    spacing, folder = tuple(geometry.spacing_mm), Path(request["output"])
    voxels = reference.view(np.uint8)
    inside_mm = edt.edt(voxels, anisotropy=spacing) - edt.edt(1 - voxels, anisotropy=spacing)
    (folder / "about.json").write_text(json.dumps({"shape": reference.shape, "spacing_mm": spacing}))
    np.save(folder / "reference.npy", np.packbits(reference))
    for number in range(request["count"]):
        mask = moved(inside_mm, number)
        if number % BITE_EVERY == BITE_EVERY - 1:
            mask[box_within(reference, number)] = False
        np.save(folder / f"{number}.npy", np.packbits(mask))
    return {"foreground": int(reference.sum())}


def moved(inside_mm: npt.NDArray[np.float32], number: int) -> Mask:
    """The mask whose surface a smooth random field has moved: larger moves for larger numbers.

    Args:
        inside_mm: (Z, Y, X) distance to the surface, positive inside.
        number: Of the perturbation; also the seed.
    """
    from scipy.ndimage import zoom

    field = np.random.default_rng(number).uniform(-1, 1, COARSE).astype(np.float32)
    factors = [size / edge for size, edge in zip(inside_mm.shape, COARSE, strict=True)]
    share = (1 + number % 5) / 5
    found: Mask = inside_mm + share * LARGEST_MOVE_MM * zoom(field, factors, order=1) > 0
    return found


def box_within(mask: Mask, number: int) -> tuple[slice, ...]:
    """A box of a third of the mask's extent around one of its voxels."""
    where = np.argwhere(mask)
    centre = where[np.random.default_rng(number).integers(len(where))]
    half = (where.max(axis=0) - where.min(axis=0)) // 6 + 1
    return tuple(slice(max(0, middle - edge), middle + edge) for middle, edge in zip(centre, half, strict=True))


def distances(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds for HD95 and normalised surface Dice of all masks, reading left out; and the scores."""
    from autoseg.metrics.case import occupied_box
    from autoseg.metrics.surface import surface_distances

    folder = Path(request["folder"])
    about = json.loads((folder / "about.json").read_text())
    reference = load_mask(folder / "reference.npy", about["shape"])
    seconds, hausdorff, dice = 0.0, [], []
    for number in range(request["count"]):
        mask = load_mask(folder / f"{number}.npy", about["shape"])
        started = time.perf_counter()
        box = occupied_box(mask, reference)
        found = surface_distances(mask[box], reference[box], spacing_mm=about["spacing_mm"])
        if found is None:
            raise ValueError(f"mask {number} has no surface")
        hausdorff.append(found.hausdorff_mm(95))
        dice.append(found.dice_within(request["tolerance_mm"]))
        seconds += time.perf_counter() - started
    return {"seconds": seconds, "hd95_mm": hausdorff, "nsd": dice}


def load_mask(path: Path, shape: list[int]) -> Mask:
    """A mask (Z, Y, X) from its bits."""
    count = int(np.prod(shape))
    bits = np.unpackbits(np.load(path), count=count)
    return bits.view(np.bool_).reshape(shape)


def main() -> None:
    """Run the task of the request."""
    request = json.loads(sys.argv[1])
    print(json.dumps({each.__name__: each for each in (perturbed, distances)}[request["task"]](request)))


if __name__ == "__main__":
    main()
