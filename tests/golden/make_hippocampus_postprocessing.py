"""Ask nnU-Net v2 about 20 real validation cases with false components: run by hand where nnunetv2 2.8.1 is installed.

python tests/golden/make_hippocampus_postprocessing.py DECATHLON/Task04_Hippocampus
writes hippocampus_postprocessing.json: names and digests, nothing of the images.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import SimpleITK as sitk  # noqa: N813
from hippocampus_islands import SCENARIOS, perturb
from make_postprocessing import ask
from nnunetv2.utilities.crossval_split import generate_crossval_split

CASES = 20


def main() -> None:
    labels = Path(sys.argv[1]) / "labelsTr"
    names = sorted(path.name.removesuffix(".nii.gz") for path in labels.glob("hippocampus_*.nii.gz"))
    chosen = sorted(str(name) for name in generate_crossval_split(names)[0]["val"])[:CASES]
    answers = {}
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory() as temporary:
            folder, made = Path(temporary), {}
            for part in ("predictions", "references"):
                (folder / part).mkdir()
            for name in chosen:
                image = sitk.ReadImage(str(labels / f"{name}.nii.gz"))
                reference = sitk.GetArrayFromImage(image).astype(np.uint8)
                mask = perturb(name, reference, scenario)
                made[name] = hashlib.sha256(mask.tobytes()).hexdigest()[:16]
                for part, array in (("predictions", mask), ("references", reference)):
                    written = sitk.GetImageFromArray(array)
                    written.CopyInformation(image)
                    sitk.WriteImage(written, str(folder / part / f"{name}.nii.gz"))
            values = {"labels": {"background": 0, "Anterior": 1, "Posterior": 2}, "file_ending": ".nii.gz"}
            (folder / "dataset.json").write_text(json.dumps({**values, "numTraining": CASES}))
            answers[scenario] = {**ask(folder), "made": made}
    target = Path(__file__).with_name("hippocampus_postprocessing.json")
    target.write_text(json.dumps({"nnunetv2": "2.8.1", "answers": answers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
