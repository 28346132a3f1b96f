"""What the rows work out from files and from what the measured programs print."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchmarks._bench import Bench, NotHereError
from benchmarks._gpu_watch import busy_share, figures
from benchmarks._machine import Rates
from benchmarks._measure import Measurement
from benchmarks._ours import logits
from benchmarks._ours_distances import box_within, distances, load_mask, moved, perturbed
from benchmarks._rows_export import agreement, export
from benchmarks._rows_gpu import FIGURES, gpu_liver, training_rows
from benchmarks._rows_preparing import voxel_bytes
from benchmarks._rows_products import predict_products
from benchmarks._rows_scoring import differences


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(Path("peer"), tmp_path, tmp_path / "work", False, None, 1 << 40, 2)
    bench.__dict__["versions"] = {}
    return bench


def scored(hd95: list[float], nsd: list[float], failure: str | None = None) -> Measurement:
    return Measurement(1.0, 1.0, 1, failure=failure, values={"hd95_mm": hd95, "nsd": nsd})


def test_the_largest_difference_of_each_score_is_checked() -> None:
    hausdorff, dice = differences([scored([1.0, 2.0], [0.5, 0.9])], [scored([1.0, 2.002], [0.5, 0.9005])])
    assert hausdorff.value == pytest.approx(0.002)
    assert not hausdorff.kept
    assert dice.value == pytest.approx(0.0005)
    assert dice.kept


def test_a_failed_side_has_nothing_to_compare() -> None:
    assert differences([scored([1.0], [1.0])], [scored([], [], "out of memory")]) == ()


def ball(path: Path) -> np.ndarray:
    z, y, x = np.ogrid[-10:10, -14:14, -14:14]
    mask = (z * 1.5) ** 2 + y**2 + x**2 < 100
    image = nibabel.Nifti1Image(mask.T.astype(np.uint8), np.diag([1.0, 1.0, 1.5, 1.0]))
    nibabel.save(image, path)
    return mask


def test_perturbed_masks_are_seeded_and_differ_more_and_more(tmp_path: Path) -> None:
    mask = ball(tmp_path / "ball.nii.gz")
    request = {"reference": str(tmp_path / "ball.nii.gz"), "output": str(tmp_path), "count": 4}
    assert perturbed(request) == {"foreground": int(mask.sum())}
    assert np.array_equal(load_mask(tmp_path / "reference.npy", list(mask.shape)), mask)
    found = distances({"folder": str(tmp_path), "count": 4, "tolerance_mm": 1.0})
    assert len(found["hd95_mm"]) == len(found["nsd"]) == 4
    assert min(found["hd95_mm"][1:]) > 0
    assert found["hd95_mm"][3] == max(found["hd95_mm"]), "the fourth lacks a box"
    assert all(0 < dice <= 1 for dice in found["nsd"])
    assert min(found["nsd"]) == found["nsd"][3]
    first = (tmp_path / "0.npy").read_bytes()
    perturbed(request)
    assert (tmp_path / "0.npy").read_bytes() == first


def test_a_field_moves_the_surface_by_no_more_than_its_strength() -> None:
    inside_mm = np.broadcast_to(np.arange(-20.0, 20.0, dtype=np.float32)[:, None, None], (40, 30, 30))
    surface = moved(inside_mm, 4).argmax(axis=0)
    assert surface.min() >= 12
    assert surface.max() <= 29
    assert len(np.unique(surface)) > 3


def test_the_box_lies_around_a_voxel_of_the_mask() -> None:
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[5:15, 6:14, 7:13] = True
    box = box_within(mask, 3)
    assert mask[box].any()
    assert [part.stop - part.start for part in box] == [4, 4, 2]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_logits_have_the_asked_number_of_classes(tmp_path: Path, classes: int) -> None:
    labels = np.tile(np.repeat(np.arange(3, dtype=np.uint8), 4), 12 * 8).reshape(12, 8, 12)
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "l.nii.gz")
    made = logits({"labels": str(tmp_path / "l.nii.gz"), "classes": classes, "output": str(tmp_path / "x.npy")})
    values = np.load(tmp_path / "x.npy")
    assert made["shape"] == [classes, 12, 8, 12] == list(values.shape)
    assert set(np.unique(values.argmax(0))) == set(range(classes))


def test_agreement_is_of_voxels_and_none_without_the_peer(tmp_path: Path) -> None:
    ours, peer = tmp_path / "ours.npy", tmp_path / "peer.npy"
    np.save(ours, np.array([1, 2, 3, 4]))
    assert agreement(ours, peer) == ()
    np.save(peer, np.array([1, 2, 3, 5]))
    (check,) = agreement(ours, peer)
    assert (check.value, check.kept) == (0.75, False)


def test_bytes_of_voxels_are_those_of_the_stored_type(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4)), tmp_path / "b.nii.gz")
    assert voxel_bytes(tmp_path) == 60 * 3


def test_utilisation_is_the_mean_of_the_lines_that_are_numbers() -> None:
    assert busy_share("90\n 70 \n[N/A]\n80 %\n") == pytest.approx(0.8)
    assert busy_share("[N/A]\n") is None
    assert figures(2.0, 0.1, "75\n", 100.0) == {"epoch_s": 2.0, "data_wait": 0.1, "idle": 0.25, "peak_mib": 100.0}
    assert figures(2.0, 0.1, "", 100.0)["idle"] is None


def test_gpu_rows_are_left_out_without_a_gpu(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks._rows_gpu.has_gpu", lambda: False)
    with pytest.raises(NotHereError, match="there is no CUDA device"):
        gpu_liver(bench)


def test_gpu_rows_take_their_figures_from_the_same_runs(bench: Bench) -> None:
    bench.__dict__["gpu_rates"] = Rates("GPU", float32=1e12, bfloat16=1e14, copy=1e12)
    found = figures(10.0, 0.01, "95\n", 2000.0) | {"operations": 2e12}
    ours = Measurement(1.0, 1.0, 1, values=found)
    peer = Measurement(1.0, 1.0, 1, values=figures(15.0, 0.2, "60\n", 3000.0))
    rows = training_rows(bench, "GPU", [ours], [peer], 0.0)
    assert len(rows) == len(FIGURES)
    assert {row.name: row.ratio for row in rows} == {
        "GPU, epoch of 250 updates": 1.5,
        "GPU, waiting for data": pytest.approx(20.0),
        "GPU, idle GPU": pytest.approx(8.0),
        "GPU, peak GPU memory": 1.5,
    }
    assert [row.limit and row.limit.value for row in rows] == [5.0, None, None, None]


def test_gpu_rows_without_nvidia_smi_have_no_utilisation(bench: Bench) -> None:
    bench.__dict__["gpu_rates"] = Rates("GPU", float32=1e12, bfloat16=1e14, copy=1e12)
    runs = [Measurement(1.0, 1.0, 1, values=figures(10.0, 0.01, "", 2000.0) | {"operations": 1})]
    assert [row.ours.values for row in training_rows(bench, "GPU", runs, runs, 0.0)] == [
        (10.0,),
        (0.01,),
        (),
        (2000.0,),
    ]


def test_export_is_left_out_without_labels(bench: Bench) -> None:
    with pytest.raises(NotHereError, match=r"there is no .*labels.nii.gz"):
        export(bench)


def test_the_product_row_needs_a_model(bench: Bench) -> None:
    with pytest.raises(NotHereError, match="no model was given"):
        predict_products(bench)
