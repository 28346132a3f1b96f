"""nnU-Net's post-processing comes with its model: found, filed as steps of ours, applied; what cannot be is told."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from nnunet_files import dataset, write_trained

from autoseg.core.errors import CheckpointError, SpecError
from autoseg.core.workspace import Workspace
from autoseg.inference.nnunet_export import export_nnunet
from autoseg.inference.nnunet_import import Choice, import_nnunet
from autoseg.inference.predictor import Predictor
from autoseg.inference.share import check_model_folder, pack_model, unpack_model
from autoseg.io.nnunet_postprocessing import KEEP_LARGEST
from autoseg.specs.postprocess import Postprocess

NAME, METHOD = "Dataset901_Mini", "nnUNetTrainer__nnUNetPlans"
ALL_FOLDS = "crossval_results_folds_0_1_2_3_4"


def cleaning(*labels: Any, function: str = KEEP_LARGEST) -> bytes:
    """As nnU-Net pickles it; its function is a name, which is put in by hand."""
    module, _, name = function.rpartition(".")
    arguments = pickle.dumps([{"labels_or_regions": each} for each in labels], 2)[2:-1]
    return b"\x80\x02](" + f"c{module}\n{name}\n".encode() * len(labels) + b"e" + arguments + b"\x86."


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """A configuration with its cross-validation."""
    folder = write_trained(tmp_path / "results" / NAME, "3d_fullres")
    put(folder / ALL_FOLDS, cleaning([1, 2], 1))
    (folder / ALL_FOLDS / "plans.json").write_text("{}")
    return folder


def put(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "postprocessing.pkl").write_bytes(content)
    return folder / "postprocessing.pkl"


def document(folder: Path) -> Postprocess:
    return Postprocess.load(folder / "postprocess.json")


def labels_of(found: Postprocess) -> list[Any]:
    assert {step.name for step in found.steps} <= {"keep_largest"}
    return [step.options["labels"] for step in found.steps]


def test_that_of_the_cross_validation_is_taken_and_applied(single: Path, there: Workspace) -> None:
    folder = import_nnunet(single, there)
    found, model = document(folder), check_model_folder(folder)
    assert labels_of(found) == [[1, 2], [1]]
    assert (found.model, found.configurations) == (model.digest(), ("3d_fullres",))
    assert found.reason == (
        "nnU-Net's choice by its cross-validation: largest component of anterior + posterior, then of anterior"
    )
    assert Predictor.load(folder, device="cpu").steps == found.steps
    assert Predictor.load(folder, device="cpu", postprocess=False).steps == ()


def test_it_can_be_left_out_and_nnunet_may_have_found_none(single: Path, there: Workspace) -> None:
    folder = import_nnunet(single, there, choice=Choice(postprocess=False))
    assert not (folder / "postprocess.json").exists()
    (single / ALL_FOLDS / "postprocessing.pkl").write_bytes(pickle.dumps(([], [])))
    folder = import_nnunet(single, there, overwrite=True)
    assert document(folder).steps == ()
    assert document(folder).reason.endswith("by its cross-validation: nothing")
    assert export_nnunet(folder, there.root / "out")


def test_a_zip_brings_it_and_another_name_keeps_it(single: Path, there: Workspace, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for path in sorted(single.rglob("*")):
            archive.write(path, path.relative_to(single.parents[1]))
    folder = import_nnunet(tmp_path / "model.zip", there, number=7, name="Brain")
    assert labels_of(document(folder)) == [[1, 2], [1]]
    pack_model(folder, tmp_path / "packed.zip")
    again = unpack_model(tmp_path / "packed.zip", there, number=8)
    assert document(again).model == check_model_folder(again).digest()


class TestWhich:
    """nnU-Net leaves one file per cross-validation and average."""

    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        root = tmp_path / "results" / NAME
        for name in ("2d", "3d_fullres"):
            put(write_trained(root, name) / ALL_FOLDS, cleaning(1 if name == "2d" else 2))
        both = "___".join(f"{METHOD}__{name}" for name in ("2d", "3d_fullres"))
        put(root / "ensembles" / f"ensemble___{both}___0_1_2_3_4", cleaning([1, 2]))
        return root

    @pytest.mark.parametrize(
        ("chosen", "labels"),
        [
            (("2d",), [[1]]),
            (("3d_fullres",), [[2]]),
            (("2d", "3d_fullres"), [[1, 2]]),
            (("3d_fullres", "2d"), [[1, 2]]),
        ],
    )
    def test_it_is_that_of_the_members(
        self, results: Path, there: Workspace, chosen: tuple[str, ...], labels: list[Any]
    ) -> None:
        assert labels_of(document(import_nnunet(results, there, choice=Choice(chosen)))) == labels

    def choose(self, results: Path, file: str, *names: str) -> None:
        best = {
            "selected_model_or_models": [{"configuration": name} for name in names],
            "postprocessing_file": f"/elsewhere/{file}/postprocessing.pkl",
        }
        (results / "inference_information.json").write_text(json.dumps({"best_model_or_ensemble": best}))

    def test_of_several_it_is_the_chosen_one(self, results: Path, there: Workspace) -> None:
        put(results / f"{METHOD}__2d" / "crossval_results_folds_0_1", cleaning(2))
        with pytest.raises(
            SpecError, match=r"2 of nnU-Net's post-processings fit: .*folds_0_1/.*: name one with --post"
        ):
            import_nnunet(results, there, choice=Choice(("2d",)))
        self.choose(results, f"{METHOD}__2d/crossval_results_folds_0_1", "2d")
        assert labels_of(document(import_nnunet(results, there))) == [[2]]

    def test_a_chosen_one_that_is_gone_is_told(
        self, results: Path, there: Workspace, caplog: pytest.LogCaptureFixture
    ) -> None:
        (results / f"{METHOD}__2d" / ALL_FOLDS / "postprocessing.pkl").unlink()
        self.choose(results, f"{METHOD}__2d/{ALL_FOLDS}", "2d")
        folder = import_nnunet(results, there)
        assert not (folder / "postprocess.json").exists()
        assert f"not here ({ALL_FOLDS}/postprocessing.pkl): masks are not cleaned" in caplog.text

    def test_a_named_file_wins(self, results: Path, there: Workspace, tmp_path: Path) -> None:
        own = put(tmp_path / "own", cleaning([1]))
        folder = import_nnunet(results, there, choice=Choice(("2d", "3d_fullres"), postprocessing=own))
        assert labels_of(document(folder)) == [[1]]
        with pytest.raises(SpecError, match=r"own/x\.pkl cannot be read .*: name one with --postprocessing FILE"):
            import_nnunet(results, there, choice=Choice(("2d",), postprocessing=own.with_name("x.pkl")), overwrite=True)


def test_regions_keep_their_largest_component(there: Workspace, tmp_path: Path) -> None:
    spec = dataset(labels={"background": 0, "whole": [1, 2], "core": [2]}, regions_class_order=[1, 2])
    folder = write_trained(tmp_path / NAME, "3d_fullres", labels=spec, heads=2)
    put(folder / ALL_FOLDS, cleaning([1, 2], (1, 2), 2))
    found = document(import_nnunet(folder, there))
    assert labels_of(found) == [[1, 2], [1, 2], [2]]
    assert found.reason.endswith("largest component of 1 + core, then of 1 + core, then of core")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (cleaning(1, function="mine.rules.shrink"), CheckpointError, r"it holds mine\.rules\.shrink, which is neither"),
        (cleaning(3), SpecError, "cleans the label 3, which the model does not have: name one with --postprocessing"),
    ],
)
def test_what_cannot_be_applied_stops_the_import(
    single: Path, there: Workspace, content: bytes, error: type[Exception], message: str
) -> None:
    (single / ALL_FOLDS / "postprocessing.pkl").write_bytes(content)
    with pytest.raises(error, match=message):
        import_nnunet(single, there)
    assert not there.model(NAME, METHOD).exists()
    assert import_nnunet(single, there, choice=Choice(postprocess=False)).is_dir()
