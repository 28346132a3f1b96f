"""The arithmetic of the cost model: fits find what they were made from, and projects scale as they must."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks._cost_fit import LAWS, Fitted, Law, Term, fit
from benchmarks._cost_report import markdown, quantity
from benchmarks._cost_scale import Cluster, Project, extrapolate, update_seconds
from benchmarks._cost_tasks import in_slabs
from benchmarks.cost_model import conclusions

LAW = Law(
    "preprocess",
    "seconds",
    "case",
    (Term("whatever"), Term("per voxel", ("voxels",)), Term("both", ("voxels", "classes"))),
)


def points(*, noise: float = 0.0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = []
    for voxels in (1e5, 3e5, 1e6, 4e6):
        for classes in (2, 10):
            seconds = 0.02 + 5e-8 * voxels + 1e-9 * voxels * classes
            found.append({"voxels": voxels, "classes": classes, "seconds": seconds * (1 + noise * rng.normal())})
    return found


def test_a_fit_finds_the_costs() -> None:
    fitted = fit(LAW, points())
    assert fitted.coefficients == pytest.approx((0.02, 5e-8, 1e-9), rel=1e-6)
    assert fitted({"voxels": 1e8, "classes": 3}) == pytest.approx(0.02 + 5.3, rel=1e-6)


def test_noise_moves_a_fit_a_little_and_costs_are_never_negative() -> None:
    fitted = fit(LAW, points(noise=0.05))
    assert min(fitted.coefficients) >= 0
    assert max(abs(fitted.error(point)) for point in points()) < 0.1
    falling = [{"voxels": voxels, "classes": 0, "seconds": 1.0 - voxels} for voxels in (0.1, 0.2, 0.3)]
    assert fit(LAW, falling).coefficients[1] == 0.0


def test_errors_have_signs() -> None:
    fitted = Fitted(LAW, (1.0, 0.0, 0.0))
    assert fitted.error({"voxels": 0, "classes": 0, "seconds": 2.0}) == -0.5


def laws() -> dict[tuple[str, str], Fitted]:
    return {(law.stage, law.measured): Fitted(law, (1e-9,) * len(law.terms)) for law in LAWS}


def test_larger_projects_take_longer_in_proportion() -> None:
    one = extrapolate(laws(), Project(cases=100), Cluster())
    ten = extrapolate(laws(), Project(cases=1000), Cluster())
    for small, large in zip(one, ten, strict=True):
        if small.stage == "train":
            assert large == small
        else:
            assert large.core_hours == pytest.approx(10 * small.core_hours)
            assert large.gpu_hours == pytest.approx(10 * small.gpu_hours)
            assert large.gibibytes == small.gibibytes
    halved = extrapolate(laws(), Project(cases=100), Cluster(gpus=32))
    assert halved[0].hours == pytest.approx(2 * one[0].hours)


def test_windows_are_counted_as_the_sliding_window_does() -> None:
    assert Project(scan=(300, 512, 512)).windows == 4 * 7 * 7
    assert Project(scan=(100, 128, 129)).windows == 1 * 1 * 2


def test_processes_share_the_samples_but_not_the_loss() -> None:
    project, cluster = Project(), Cluster()
    one = update_seconds(project, cluster, processes=1, batch=8)
    assert one == pytest.approx(4 * update_seconds(project, cluster, processes=1, batch=2))
    eight = update_seconds(project, cluster, processes=8, batch=8)
    assert one / 8 < eight < one
    free = replace(cluster, link=1e30, memory_rate=1e30)
    assert update_seconds(project, free, processes=8, batch=8) == pytest.approx(one / 8)
    many = replace(project, classes=100)
    assert update_seconds(many, cluster, processes=8, batch=8) > 2 * eight


def test_slabs_hold_every_class_once_in_order() -> None:
    labels = np.zeros((12, 4, 4), np.uint8)
    labels[2:10, 1:3] = 1
    parts = in_slabs(labels, 4)
    assert parts[:, 1, 1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0]
    assert not parts[:, 0].any()


@pytest.mark.parametrize(
    ("value", "text"), [(3.21e-3, "3.21 ms"), (0.0, "0 ps"), (2.5e9, "2.5 Gs"), (41e-9, "41 ns"), (1.0, "1 s")]
)
def test_quantities_are_readable(value: float, text: str) -> None:
    assert quantity(value, "s") == text


def test_the_page_tells_fitted_from_held_out() -> None:
    stages = {law.stage for law in LAWS}
    names = {name for law in LAWS for term in law.terms for name in term.factors}
    measured = {law.measured for law in LAWS}
    made = [
        {**dict.fromkeys(names, scale), **dict.fromkeys(measured, scale * (2 if held else 1)), "held_out": held}
        for scale, held in ((1.0, False), (3.0, False), (9.0, True))
    ]
    workers = [{"workers": 1, "cases": 16, "seconds": 8.0}, {"workers": 2, "cases": 16, "seconds": 5.0}]
    known = {stage: {"load": 0.5, "wall_seconds": 9, "points": made} for stage in stages}
    known["workers"] = {"load": 0.5, "wall_seconds": 9, "points": workers}
    text = markdown({"machine": {"cpu_model": "X", "cores": 2}, "stages": known, **conclusions(known)})
    assert "| 0%, at most" in text
    assert "| 50%, at most -50% |" in text
    assert "by one process: 8.0 s, by two: 5.0 s (1.60 x)" in text
    assert "10,000 CTs of 300x512x512 voxels, 64 GPUs" in text
