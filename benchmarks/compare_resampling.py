"""Time matrix resampling against scikit-image's spline zoom on one thread, in one run.

OMP_NUM_THREADS=1 python benchmarks/compare_resampling.py
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
from skimage.transform import resize

from autoseg.core.geometry import Shape3
from autoseg.imageops.resample import resample_image, resample_labels
from autoseg.specs.plan import Resampling

CASES: tuple[tuple[Shape3, Shape3], ...] = (
    ((119, 512, 512), (190, 380, 380)),
    ((155, 240, 240), (119, 185, 185)),
    ((60, 128, 128), (96, 200, 200)),
)
ISOTROPIC = (1.0, 1.0, 1.0)


def organs(shape: Shape3) -> npt.NDArray[np.int8]:
    """Two nested ellipsoids, whose surfaces are the share of voxels that labels of organs have."""
    grids = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32) for size in shape], indexing="ij", sparse=True)
    radius = sum(grid**2 for grid in grids)
    return (radius < 0.6).astype(np.int8) + (radius < 0.2)


def main() -> None:
    """Print one line per size: CPU seconds of both and the largest difference."""
    rule = Resampling()
    generator = np.random.default_rng(0)
    for shape, target in CASES:
        image = generator.standard_normal((1, *shape), dtype=np.float32)
        labels = organs(shape)
        start = time.process_time()
        ours = resample_image(image, target, spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=rule)
        middle = time.process_time()
        theirs = resize(image[0].astype(float), target, 3, mode="edge", anti_aliasing=False)
        end = time.process_time()
        resample_labels(labels, target, spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=rule)
        done = time.process_time()
        for value in range(3):
            resize((labels == value).astype(float), target, 1, mode="edge", anti_aliasing=False)
        classes = time.process_time() - done
        print(
            f"{shape} -> {target}: image {middle - start:.2f} s, scikit-image {end - middle:.2f} s "
            f"({(end - middle) / (middle - start):.0f}x), largest difference {np.abs(ours[0] - theirs).max():.1e}; "
            f"labels {done - end:.2f} s, per class {classes:.2f} s ({classes / (done - end):.0f}x)"
        )


if __name__ == "__main__":
    main()
