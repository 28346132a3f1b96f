"""Write `preprocessing.json`: figures of cases that nnU-Net v2 (nnunetv2 2.8.1) prepared; run by its interpreter.

    AUTOSEG_TEST_DATA=FOLDER PEER/bin/python tests/golden/make_preprocessing.py

Only sums over whole volumes are kept, no voxel.
"""

import json
import os
from pathlib import Path

import numpy as np
import SimpleITK

CASES = {
    "organs_isotropic": ("multiorgan_ct_3mm/ct.nii.gz", "multiorgan_ct_3mm/labels.nii.gz", [1.7, 1.5, 1.5], "CT"),
    "organs_separate_axis": ("multiorgan_ct_3mm/ct.nii.gz", "multiorgan_ct_3mm/labels.nii.gz", [10.0, 2.5, 2.9], "CT"),
    "hippocampus": (
        "Task04_Hippocampus/imagesTr/hippocampus_001.nii.gz",
        "Task04_Hippocampus/labelsTr/hippocampus_001.nii.gz",
        [0.8, 1.1, 0.6],
        "ZScore",
    ),
}
STATISTICS = {"mean": 60.0, "std": 70.0, "percentile_00_5": -110.0, "percentile_99_5": 240.0}


def main() -> None:
    """One entry per case: shape, moments of the image, voxels per label."""
    from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
    from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape

    found = {}
    root = Path(os.environ["AUTOSEG_TEST_DATA"])
    for name, (image_name, labels_name, spacing, scheme) in CASES.items():
        read = SimpleITK.ReadImage(str(root / image_name))
        image = SimpleITK.GetArrayFromImage(read)[None].astype(np.float32)
        labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(root / labels_name)))[None].astype(np.int16)
        before = list(read.GetSpacing())[::-1]
        image, labels, _ = crop_to_nonzero(image, labels)
        normalizer = getattr(schemes, f"{scheme}Normalization")(use_mask_for_norm=False, intensityproperties=STATISTICS)
        image[0] = normalizer.run(image[0], labels[0])
        shape = compute_new_shape(image.shape[1:], before, spacing)
        rule = {"order_z": 0, "force_separate_z": None}
        image = resample_data_or_seg_to_shape(image, shape, before, spacing, is_seg=False, order=3, **rule)[0]
        labels = resample_data_or_seg_to_shape(labels, shape, before, spacing, is_seg=True, order=1, **rule)[0]
        values, counts = np.unique(labels, return_counts=True)
        found[name] = {
            "spacing_mm": spacing,
            "shape": list(image.shape),
            "moments": moments(image.astype(float)),
            "label_moments": moments(labels.astype(float)),
            "label_voxels": {str(int(value)): int(count) for value, count in zip(values, counts, strict=True)},
        }
    path = Path(__file__).with_name("preprocessing.json")
    path.write_text(json.dumps(found, indent=1) + "\n")


def moments(volume):
    """Mean, mean square, and mean of the value times each normalised coordinate: any shift or turn changes them."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in volume.shape], indexing="ij")
    return [float(volume.mean()), float((volume**2).mean()), *[float((volume * axis).mean()) for axis in axes]]


if __name__ == "__main__":
    main()
