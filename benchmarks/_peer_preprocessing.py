"""Run by the peer's interpreter: plan a raw data set with nnU-Net v2 and save every case before it is stored.

Called by `compare_preprocessing.py`; the environment names nnU-Net's folders.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Plan, then preprocess the named number of cases."""
    request = json.loads(sys.argv[1])
    from batchgenerators.utilities.file_and_folder_operations import load_json, save_json
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    dataset = request["dataset"]
    number = int(dataset[7:10])
    folder = Path(nnUNet_preprocessed) / dataset
    if not (folder / "nnUNetPlans.json").is_file():
        extract_fingerprints([number], num_processes=1)
        plan_experiments([number])
    plans = load_json(str(folder / "nnUNetPlans.json"))
    if request["spacing_mm"]:
        plans["configurations"]["3d_fullres"]["spacing"] = request["spacing_mm"]
    save_json(plans, str(Path(request["output"]) / "plans.json"))
    manager, worker = PlansManager(plans), DefaultPreprocessor(verbose=False)
    raw = Path(nnUNet_raw) / dataset
    description = load_json(str(raw / "dataset.json"))
    files = get_filenames_of_train_images_and_targets(str(raw), description)
    seconds = {}
    for case_id in sorted(files)[: request["cases"]]:
        start = time.process_time()
        image, labels, _ = worker.run_case(
            files[case_id]["images"],
            files[case_id]["label"],
            manager,
            manager.get_configuration(request["configuration"]),
            description,
        )
        seconds[case_id] = time.process_time() - start
        np.savez(Path(request["output"]) / f"{case_id}.npz", image=image, labels=labels[0])
    save_json(seconds, str(Path(request["output"]) / "seconds.json"))


if __name__ == "__main__":
    main()
