"""nnU-Net v2's postprocessing.pkl and the masks it leaves: run by hand where nnunetv2 2.8.1 is installed.

python tests/golden/make_postprocessing_pickles.py        writes postprocessing_pickles.json
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ.setdefault(variable, tempfile.gettempdir())
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np  # noqa: E402
from nnunetv2.postprocessing.remove_connected_components import (  # noqa: E402
    apply_postprocessing,
    remove_all_but_largest_component_from_segmentation,
)
from postprocessing_maps import make_maps  # noqa: E402

RULES: dict[str, tuple[str, list[Any]]] = {
    "nothing": ("noise_everywhere", []),
    "foreground": ("noise_everywhere", [[1, 2]]),
    "label": ("noise_everywhere", [2]),
    "foreground_then_labels": ("one_split", [[1, 2], 1, 2]),
    "numpy_number": ("noise_everywhere", [np.int64(1)]),
    "region": ("regions", [(2, 3)]),
    "foreground_then_regions": ("regions_split", [[1, 2, 3], (1, 2, 3), (2, 3), 3]),
    "labels_and_regions_together": ("regions_split_core", [[(2, 3), 1]]),
}


def main() -> None:
    answers = {}
    for name, (scenario, rules) in RULES.items():
        functions = [remove_all_but_largest_component_from_segmentation] * len(rules)
        arguments = [{"labels_or_regions": rule} for rule in rules]
        cleaned = [apply_postprocessing(mask, functions, arguments) for mask, _ in make_maps(scenario)]
        answers[name] = {
            "scenario": scenario,
            "pickles": [pickle.dumps((functions, arguments), protocol).hex() for protocol in (2, 3, 4, 5)],
            "cleaned": [hashlib.sha256(mask.astype("uint8").tobytes()).hexdigest()[:16] for mask in cleaned],
        }
    target = Path(__file__).with_name("postprocessing_pickles.json")
    target.write_text(json.dumps({"nnunetv2": "2.8.1", "answers": answers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
