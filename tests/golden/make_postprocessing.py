"""Ask nnU-Net v2 what post-processing it chooses and what it leaves: run by hand where nnunetv2 2.8.1 is installed.

python tests/golden/make_postprocessing.py            writes postprocessing.json
python tests/golden/make_postprocessing.py FOLDER     asks about FOLDER/{predictions,references,dataset.json} only
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ.setdefault(variable, tempfile.gettempdir())
sys.path.insert(0, str(Path(__file__).parent))

import SimpleITK as sitk  # noqa: E402, N813
from nnunetv2.postprocessing.remove_connected_components import (  # noqa: E402
    apply_postprocessing_to_folder,
    determine_postprocessing,
)
from postprocessing_maps import SCENARIOS, make_maps  # noqa: E402

PLANS = {"image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager"}


def ask(folder: Path) -> dict[str, Any]:
    """Steps kept, as lists of labels, and a digest of every cleaned map."""
    dataset = json.loads((folder / "dataset.json").read_text())
    dataset.setdefault("channel_names", {"0": "CT"})
    functions, arguments = determine_postprocessing(
        str(folder / "predictions"), str(folder / "references"), PLANS, dataset, 1, keep_postprocessed_files=False
    )
    apply_postprocessing_to_folder(
        str(folder / "predictions"), str(folder / "cleaned"), functions, arguments, PLANS, dataset, 1
    )
    steps = []
    for each in arguments:
        value = each["labels_or_regions"]
        steps.append([int(v) for v in value] if isinstance(value, list | tuple) else [int(value)])
    cleaned = {}
    for path in sorted((folder / "cleaned").glob("*.nii.gz")):
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype("uint8")
        cleaned[path.name.removesuffix(".nii.gz")] = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    return {"steps": steps, "cleaned": cleaned}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(ask(Path(sys.argv[1]))))
        return
    answers = {}
    for name, scenario in SCENARIOS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for part in ("predictions", "references"):
                (folder / part).mkdir()
            for index, maps in enumerate(make_maps(name)):
                for part, array in zip(("predictions", "references"), maps, strict=True):
                    sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / part / f"case_{index}.nii.gz"))
            values: dict[str, Any] = {"labels": scenario.labels, "file_ending": ".nii.gz", "numTraining": 4}
            if scenario.order:
                values["regions_class_order"] = list(scenario.order)
            (folder / "dataset.json").write_text(json.dumps(values))
            answers[name] = ask(folder)
    target = Path(__file__).with_name("postprocessing.json")
    target.write_text(json.dumps({"nnunetv2": "2.8.1", "answers": answers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
