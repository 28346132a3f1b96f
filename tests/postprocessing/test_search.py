"""Steps with thresholds: found on the folds, tested on the others, and not against the data set's challenge."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.io.images import write_label
from autoseg.io.label_files import LabelPair, pair_label_files
from autoseg.metrics.protocols import load_protocol
from autoseg.postprocessing._candidates import Candidate, candidates
from autoseg.postprocessing._choose import choose_steps
from autoseg.postprocessing._guard import ProtocolGuard, Verdict, compare, no_guard
from autoseg.postprocessing._search import search_steps
from autoseg.postprocessing._select import Selection
from autoseg.specs.document import Component
from autoseg.specs.method import PostprocessChoices
from autoseg.specs.report import CaseScores, Score

LIVER = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
GLIOMA = LabelSpace.parse({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}, (1, 2, 3))
ALL, LARGEST = PostprocessChoices(), PostprocessChoices(search="largest")
SHAPE, SPACING = (12, 20, 20), (1.0, 1.0, 1.0)


def liver(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The tumour was also found far from the liver, in a volume like the true one."""
    reference = np.zeros(SHAPE, np.uint8)
    reference[2:8, 2:12, 2:12] = 1
    reference[3:6, 3:6, 3 + number % 3 : 6 + number % 3] = 2
    mask = reference.copy()
    mask[8:11, 15:18, 15:18] = 2
    return mask, reference


def glioma(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Every other case has no enhancing tumour, but a few voxels of it in the mask."""
    reference = np.zeros(SHAPE, np.uint8)
    reference[2:10, 2:14, 2:14] = 1
    reference[4:8, 4:10, 4:10] = 2
    mask = reference.copy()
    if number % 2:
        reference[5:7, 5:9, 5:9] = 3
        mask[5:7, 5:9, 5:8] = 3
    else:
        mask[5, 5, 5:9] = 3
    return mask, reference


def write(folder: Path, maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[LabelPair, ...]:
    for index, pair in enumerate(maps):
        for part, array in zip(("masks", "references"), pair, strict=True):
            write_label(folder / part / f"case_{index}.nii.gz", array, Geometry(SHAPE, SPACING))
    return pair_label_files(folder / "masks", folder / "references")


def names(labels: LabelSpace) -> list[str]:
    return [component.name for each in candidates(labels) for component in [*each.variants.values()][:1]]


def test_what_is_tried_follows_from_the_labels() -> None:
    assert names(LIVER) == ["inside_organ", "drop_small", "drop_small", "fill_holes", "fill_holes"]
    assert names(GLIOMA)[0] == "replace_small"
    assert {step.options["to"] for step in candidates(GLIOMA)[0].variants.values()} == {0, 2}
    assert "replace_small" not in names(LabelSpace.parse({"background": 0, "1": 1, "4": 4}))
    many = LabelSpace.parse({"background": 0, **{f"organ_{value}": value for value in range(1, 9)}})
    assert names(many) == ["drop_small", "fill_holes"]
    kidneys = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": [2]}
    assert candidates(LabelSpace.parse(kidneys, (1, 3, 2)))[0].variants["touching any piece of it"].options == {
        "labels": [2, 3],
        "organ": [1],
        "host": "any",
    }


def test_each_lesion_belongs_to_the_organ_in_its_name() -> None:
    labels = {"background": 0, "kidney": 1, "kidney_tumor": 2, "pancreas": 3, "cyst of the pancreas": 4, "spleen": 5}
    found = [each for each in candidates(LabelSpace.parse(labels)) if "in their organ" in each.title]
    options = [next(iter(each.variants.values())).options for each in found]
    assert [(each["labels"], each["organ"]) for each in options] == [([2], [1]), ([4], [3])]
    assert found[1].title == "lesions only in their organ (pancreas)"


def test_lesions_outside_their_organ_are_found_on_the_folds(tmp_path: Path) -> None:
    pairs = write(tmp_path, [liver(number) for number in range(4)])
    chosen, protocol = choose_steps(pairs, LIVER, ALL, folds=("0", "0", "1", "1"), scoring="lits")
    # The largest component of the foreground already does it; what comes after has nothing left to bring.
    assert [step.name for step in chosen.steps] == ["keep_largest"]
    assert protocol == "lits"
    assert chosen.trials[0].protocol_after["dice"] > chosen.trials[0].protocol_before["dice"]
    start = Selection((), (), {}, {"liver": 1.0, "tumour": 2 / 3})
    only = search_steps(
        start, candidates(LIVER)[:1], measured(pairs, LIVER), folds=("0", "0", "1", "1"), guard=no_guard
    )
    assert [step.name for step in only.steps] == ["inside_organ"]
    assert only.after == {"liver": 1.0, "tumour": 1.0}
    assert only.trials[0].tried == {"touching any piece of it": 1.0, "touching its largest piece": 1.0}
    assert choose_steps((), LIVER, ALL, folds=())[0].steps == ()


def measured(pairs: Sequence[LabelPair], labels: LabelSpace):  # type: ignore[no-untyped-def]
    from autoseg.postprocessing._measure import measure_cases

    return lambda sequences: measure_cases(pairs, labels, sequences, workers=1)


def test_small_enhancing_tumour_becomes_core(tmp_path: Path) -> None:
    pairs = write(tmp_path, [glioma(number) for number in range(6)])
    folds = ("0", "0", "1", "1", "2", "2")
    chosen, protocol = choose_steps(pairs, GLIOMA, ALL, folds=folds, scoring="brats2020")
    (step,) = chosen.steps
    assert (step.name, step.options["to"], step.options["volume_mm3"]) == ("replace_small", 2, 10.0)
    (trial,) = (trial for trial in chosen.trials if trial.kept)
    assert protocol == "brats2020"
    assert trial.protocol_after["dice"] > trial.protocol_before["dice"]
    assert trial.protocol_after["hd95_mm"] < trial.protocol_before["hd95_mm"]
    assert chosen.after["core"] == chosen.before["core"] == 1.0
    assert len(trial.tried) == 12
    peer, asked = choose_steps(pairs, GLIOMA, LARGEST, folds=folds, scoring="brats2020")
    assert (peer.steps, asked) == ((), "")


def test_a_protocol_that_does_not_know_the_labels_is_not_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    pairs = write(tmp_path, [liver(0)])
    _, protocol = choose_steps(pairs, LIVER, ALL, folds=("0",), scoring="brats2020")
    assert protocol == ""
    assert "the scoring protocol brats2020 is not asked: no label of the data set is the region 'WT'" in caplog.text


A, B = (Component(name="drop_small", options={"volume_mm3": volume}) for volume in (10.0, 30.0))
TRIED = (Candidate("small", {"ten": A, "thirty": B}),)
START = Selection((), (), {}, {"organ": 0.5})


def told(**rows: list[float | None]):  # type: ignore[no-untyped-def]
    """Dice per case, by the threshold of the last step."""
    named = [((), rows["none"]), ((A,), rows["ten"]), ((B,), rows["thirty"])]
    return lambda sequences: [
        [{"organ": value} for known, values in named if known == tuple(each) for value in values] for each in sequences
    ]


def search(guard=no_guard, folds=("0", "1"), **rows):  # type: ignore[no-untyped-def]
    return search_steps(START, TRIED, told(**rows), folds=folds, guard=guard)


def test_the_best_threshold_is_kept_only_if_other_folds_agree() -> None:
    assert search(none=[0.5, 0.5], ten=[0.6, 0.6], thirty=[0.7, 0.7]).steps == (B,)
    # Each fold alone likes what ruins the other: chosen on the other one, the mean falls.
    torn = search(none=[0.5, 0.5], ten=[0.8, 0.4], thirty=[0.4, 0.81])
    assert torn.steps == ()
    assert "not where the choice is made on the other folds (-0.10000)" in torn.trials[0].reason
    assert search(folds=("0", "0"), none=[0.5, 0.5], ten=[0.8, 0.4], thirty=[0.4, 0.81]).steps == ()
    tiny = search(none=[0.5, 0.5], ten=[0.50005, 0.5], thirty=[0.5, 0.5])
    assert "does not rise by 0.0001" in tiny.trials[0].reason
    # Where the reference is empty, an empty mask has no Dice: the case leaves the mean instead of counting 0.
    assert search(none=[0.0, 0.8], ten=[None, 0.8], thirty=[None, 0.7]).steps == (A,)


def test_a_falling_region_is_a_veto() -> None:
    def measure(sequences: Sequence[tuple[Component, ...]]) -> list[list[dict[str, float | None]]]:
        return [[{"a": 0.9, "b": 0.8} if steps else {"a": 0.5, "b": 0.9}] for steps in sequences]

    only = Candidate("small", {"ten": A})
    chosen = search_steps(START, (only,), measure, folds=("0",), guard=no_guard)
    assert chosen.steps == ()
    assert "but that of b falls" in chosen.trials[0].reason


def test_the_challenge_has_a_veto() -> None:
    def guard(before: Sequence[Component], after: Sequence[Component]) -> Verdict:
        assert (tuple(before), tuple(after)) == ((), (B,))
        return Verdict({"hd95_mm": 3.0}, {"hd95_mm": 4.0}, ("hd95_mm",))

    chosen = search(guard, none=[0.5, 0.5], ten=[0.6, 0.6], thirty=[0.7, 0.7])
    assert chosen.steps == ()
    assert "hd95_mm by the data set's protocol worsens (3.00000 to 4.00000)" in chosen.trials[0].reason
    assert chosen.trials[0].protocol_after == {"hd95_mm": 4.0}


def test_ranked_metrics_are_compared_where_both_are_defined() -> None:
    def cases(*values: float | None) -> list[CaseScores]:
        return [
            CaseScores(id=str(index), regions={"a": {"nsd": Score(value=value), "hd95_mm": Score(value=value)}})
            for index, value in enumerate(values)
        ]

    assert compare(cases(1.0, None), cases(1.0, 0.0), ("nsd", "hd95_mm", "other")).worse == ()
    assert compare(cases(1.0, 0.5), cases(1.0, 0.4), ("nsd", "hd95_mm")).worse == ("nsd",)
    assert compare(cases(1.0, 0.5), cases(1.0, 0.6), ("nsd", "hd95_mm")).worse == ("hd95_mm",)


def test_ranked_metrics_exist(tmp_path: Path) -> None:
    pairs = write(tmp_path, [glioma(1)])
    for name in ("brats2020", "brats2023:gli", "brats2024:gli", "brats2025:gli"):
        guard = ProtocolGuard(pairs, GLIOMA, load_protocol(name), workers=1)
        assert set(guard((), ()).before) == set(load_protocol(name).RANKED), name


def test_a_case_that_cannot_be_scored_is_named(tmp_path: Path) -> None:
    mask, reference = glioma(1)
    mask[0, 0, 0] = 9
    pairs = write(tmp_path, [(mask, reference)])
    with pytest.raises(DatasetError, match="case case_0: the prediction holds the value 9"):
        ProtocolGuard(pairs, GLIOMA, load_protocol("brats2020"), workers=1)((), ())
