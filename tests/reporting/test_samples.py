"""Which cases are shown, and how they are turned."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.core.geometry import Geometry
from autoseg.io.images import write_image, write_label
from autoseg.reporting.samples import best_median_worst, draw_samples, drawn_labels, read_sample
from autoseg.specs.report import CaseScores, Report, Score

GRID = Geometry((6, 8, 10), (3.0, 2.0, 1.0))


def report(cases):
    return Report(protocol="autoseg", definitions={}, cases=cases, summary={})


def test_best_median_and_worst_are_shown(scored_cases):
    shown = best_median_worst(report(scored_cases(liver=(0.5, 0.9, 0.7, 0.1, 0.6))))
    assert [title for title, _ in shown] == ["best: case_1", "median: case_4", "worst: case_3"]
    assert [title for title, _ in best_median_worst(report(scored_cases(liver=(0.5, None))))] == ["case_0", "case_1"]


def test_protocols_without_dice_are_ranked_by_their_own():
    cases = tuple(
        CaseScores(id=name, regions={"lesion": {"lesionwise_dice": Score(value=value)}})
        for name, value in (("a", 0.2), ("b", 0.9), ("c", 0.5))
    )
    assert [title for title, _ in best_median_worst(report(cases))] == ["best: b", "median: c", "worst: a"]


@pytest.fixture
def files(tmp_path):
    """One case whose volume is stored upside down and mirrored."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 2, 3] = 1
    flipped = Geometry(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0), ((-1.0, 0, 0), (0, 1.0, 0), (0, 0, -1.0)))
    paths = (tmp_path / "i.nii.gz", tmp_path / "r.nii.gz", tmp_path / "p.nii.gz")
    write_image(paths[0], labels.astype(np.float32), flipped)
    write_label(paths[1], labels, flipped)
    write_label(paths[2], np.zeros_like(labels), flipped)
    return paths


def test_a_case_is_turned_upright(files, scored_cases):
    (scores,) = scored_cases(liver=(0.5,))
    sample = read_sample("a", scores, files, window=None)
    assert np.argwhere(sample.reference).tolist() == [[4, 2, 6]]
    assert np.argwhere(sample.image).tolist() == [[4, 2, 6]]
    assert not sample.prediction.any()
    assert sample.spacing_mm == GRID.spacing_mm
    assert sample.scores == ("liver: Dice 0.50",)


def test_scores_that_are_not_defined_are_said(files):
    scores = CaseScores(id="a", regions={"liver": {"dice": Score(value=None, reason="empty")}, "spleen": {}})
    assert read_sample("a", scores, files, window=None).scores == ("liver: none here", "spleen")


def test_only_cases_with_files_are_drawn(tmp_path, files, scored_cases, share_of):
    shown = report(scored_cases(liver=(0.5, 0.9, 0.7)))
    picture = tmp_path / "samples.png"
    draw_samples(shown, {}, picture, groups={"liver": (1,)}, channel="MR", title="t")
    assert not picture.exists()
    draw_samples(shown, {"case_2": files}, picture, groups={"liver": (1,)}, channel="MR", title="t")
    assert share_of(picture, "#f2b134") > 0


@pytest.mark.parametrize(
    ("groups", "names", "drawn"),
    [
        (
            {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)},
            {1: "whole", 2: "core", 3: "enhancing"},
            [0, 1, 2, 3],
        ),
        (
            {"whole": (1, 2, 3, 4), "core": (2, 3, 4), "enhancing": (4,)},
            {1: "whole", 2: "core", 4: "enhancing"},
            [0, 1, 2, 2, 4],
        ),
        (
            {"whole": (1, 2, 3), "core": (1, 3), "enhancing": (3,)},
            {2: "whole", 1: "core", 3: "enhancing"},
            [0, 1, 2, 3],
        ),
        ({"a": (1, 2), "b": (1,)}, {2: "a", 1: "b"}, [0, 1, 2, 3]),
        ({"a": (1,), "b": (1,)}, {1: "a"}, [0, 1]),
    ],
)
def test_every_voxel_has_the_colour_of_the_smallest_region_that_holds_it(groups, names, drawn):
    found, table = drawn_labels(groups)
    assert found == names
    assert table[: len(drawn)].tolist() == drawn
