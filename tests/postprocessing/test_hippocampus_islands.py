"""nnU-Net v2's decision and masks on 20 real validation cases with false components."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.labels import LabelSpace
from autoseg.io.images import read_label, write_label
from autoseg.io.label_files import LabelPair
from autoseg.postprocessing import apply_steps
from autoseg.postprocessing._choose import choose_steps
from autoseg.specs.method import PostprocessChoices

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS = json.loads((GOLDEN / "hippocampus_postprocessing.json").read_text())["answers"]
SPACE = LabelSpace.parse({"background": 0, "Anterior": 1, "Posterior": 2})


def digest(mask: np.ndarray) -> str:
    return hashlib.sha256(mask.astype(np.uint8).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("scenario", sorted(ANSWERS))
def test_decision_and_masks_equal_nnunet(test_data: Path, tmp_path: Path, scenario: str) -> None:
    spec = importlib.util.spec_from_file_location("hippocampus_islands", GOLDEN / "hippocampus_islands.py")
    assert spec is not None
    assert spec.loader is not None
    islands = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(islands)
    expected = ANSWERS[scenario]
    assert len(expected["cleaned"]) == 20
    masks, pairs = {}, []
    for name in sorted(expected["made"]):
        path = test_data / "Task04_Hippocampus" / "labelsTr" / f"{name}.nii.gz"
        reference, geometry = read_label(path)
        masks[name] = islands.perturb(name, reference, scenario)
        assert digest(masks[name]) == expected["made"][name]
        write_label(tmp_path / f"{name}.nii.gz", masks[name], geometry)
        pairs.append(LabelPair(name, tmp_path / f"{name}.nii.gz", path))
    rules = PostprocessChoices(search="largest")
    chosen, _ = choose_steps(pairs, SPACE, rules, folds=["0"] * len(pairs))
    assert [step.options["labels"] for step in chosen.steps] == expected["steps"]
    for name, mask in masks.items():
        assert digest(apply_steps(chosen.steps, mask, (1.0, 1.0, 1.0))) == expected["cleaned"][name], name


def test_the_table_asks_for_different_answers() -> None:
    assert len({json.dumps(answer["steps"]) for answer in ANSWERS.values()}) >= 2
    changed = [
        answer["made"][name] != cleaned for answer in ANSWERS.values() for name, cleaned in answer["cleaned"].items()
    ]
    assert sum(changed) >= 20
