"""Model folders packed and unpacked: equal masks, other names, and every bad part refused with its name."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.cli import run_command
from autoseg.commands import export as export_command
from autoseg.commands import import_ as import_command
from autoseg.core.errors import AutosegError, DatasetError, RegistryError, SpecError
from autoseg.core.workspace import Workspace
from autoseg.inference.share import check_model_folder, pack_model, unpack_model
from autoseg.io.images import read_label
from autoseg.io.weights import save_weights
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.plan import Region
from autoseg.specs.postprocess import Postprocess

Edit = Callable[[dict[str, Any]], None]
NAME = "Dataset900_Tiny"


@pytest.fixture
def folder(make_model: Callable[..., Model], tmp_path: Path) -> Path:
    """A complete model folder in a workspace, with post-processing, scores, card and a stray file."""
    place = tmp_path / "here" / "models" / NAME / "test"
    model = make_model(place, "2d", "3d_fullres")
    step = Component(name="keep_largest")
    Postprocess(steps=(step,), configurations=model.selected, model=model.digest()).save(place / "postprocess.json")
    (place / "scores.json").write_text('{"2d": 0.5}\n')
    (place / "card.md").write_text("# Tiny\n")
    grounds = {"selected": ["2d", "3d_fullres"], "reason": "", "scores": {}, "cases": [], "weights": {}}
    (place / "ensemble.json").write_text(json.dumps(grounds | {"weights_reason": ""}))
    (place / "notes.txt").write_text("mine")
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_packed_model_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    packed = pack_model(folder, tmp_path / "model.zip")
    there = Workspace(tmp_path / "there")
    copy = unpack_model(tmp_path / "model.zip", there)
    assert copy == there.model(NAME, "test")
    assert contents(copy) == {name: content for name, content in contents(folder).items() if name != "notes.txt"}
    assert sorted(packed) == sorted(contents(copy))
    assert there.models() == (copy,)
    assert not list(copy.parent.glob(".partial-*"))
    pack_model(copy, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "model.zip").read_bytes()


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [(7, None, "Dataset007_Tiny"), (None, "Liver", "Dataset900_Liver"), (8, "Liver", "Dataset008_Liver")],
)
def test_another_name_keeps_the_post_processing(
    folder: Path, tmp_path: Path, number: int | None, name: str | None, expected: str
) -> None:
    pack_model(folder, tmp_path / "model.zip")
    copy = unpack_model(tmp_path / "model.zip", Workspace(tmp_path / "there"), number=number, name=name)
    model = check_model_folder(copy)
    assert (copy.parent.name, model.dataset) == (expected, expected)
    assert Postprocess.load(copy / "postprocess.json").model == model.digest()


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [(1000, None, "--id 1000: give a number"), (-1, None, "--id -1"), (None, "../x", r"the data set is named 'Data")],
)
def test_names_that_cannot_be_folders_are_refused(
    folder: Path, tmp_path: Path, number: int | None, name: str | None, message: str
) -> None:
    pack_model(folder, tmp_path / "model.zip")
    with pytest.raises(SpecError, match=message):
        unpack_model(tmp_path / "model.zip", Workspace(tmp_path / "there"), number=number, name=name)


def test_a_model_is_replaced_only_when_told_to(folder: Path, tmp_path: Path) -> None:
    pack_model(folder, tmp_path / "model.zip")
    there = Workspace(tmp_path / "there")
    copy = unpack_model(tmp_path / "model.zip", there)
    (copy / "mine.txt").write_text("x")
    with pytest.raises(SpecError, match="there is a model of Dataset900_Tiny by test already: add --overwrite"):
        unpack_model(tmp_path / "model.zip", there)
    assert (copy / "mine.txt").is_file()
    assert not (unpack_model(tmp_path / "model.zip", there, overwrite=True) / "mine.txt").exists()


def repack(folder: Path, target: Path, edits: dict[str, bytes | None]) -> Path:
    """A package whose manifest fits, around changed files: what a careful attacker makes."""
    pack_model(folder, target)
    with zipfile.ZipFile(target) as archive:
        files = {name: archive.read(name) for name in archive.namelist()} | edits
    files.pop("manifest.json")
    kept = {name: content for name, content in files.items() if content is not None}
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in kept.items()
    }
    kept["manifest.json"] = json.dumps({"files": listed}).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    return target


def _member(values: dict[str, Any]) -> dict[str, Any]:
    member: dict[str, Any] = values["members"]["3d_fullres"]
    return member


def _elsewhere(values: dict[str, Any]) -> None:
    _member(values)["weights"]["0"] = "../../other/weights.safetensors"


def _absolute(values: dict[str, Any]) -> None:
    _member(values)["weights"]["0"] = "/etc/passwd"


def _pth(values: dict[str, Any]) -> None:
    _member(values)["weights"]["0"] = "weights/fold_0.pth"


def _missing(values: dict[str, Any]) -> None:
    _member(values)["weights"]["0"] = "weights/gone.safetensors"


def _no_digest(values: dict[str, Any]) -> None:
    del _member(values)["sha256"]["0"]


def _dataset(values: dict[str, Any]) -> None:
    values["dataset"] = "../../../tmp"


def _method(values: dict[str, Any]) -> None:
    values["method"] = "a/b"


def _selected(values: dict[str, Any]) -> None:
    values["selected"] = ["3d_lowres"]


def _wide(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["topology"]["features"] = [4, 7]


def _many_blocks(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["topology"]["encoder_blocks"] = [1, 10**9]


def _uneven(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["topology"]["kernels"] = [[3, 3, 3]]


def _network(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["network"]["name"] = "os"


def _normalizer(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["preprocessing"]["normalization"] = [{"name": "os.system", "options": {}}]


def _unknown_key(values: dict[str, Any]) -> None:
    values["run"] = "me"


def _other_model(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["region"] = {
        "labels": [1],
        "host": 1,
        "found_as": [1],
        "volume_ml": [1.0, 2.0],
        "margin_mm": 1.0,
        "model": "/home/someone/model",
    }


def _selected_none(values: dict[str, Any]) -> None:
    values["selected"] = []


def _selected_twice(values: dict[str, Any]) -> None:
    values["selected"] = ["2d", "2d"]


def _no_folds(values: dict[str, Any]) -> None:
    _member(values).update(weights={}, sha256={})


def _other_name(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["name"] = "3d_lowres"


def _first_itself(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["previous_stage"] = "2d"
    values["members"]["2d"]["configuration"]["previous_stage"] = "3d_fullres"


def _no_first(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["previous_stage"] = "3d_lowres"


def _no_organ(values: dict[str, Any]) -> None:
    _other_model(values)
    _member(values)["configuration"]["region"]["model"] = None


def _mixed(values: dict[str, Any]) -> None:
    _member(values)["configuration"]["labels"] = {"background": 0, "organ": 1}


def _gaps(values: dict[str, Any]) -> None:
    values["predict"]["step_size"] = 1.5


def _endless(values: dict[str, Any]) -> None:
    values["predict"]["step_size"] = 0.0


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (_selected_none, SpecError, r"model\.json selects \[\]"),
        (_selected_twice, SpecError, r"model\.json selects \['2d', '2d'\]"),
        (_no_folds, SpecError, "'3d_fullres' has the weights of 0 folds of '3d_fullres'"),
        (_other_name, SpecError, "'3d_fullres' has the weights of 2 folds of '3d_lowres'"),
        (
            _first_itself,
            SpecError,
            "'2d', from which '3d_fullres' takes its input, comes before itself|'3d_fullres', from",
        ),
        (_no_first, SpecError, "'3d_lowres', from which '3d_fullres' takes its input, is no member"),
        (_no_organ, SpecError, "nothing finds the region of '3d_fullres'"),
        (_mixed, SpecError, "selects '3d_fullres' with others, though it has other labels or a region"),
        (_gaps, SpecError, r"predict\.step_size"),
        (_endless, SpecError, r"predict\.step_size"),
        (_elsewhere, SpecError, r"the weights of 3d_fullres are '\.\./\.\./other/weights\.safetensors'"),
        (_absolute, SpecError, r"the weights of 3d_fullres are '/etc/passwd': only weights/\*\.safetensors"),
        (_pth, SpecError, r"the weights of 3d_fullres are 'weights/fold_0\.pth'"),
        (_missing, SpecError, r"the weights 'weights/gone\.safetensors' of 3d_fullres are missing"),
        (_no_digest, SpecError, r"has no digest of 'weights/3d_fullres_fold_0\.safetensors'"),
        (_dataset, SpecError, r"the data set is named '\.\./\.\./\.\./tmp'"),
        (_method, SpecError, "the method is named 'a/b'"),
        (_selected, SpecError, "the selected '3d_lowres' is no member"),
        (_wide, SpecError, r"3d_fullres_fold_0\.safetensors' is of another network than model\.json says"),
        (_many_blocks, SpecError, r"3d_fullres_fold_0\.safetensors' has fewer weights than the topology"),
        (_uneven, SpecError, "the topology of '3d_fullres' makes no network"),
        (_network, RegistryError, "unknown network 'os'"),
        (_normalizer, RegistryError, r"unknown normalizer 'os\.system'"),
        (_unknown_key, SpecError, r"model\.json: unknown key 'run'"),
        (_other_model, SpecError, r"'3d_fullres' finds its region with the model '/home/someone/model'"),
    ],
)
def test_a_recipe_that_cannot_be_trusted_is_refused(
    edit: Edit, error: type[AutosegError], message: str, folder: Path, tmp_path: Path
) -> None:
    values = json.loads((folder / "model.json").read_text())
    edit(values)
    packed = repack(folder, tmp_path / "bad.zip", {"model.json": json.dumps(values).encode()})
    there = Workspace(tmp_path / "there")
    with pytest.raises(error, match=message):
        unpack_model(packed, there)
    assert there.models() == ()


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("model.json", None, SpecError, r"has no model\.json"),
        ("model.json", b"{", SpecError, r"model\.json is not valid JSON"),
        ("model.json", b"[" * 100_000, SpecError, r"model\.json is not valid JSON"),
        ("postprocess.json", b"{}", SpecError, "key 'steps' is missing"),
        (
            "postprocess.json",
            b'{"steps": [{"name": "os", "options": {}}], "configurations": [], "model": ""}',
            RegistryError,
            "unknown post-processing step 'os'",
        ),
        ("ensemble.json", b"{}", SpecError, r"ensemble\.json: key 'selected' is missing"),
        ("scores.json", b"no", SpecError, r"scores\.json is not valid JSON"),
        ("origin/plans.json", b"no", SpecError, r"plans\.json is not valid JSON"),
        ("card.md", b"\xff\xfe", SpecError, r"'card\.md' is no text"),
        ("weights/2d_fold_1.safetensors", b"\x80\x04N.", SpecError, r"'weights/2d_fold_1\.safetensors' is a pickle"),
        ("weights/extra.pth", b"\x80\x04N.", SpecError, r"'weights/extra\.pth' is neither weights"),
    ],
)
def test_documents_that_are_none_are_refused(
    name: str, content: bytes | None, error: type[AutosegError], message: str, folder: Path, tmp_path: Path
) -> None:
    packed = repack(folder, tmp_path / "bad.zip", {name: content})
    there = Workspace(tmp_path / "there")
    with pytest.raises(error, match=message):
        unpack_model(packed, there)
    assert there.models() == ()
    assert not list((tmp_path / "there").rglob(".partial-*"))


def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", {f"w{index}": torch.zeros(1) for index in range(20)})
    file = "weights/2d_fold_0.safetensors"
    packed = repack(folder, tmp_path / "bad.zip", {file: (tmp_path / "w.safetensors").read_bytes()})
    with pytest.raises(SpecError, match=r"2d_fold_0\.safetensors' is of another network .* is missing, its network"):
        unpack_model(packed, Workspace(tmp_path / "there"))


class TestRegions:
    """A region-of-interest cascade whose first stage is another model, which lies inside of it."""

    @pytest.fixture
    def whole(self, make_model: Callable[..., Model], tmp_path: Path) -> Path:
        folder = tmp_path / "whole"
        model = make_model(folder, "3d_fullres")
        make_model(folder / "organ", "3d_lowres")
        region = Region(
            labels=(1, 2),
            host=1,
            found_as=(1,),
            volume_ml=(0.1, 9.0),
            margin_mm=2.0,
            input_channel=False,
            model="organ",
        )
        self.give_region(folder, model, region)
        return folder

    def give_region(self, folder: Path, model: Model, region: Region, previous: str | None = None) -> None:
        """To the last member, which alone is selected then."""
        name, member = list(model.members.items())[-1]
        update = {"region": region, "previous_stage": previous}
        changed = member.model_copy(update={"configuration": member.configuration.model_copy(update=update)})
        members = {**model.members, name: changed}
        model.model_copy(update={"members": members, "selected": (name,)}).save(folder / "model.json")

    def test_both_models_travel_in_one_file(self, whole: Path, tmp_path: Path) -> None:
        names = pack_model(whole, tmp_path / "model.zip")
        assert "organ/weights/3d_lowres_fold_0.safetensors" in names
        copy = unpack_model(tmp_path / "model.zip", Workspace(tmp_path / "there"))
        assert contents(copy) == contents(whole)

    def test_the_inner_model_is_checked_too(
        self, whole: Path, make_model: Callable[..., Model], tmp_path: Path
    ) -> None:
        there = Workspace(tmp_path / "there")
        packed = repack(whole, tmp_path / "a.zip", {"organ/weights/3d_lowres_fold_0.safetensors": b"\x80\x04N."})
        with pytest.raises(SpecError, match=r"'organ/weights/3d_lowres_fold_0\.safetensors' is a pickle"):
            unpack_model(packed, there)
        packed = repack(whole, tmp_path / "b.zip", {"organ/model.json": None})
        with pytest.raises(SpecError, match="organ is not a model folder"):
            unpack_model(packed, there)
        inner = make_model(whole / "organ", "2d", "3d_lowres")
        region = Model.load(whole / "model.json").members["3d_fullres"].configuration.region
        assert region is not None
        self.give_region(whole / "organ", inner, region.model_copy(update={"model": None}), previous="2d")
        with pytest.raises(SpecError, match="the model in 'organ' is a region-of-interest cascade itself"):
            pack_model(whole, tmp_path / "c.zip")


def test_a_data_set_without_a_number_needs_one(folder: Path, tmp_path: Path) -> None:
    values = json.loads((folder / "model.json").read_text()) | {"dataset": "Tiny"}
    packed = repack(folder, tmp_path / "plain.zip", {"model.json": json.dumps(values).encode()})
    there = Workspace(tmp_path / "there")
    with pytest.raises(SpecError, match="'Tiny' has no number: give one with --id"):
        unpack_model(packed, there, name="Other")
    assert unpack_model(packed, there, number=3).parent.name == "Dataset003_Tiny"
    assert unpack_model(packed, there).parent.name == "Tiny"


class TestCommands:
    """What can be named, and what cannot."""

    def test_models_are_named_by_folder_data_set_and_method(self, folder: Path, tmp_path: Path) -> None:
        here = Workspace(tmp_path / "here")
        found = [
            export_command.run(export_command.Options(model, tmp_path / f"{index}.zip", method=method), here)
            for index, (model, method) in enumerate([(str(folder), None), ("900", None), ("Tiny", "test")])
        ]
        assert len({path.read_bytes() for path in found}) == 1
        with pytest.raises(DatasetError, match=r"no data set or model 'Tny' in .*: did you mean 'Tiny'"):
            export_command.run(export_command.Options("Tny", tmp_path / "x.zip"), here)
        with pytest.raises(DatasetError, match=r"no data set or model '4' in .* or import a model"):
            export_command.run(export_command.Options("4", tmp_path / "x.zip"), Workspace(tmp_path / "empty"))
        with pytest.raises(SpecError, match="no model of Dataset900_Tiny other"):
            export_command.run(export_command.Options("900", tmp_path / "x.zip", method="other"), here)

    def test_zips_and_folders_with_and_without_a_manifest_are_imported(self, folder: Path, tmp_path: Path) -> None:
        pack_model(folder, tmp_path / "model.zip")
        with zipfile.ZipFile(tmp_path / "model.zip") as archive:
            archive.extractall(tmp_path / "unpacked")
        models = []
        for index, source in enumerate((tmp_path / "model.zip", tmp_path / "unpacked", folder)):
            models.append(import_command.run(import_command.Options(source), Workspace(tmp_path / f"w{index}")))
        assert contents(models[0]) == contents(models[1]) == contents(models[2])

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda path: None, "there is no"),
            (lambda path: path.write_bytes(b"no zip"), "is not a whole zip file"),
            (lambda path: path.mkdir(), r"has no manifest\.json"),
        ],
    )
    def test_what_is_no_model_is_named(self, make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
        make(tmp_path / "source")
        with pytest.raises(SpecError, match=message):
            import_command.run(import_command.Options(tmp_path / "source"), Workspace(tmp_path / "w"))

    def test_choices_are_for_the_peers_models(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="choose from nnU-Net's models"):
            import_command.run(import_command.Options(folder, folds=("0",)), Workspace(tmp_path / "w"))
        for options in ({"postprocess": False}, {"postprocessing": folder}):
            with pytest.raises(SpecError, match="--postprocessing and --no-postprocess are for nnU-Net's models"):
                import_command.run(import_command.Options(folder, **options), Workspace(tmp_path / "w"))

    def test_a_folder_that_is_no_model_cannot_be_packed(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="is not a model folder"):
            pack_model(tmp_path, tmp_path / "x.zip")


def test_an_imported_model_makes_the_same_masks(folder: Path, images: Path, tmp_path: Path) -> None:
    """export, import in another workspace under another name, predict by that name: as a user types it."""
    here, there = tmp_path / "here", tmp_path / "there"

    def autoseg(*line: object, workspace: Path) -> int:
        return run_command([*map(str, line), "--workspace", str(workspace), "--workers", "1"])

    assert autoseg("predict", "-i", images, "-o", tmp_path / "first", "-d", "900", workspace=here) == 0
    assert autoseg("export", "900", "-o", tmp_path / "model.zip", workspace=here) == 0
    assert autoseg("import", tmp_path / "model.zip", "--id", "12", "--name", "Other", workspace=there) == 0
    assert autoseg("predict", "-i", images, "-o", tmp_path / "second", "-d", "Other", workspace=there) == 0
    masks = [path.name for path in (tmp_path / "first").iterdir() if path.name != "predict.json"]
    assert len(masks) == 3
    for name in masks:
        first, second = (read_label(tmp_path / side / name)[0] for side in ("first", "second"))
        assert np.array_equal(first, second)
        assert len(np.unique(first)) > 1
    steps = json.loads((tmp_path / "second" / "predict.json").read_text())["steps"]
    assert [step["name"] for step in steps] == ["keep_largest"]
    assert autoseg("import", tmp_path / "model.zip", "--id", "12", "--name", "Other", workspace=there) == 2
    assert autoseg("predict", "-i", images, "-o", tmp_path / "x", "-d", "Nothing", workspace=there) == 2
