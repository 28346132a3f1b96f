"""nnU-Net v2's trained models in and out: equal weights and plans, and what has no counterpart is refused by name."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunet_files import checkpoint, dataset, plans, state, write_trained

from autoseg.core.errors import AutosegError, CheckpointError, DatasetError, SpecError
from autoseg.core.workspace import Workspace
from autoseg.inference import _nnunet_files
from autoseg.inference._nnunet_network import architecture_of
from autoseg.inference._nnunet_plans import read_configuration, read_labels
from autoseg.inference.nnunet_export import export_nnunet
from autoseg.inference.nnunet_import import KNOWN_TRAINER, Choice, import_nnunet
from autoseg.inference.predictor import Predictor
from autoseg.inference.share import check_model_folder
from autoseg.io.weights import load_weights, save_weights
from autoseg.networks._peer_names import drop_aliases
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.plan import Configuration, Resampling
from autoseg.specs.postprocess import Postprocess

NAME = "Dataset901_Mini"
METHOD = "nnUNetTrainer__nnUNetPlans"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=False)["network_weights"]
    return found


def import_one(folder: Path, there: Workspace, **options: Any) -> tuple[Path, Model]:
    found = import_nnunet(folder, there, **options)
    return found, check_model_folder(found)


def clean_with(own: tuple[Path, Model], *steps: Component) -> None:
    document = Postprocess(steps=steps, configurations=("3d_fullres",), model=own[1].digest())
    document.save(own[0] / "postprocess.json")


class TestRoundTrip:
    """nnU-Net -> ours -> nnU-Net."""

    @pytest.mark.parametrize("residual", [False, True])
    @pytest.mark.parametrize("name", ["2d", "3d_fullres"])
    def test_weights_and_plans_are_equal(self, name: str, residual: bool, there: Workspace, tmp_path: Path) -> None:
        source = write_trained(tmp_path / "results" / NAME, name, residual=residual)
        folder, model = import_one(source, there)
        assert (folder.parent.name, folder.name, model.selected) == (NAME, METHOD, (name,))
        for fold, file in model.members[name].weights.items():
            expected = drop_aliases(weights(source / f"fold_{fold}" / "checkpoint_final.pth"))
            found = load_weights(folder / file)
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[key], expected[key]) for key in expected)
        export_nnunet(folder, tmp_path / "out")
        back = tmp_path / "out" / NAME / source.name
        for file in ("plans.json", "dataset.json", "dataset_fingerprint.json"):
            assert json.loads((back / file).read_text()) == json.loads((source / file).read_text())
        for fold in ("0", "1"):
            first = torch.load(source / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)
            second = torch.load(back / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)
            assert first["network_weights"].keys() == second["network_weights"].keys()
            for key, value in first["network_weights"].items():
                assert torch.equal(value, second["network_weights"][key]), key
            for key in ("trainer_name", "inference_allowed_mirroring_axes"):
                assert first[key] == second[key]
            assert second["init_args"]["configuration"] == name
            assert second["init_args"]["fold"] == int(fold)

    def test_plans_made_anew_mean_the_same(self, there: Workspace, tmp_path: Path) -> None:
        """Without nnU-Net's own documents: export and import again give the same members and weights."""
        for name in ("2d", "3d_lowres", "3d_cascade_fullres"):
            write_trained(tmp_path / "results" / NAME, name)
        choice = Choice(("2d", "3d_cascade_fullres"))
        folder, model = import_one(tmp_path / "results", there, choice=choice)
        assert list(model.members) == ["2d", "3d_lowres", "3d_cascade_fullres"]
        for path in (folder / "origin").iterdir():
            path.unlink()
        export_nnunet(folder, tmp_path / "out.zip")
        _, again = import_one(tmp_path / "out.zip", Workspace(tmp_path / "other"), choice=choice)
        assert again.members == model.members
        assert (again.labels, again.channels, again.mirror_axes) == (model.labels, model.channels, model.mirror_axes)
        assert (again.training_cases, again.licence) == (20, "CC-BY-SA 4.0")
        export_nnunet(folder, tmp_path / "again.zip")
        with zipfile.ZipFile(tmp_path / "out.zip") as archive:
            names = archive.namelist()
        assert f"{NAME}/nnUNetTrainer__autosegPlans__2d/fold_0/checkpoint_final.pth" in names

    def test_a_changed_recipe_is_not_exported_with_the_old_plans(self, there: Workspace, tmp_path: Path) -> None:
        folder, model = import_one(write_trained(tmp_path / "r", "3d_fullres"), there)
        member = model.members["3d_fullres"]
        changed = member.configuration.model_copy(update={"patch_size_voxels": (16, 8, 8)})
        members = {"3d_fullres": member.model_copy(update={"configuration": changed})}
        model.model_copy(update={"members": members}).save(folder / "model.json")
        export_nnunet(folder, tmp_path / "out")
        found = json.loads((tmp_path / "out" / NAME / f"{METHOD}__3d_fullres" / "plans.json").read_text())
        assert found["configurations"]["3d_fullres"]["patch_size"] == [16, 8, 8]

    def test_regions_keep_their_order_and_ignore_its_value(self, there: Workspace, tmp_path: Path) -> None:
        labels = dataset(
            labels={"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}, regions_class_order=[1, 2]
        )
        folder, model = import_one(write_trained(tmp_path / "r", "3d_fullres", labels=labels, heads=2), there)
        assert list(model.labels.items()) == [("background", 0), ("whole", (1, 2)), ("core", (2,)), ("ignore", 3)]
        assert model.regions_class_order == (1, 2)
        export_nnunet(folder, tmp_path / "out")
        found = json.loads((tmp_path / "out" / NAME / f"{METHOD}__3d_fullres" / "dataset.json").read_text())
        assert found == labels

    def test_all_normalisations_and_masks(self, there: Workspace) -> None:
        schemes = {
            "ZScoreNormalization": "zscore",
            "CTNormalization": "ct_clip",
            "NoNormalization": "none",
            "RescaleTo01Normalization": "rescale_to_0_1",
            "RGBTo01Normalization": "rgb_to_0_1",
        }
        spec = plans(channels=5)
        section = spec["configurations"]["3d_fullres"]
        section["normalization_schemes"] = list(schemes)
        section["use_mask_for_norm"] = [True, False, False, False, False]
        found = read_configuration(spec, "3d_fullres", channels=5, trainer="nnUNetTrainer").preprocessing
        assert [each.name for each in found.normalization] == list(schemes.values())
        assert found.mask_normalization == (True, False, False, False, False)
        assert found.intensities[1].percentile_99_5 == 800.0
        assert (found.orientation, found.transpose) == ("as_stored", (2, 0, 1))


def test_masks_follow_the_values_whatever_the_order_of_the_labels(there: Workspace, tmp_path: Path) -> None:
    """nnU-Net's head 1 is the label 1; an autoseg model's head 1 is its first label."""
    labels = dataset(labels={"background": 0, "posterior": 2, "anterior": 1, "ignore": 3})
    folder, model = import_one(write_trained(tmp_path / "r", "3d_fullres", labels=labels), there)
    assert list(model.labels) == ["background", "anterior", "posterior", "ignore"]
    image = np.random.default_rng(0).normal(size=(10, 12, 9)).astype(np.float32)
    masks = Predictor.load(folder, precision="float32").predict((image, (1.0, 1.0, 1.0))).labels
    # The same model, its heads and labels in the other order.
    turned = {name: model.labels[name] for name in ("background", "posterior", "anterior", "ignore")}
    files = {}
    for fold, file in model.members["3d_fullres"].weights.items():
        own = load_weights(folder / file)
        swapped = {key: value[[0, 2, 1]] if "seg_layers" in key else value for key, value in own.items()}
        files[fold] = save_weights(folder / file, swapped)
    member = model.members["3d_fullres"].model_copy(update={"sha256": files})
    model.model_copy(update={"labels": turned, "members": {"3d_fullres": member}}).save(folder / "model.json")
    assert np.array_equal(Predictor.load(folder, precision="float32").predict((image, (1.0, 1.0, 1.0))).labels, masks)
    export_nnunet(folder, tmp_path / "out")
    back = weights(tmp_path / "out" / NAME / f"{METHOD}__3d_fullres" / "fold_0" / "checkpoint_final.pth")
    first = weights(tmp_path / "r" / f"{METHOD}__3d_fullres" / "fold_0" / "checkpoint_final.pth")
    assert all(torch.equal(back[key], first[key]) for key in first)


class TestChoices:
    """Which configurations, folds and checkpoints are taken."""

    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        for name in ("2d", "3d_lowres", "3d_cascade_fullres"):
            write_trained(tmp_path / "results" / NAME, name, folds=("0", "1", "all"))
        return tmp_path / "results" / NAME

    def test_the_peers_own_choice_is_taken(self, results: Path, there: Workspace) -> None:
        best = [{"configuration": name} for name in ("3d_cascade_fullres", "2d")]
        choice = {"best_model_or_ensemble": {"selected_model_or_models": best}}
        (results / "inference_information.json").write_text(json.dumps(choice))
        _, model = import_one(results, there)
        assert model.selected == ("3d_cascade_fullres", "2d")
        assert model.selection_reason == "3d_cascade_fullres + 2d: nnU-Net's choice by its cross-validation"

    def test_several_without_a_choice_must_be_named(self, results: Path, there: Workspace) -> None:
        with pytest.raises(SpecError, match=r"2 configurations are trained \(2d, 3d_cascade_fullres\).* with -c"):
            import_nnunet(results, there)
        with pytest.raises(SpecError, match="the configuration '3d_full' is not trained"):
            import_nnunet(results, there, choice=Choice(("3d_full",)))

    def test_a_cascade_needs_its_first_stage(self, results: Path, there: Workspace) -> None:
        with pytest.raises(SpecError, match="'3d_cascade_fullres' needs the configuration '3d_lowres', which is not"):
            import_nnunet(results / f"{METHOD}__3d_cascade_fullres", there)

    def test_folds_are_chosen_and_all_comes_last(self, results: Path, there: Workspace) -> None:
        _, model = import_one(results, there, choice=Choice(("2d",)))
        assert list(model.members["2d"].weights) == ["0", "1"]
        _, model = import_one(results, there, choice=Choice(("2d",), ("all",)), overwrite=True)
        assert list(model.members["2d"].weights) == ["all"]
        with pytest.raises(SpecError, match=r"__2d has no fold '3'"):
            import_nnunet(results, there, choice=Choice(("2d",), ("3",)), overwrite=True)

    def test_other_folds_of_the_first_stage_are_no_mistake(self, tmp_path: Path, there: Workspace) -> None:
        write_trained(tmp_path / NAME, "3d_lowres", folds=("0", "1"))
        write_trained(tmp_path / NAME, "3d_cascade_fullres", folds=("all",))
        _, model = import_one(tmp_path / NAME, there, choice=Choice(folds=("all",)))
        assert {name: list(member.weights) for name, member in model.members.items()} == {
            "3d_lowres": ["0", "1"],
            "3d_cascade_fullres": ["all"],
        }

    def test_other_checkpoints_are_taken_when_named(self, results: Path, there: Workspace) -> None:
        fold = results / f"{METHOD}__2d" / "fold_0"
        (fold / "checkpoint_final.pth").rename(fold / "checkpoint_best.pth")
        with pytest.raises(SpecError, match=r"fold_0 has no checkpoint_final\.pth \(checkpoint_best\.pth\)"):
            import_nnunet(results, there, choice=Choice(("2d",), ("0",)))
        import_nnunet(results, there, choice=Choice(("2d",), ("0",), "best"))

    def test_two_models_in_one_folder_must_be_told_apart(self, results: Path, there: Workspace) -> None:
        write_trained(results, "3d_fullres", trainer_name="nnUNetTrainer_5epochs")
        with pytest.raises(SpecError, match=r"holds 2 models: .*/nnUNetTrainer_5epochs__nnUNetPlans, .*: name one"):
            import_nnunet(results, there)

    def test_a_renamed_folder_is_known_by_its_checkpoint(self, results: Path, there: Workspace) -> None:
        (results / f"{METHOD}__2d").rename(results.parent / "mine")
        assert import_one(results.parent / "mine", there)[1].selected == ("2d",)

    def test_results_may_come_as_a_zip(self, results: Path, there: Workspace, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(results.rglob("*")):
                archive.write(path, path.relative_to(results.parent))
        zipped = import_nnunet(tmp_path / "model.zip", there, choice=Choice(("2d",)), number=4, name="Zip")
        plain = import_nnunet(results, there, choice=Choice(("2d",)), number=5)
        assert (zipped.parent.name, plain.parent.name) == ("Dataset004_Zip", "Dataset005_Mini")
        files = [path.relative_to(zipped) for path in sorted(zipped.rglob("*.safetensors"))]
        assert files
        assert all((zipped / file).read_bytes() == (plain / file).read_bytes() for file in files)

    def test_mirroring_follows_the_checkpoint(self, tmp_path: Path, there: Workspace) -> None:
        for index, (name, axes, expected) in enumerate(
            [("3d_fullres", (0, 1), (0, 1)), ("2d", (0,), (1,)), ("3d_fullres", None, ())]
        ):
            folder = write_trained(tmp_path / f"{index}", name, inference_allowed_mirroring_axes=axes)
            _, model = import_one(folder, there, overwrite=True)
            assert (model.mirror_axes, model.predict.mirror) == (expected, bool(expected))
            export_nnunet(there.model(NAME, METHOD), tmp_path / f"out{index}")
            path = tmp_path / f"out{index}" / NAME / folder.name / "fold_0" / "checkpoint_final.pth"
            assert torch.load(path, weights_only=False)["inference_allowed_mirroring_axes"] == axes


OLD_KEYS = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 4,
    "unet_max_num_features": 6,
    "n_conv_per_stage_encoder": [2, 2],
    "n_conv_per_stage_decoder": [1],
    "num_pool_per_axis": [1, 1, 1],
    "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]],
    "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3]],
}


class TestPlans:
    """Every setting is taken or refused by its name."""

    def read(self, change: Change | None = None, *, trainer: str = "nnUNetTrainer") -> Configuration:
        spec = copy.deepcopy(plans())
        if change is not None:
            change(spec)
        return read_configuration(spec, "3d_fullres", channels=1, trainer=trainer)

    def test_plans_from_before_the_architecture_section(self) -> None:
        def old(spec: dict[str, Any]) -> None:
            del spec["configurations"]["3d_fullres"]["architecture"]
            spec["configurations"]["3d_fullres"] |= copy.deepcopy(OLD_KEYS)
            key = "foreground_intensity_properties_per_channel"
            spec["foreground_intensity_properties_by_modality"] = spec.pop(key)

        assert self.read(old) == self.read()

    def test_old_plans_of_another_network_are_refused(self) -> None:
        def old(spec: dict[str, Any]) -> None:
            del spec["configurations"]["3d_fullres"]["architecture"]
            spec["configurations"]["3d_fullres"] |= OLD_KEYS | {"UNet_class_name": "MyNet"}

        with pytest.raises(SpecError, match="UNet_class_name = 'MyNet' has no counterpart"):
            self.read(old)

    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            (("arch_kwargs", "dropout_op"), "torch.nn.modules.dropout.Dropout3d", {"dropout": 0.5}),
            (("arch_kwargs", "nonlin"), "torch.nn.ReLU", {"activation": "relu"}),
            (("arch_kwargs", "norm_op"), "torch.nn.modules.batchnorm.BatchNorm3d", {"norm": "batch"}),
            (("arch_kwargs", "norm_op_kwargs"), {"eps": 1e-3, "affine": True}, {"norm_eps": 1e-3}),
            (("arch_kwargs", "conv_bias"), False, {"conv_bias": False}),
            (("arch_kwargs", "nonlin_kwargs"), {"negative_slope": 0.01}, {}),
            (("arch_kwargs", "nonlin_first"), False, {}),
            (("arch_kwargs", "n_conv_per_stage"), 2, {}),
            (("arch_kwargs", "kernel_sizes"), 3, {}),
        ],
    )
    def test_options_of_the_network(self, path: tuple[str, str], value: Any, expected: dict[str, Any]) -> None:
        def change(spec: dict[str, Any]) -> None:
            spec["configurations"]["3d_fullres"]["architecture"][path[0]][path[1]] = value

        assert self.read(change).network == Component(name="plain_unet", options=expected)
        assert self.read(change).topology == self.read().topology

    def test_the_batch_norm_trainer_replaces_the_norm(self) -> None:
        assert self.read(trainer="nnUNetTrainerBN").network.options == {"norm": "batch"}

    @pytest.mark.parametrize(
        ("kwargs", "expected"),
        [
            ({"force_separate_z": None}, 3.0),
            ({"force_separate_z": None, "separate_z_anisotropy_threshold": 5.0}, 5.0),
            ({"force_separate_z": True}, 0.0),
            ({"force_separate_z": False}, 1e9),
            ({}, 1e9),
        ],
    )
    def test_separate_z(self, kwargs: dict[str, Any], expected: float) -> None:
        def change(spec: dict[str, Any]) -> None:
            for use in ("data", "seg", "probabilities"):
                order = 3 if use == "data" else 1
                key = f"resampling_fn_{use}_kwargs"
                spec["configurations"]["3d_fullres"][key] = {"is_seg": use == "seg", "order": order, **kwargs}

        assert self.read(change).preprocessing.resampling.separate_z_ratio == expected

    def test_torch_resampling_is_linear(self) -> None:
        def change(spec: dict[str, Any]) -> None:
            for use in ("data", "seg", "probabilities"):
                section = spec["configurations"]["3d_fullres"]
                section[f"resampling_fn_{use}"] = "resample_torch_fornnunet"
                values = {"is_seg": use == "seg", "force_separate_z": False, "memefficient_seg_resampling": False}
                section[f"resampling_fn_{use}_kwargs"] = values

        rule = self.read(change).preprocessing.resampling
        assert (rule.image_order, rule.label_order, rule.logits_order, rule.separate_z_ratio) == (1, 1, 1, 1e9)

    @pytest.mark.parametrize(
        ("keys", "value", "message"),
        [
            ("image_reader_writer", "NibabelIOWithReorient", "image_reader_writer = 'NibabelIOWithReorient'"),
            ("label_manager", "MyLabels", "label_manager = 'MyLabels'"),
            ("pretrain_info", {}, "pretrain_info = {}"),
            ("C.preprocessor_name", "MyPreprocessor", "preprocessor_name = 'MyPreprocessor'"),
            ("C.my_setting", 3, "configurations.3d_fullres.my_setting = 3"),
            ("C.normalization_schemes", ["MyNormalization"], "normalization_schemes = 'MyNormalization'"),
            ("C.resampling_fn_data", "no_resampling_hack", "resampling_fn_data = 'no_resampling_hack'"),
            ("C.resampling_fn_data_kwargs.order_z", 1, "resampling_fn_data_kwargs.order_z"),
            ("C.resampling_fn_data_kwargs.order", 7, "resampling_fn_data_kwargs.order = 7"),
            ("C.resampling_fn_data_kwargs.is_seg", True, "resampling_fn_data_kwargs.is_seg = True"),
            ("C.resampling_fn_data_kwargs.force_separate_z", False, "resampling_fn_.*force_separate_z"),
            ("C.resampling_fn_data_kwargs.force_separate_z", "x", "resampling_fn_data_kwargs.force_separate_z = 'x'"),
            ("C.resampling_fn_data_kwargs.smooth", 1, "resampling_fn_data_kwargs.smooth = 1"),
            ("A.network_class_name", "my.nets.Net", "architecture.network_class_name = 'my.nets.Net'"),
            ("A.network_class_name", "my.nets.PlainConvUNet", "network_class_name = 'my.nets.PlainConvUNet'"),
            ("A.extra", 1, "architecture.extra = 1"),
            ("K.nonlin_first", True, "architecture.arch_kwargs.nonlin_first = True"),
            ("K.conv_op", "my.Conv3d", "architecture.arch_kwargs.conv_op = 'my.Conv3d'"),
            ("K.norm_op", None, "architecture.arch_kwargs.norm_op = None"),
            ("K.norm_op", "torch.nn.GroupNorm", "architecture.arch_kwargs.norm_op = 'torch.nn.GroupNorm'"),
            ("K.norm_op_kwargs", {"eps": 1e-5}, "norm_op_kwargs.affine = False"),
            ("K.norm_op_kwargs", {"affine": True, "momentum": 0.5}, "norm_op_kwargs.momentum = 0.5"),
            ("K.nonlin", "torch.nn.GELU", "architecture.arch_kwargs.nonlin = 'torch.nn.GELU'"),
            ("K.nonlin_kwargs", {"negative_slope": 0.2}, "nonlin_kwargs.negative_slope = 0.2"),
            ("K.dropout_op", "torch.nn.Dropout", "architecture.arch_kwargs.dropout_op = 'torch.nn.Dropout'"),
            ("K.strides", [[2, 2, 2], [2, 2, 2]], "architecture.arch_kwargs.strides = "),
            ("K.kernel_sizes", [[4, 4, 4], [3, 3, 3]], "architecture.arch_kwargs.kernel_sizes = "),
            ("K.stem_channels", 32, "architecture.arch_kwargs.stem_channels = 32"),
            ("K.block", "x.BottleneckD", "architecture.arch_kwargs.block = 'x.BottleneckD'"),
        ],
    )
    def test_what_has_no_counterpart_is_refused_by_name(self, keys: str, value: Any, message: str) -> None:
        def change(spec: dict[str, Any]) -> None:
            section = spec["configurations"]["3d_fullres"]
            places = {"C": section, "A": section["architecture"], "K": section["architecture"]["arch_kwargs"]}
            first, *rest = keys.split(".")
            place = places.get(first, spec)
            path = rest if first in places else [first]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value

        with pytest.raises(SpecError, match=f"nnU-Net's setting .*{message}.* has no counterpart"):
            self.read(change)

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_a_dropout_that_drops_all_or_nothing_is_refused(self, share: float) -> None:
        def change(spec: dict[str, Any]) -> None:
            values = spec["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
            values |= {"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": share}}

        with pytest.raises(SpecError, match=r"dropout_op_kwargs\.p = "):
            self.read(change)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c.pop("patch_size"), "plans.json lacks 'patch_size' of '3d_fullres'"),
            (lambda c: c["architecture"]["arch_kwargs"].pop("strides"), "plans lack 'strides'"),
            (lambda c: c.update(patch_size=[8, 8]), "patch_size .* does not fit its network"),
            (lambda c: c.update(batch_size="many"), "plans.json is damaged at '3d_fullres'"),
            (lambda c: c.update(use_mask_for_norm=[]), "plans.json has 1 normalisations, 0 masks"),
            (lambda c: c.update(inherits_from="3d_fullres"), "'3d_fullres' inherits from itself"),
            (lambda c: c.update(inherits_from="gone"), "'gone' is not in plans.json"),
            (
                lambda c: c["architecture"]["arch_kwargs"].update(n_conv_per_stage=[2]),
                "n_conv_per_stage has 1 entries, not 2",
            ),
            (
                lambda c: c["architecture"]["arch_kwargs"].update(kernel_sizes=[[3, 3]]),
                "kernel_sizes = .* does not fit 2 stages in 3D",
            ),
        ],
    )
    def test_damaged_plans_are_named(self, change: Change, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            self.read(lambda spec: change(spec["configurations"]["3d_fullres"]))

    def test_missing_intensities_are_named(self) -> None:
        def change(spec: dict[str, Any]) -> None:
            spec["foreground_intensity_properties_per_channel"] = {"0": {"mean": 1.0}}

        with pytest.raises(SpecError, match=r"plans\.json lacks 'median' of the intensities of channel 0"):
            self.read(change)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ({"background": 0, "a": 1, "b": 3}, "are not 0, 1, 2"),
            ({"background": 0, "a": [1, 2]}, "regions but no regions_class_order"),
            ({"background": "x"}, "no valid labels"),
            (None, "no valid labels"),
        ],
    )
    def test_labels_that_the_peer_cannot_write_are_refused(self, labels: Any, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            read_labels({"labels": labels})


class TestRefusals:
    """What is damaged, of another program, or of another network."""

    @pytest.mark.parametrize(
        "name",
        ["nnUNetTrainer", "nnUNetTrainer_250epochs_NoMirroring", "nnUNetTrainerDA5Segord0", "nnUNetTrainerAdam1en3"],
    )
    def test_trainers_of_the_peer_are_known(self, name: str) -> None:
        assert KNOWN_TRAINER.fullmatch(name)

    def test_other_trainers_are_taken_only_when_told_to(self, tmp_path: Path, there: Workspace) -> None:
        source = write_trained(tmp_path / "r", "2d", trainer_name="nnUNetTrainerMine")
        with pytest.raises(SpecError, match=r"the trainer nnUNetTrainerMine is none of nnU-Net's own.*--any-trainer"):
            import_nnunet(source, there)
        assert import_nnunet(source, there, choice=Choice(any_trainer=True)).name == "nnUNetTrainerMine__nnUNetPlans"

    def test_weights_of_another_network_are_refused(self, tmp_path: Path, there: Workspace) -> None:
        source = write_trained(tmp_path / "r", "3d_fullres", heads=5)
        with pytest.raises(CheckpointError, match=r"of another network than plans\.json .* is \(5, 6?4?"):
            import_nnunet(source, there)
        assert there.models() == ()

    @pytest.mark.parametrize(
        ("extra", "error", "message"),
        [
            ({"trainer_name": 3}, CheckpointError, "has no valid 'trainer_name'"),
            ({"network_weights": [1]}, CheckpointError, "has no valid 'network_weights'"),
            ({"init_args": {"configuration": "2d"}}, CheckpointError, "is of the configuration 2d, not 3d_fullres"),
            ({"inference_allowed_mirroring_axes": (0, 7)}, CheckpointError, r"mirrors the axes \(0, 7\)"),
            ({"logging": Path("/x")}, CheckpointError, r"is refused: it holds pathlib\.PosixPath"),
        ],
    )
    def test_checkpoints_that_do_not_fit_are_refused(
        self, extra: dict[str, Any], error: type[AutosegError], message: str, tmp_path: Path, there: Workspace
    ) -> None:
        source = write_trained(tmp_path / "r", "3d_fullres")
        values = checkpoint("3d_fullres", state("3d_fullres", 0)) | extra
        torch.save(values, source / "fold_0" / "checkpoint_final.pth")
        with pytest.raises(error, match=message):
            import_nnunet(source, there)
        assert there.models() == ()

    def test_folds_must_agree(self, tmp_path: Path, there: Workspace) -> None:
        source = write_trained(tmp_path / "r", "3d_fullres")
        values = checkpoint("3d_fullres", state("3d_fullres", 0), inference_allowed_mirroring_axes=(0,))
        torch.save(values, source / "fold_1" / "checkpoint_final.pth")
        with pytest.raises(SpecError, match=r"fold_1/checkpoint_final\.pth mirrors other axes than the other folds"):
            import_nnunet(source, there)
        values = checkpoint("3d_fullres", state("3d_fullres", 0), trainer_name="nnUNetTrainerBN")
        torch.save(values, source / "fold_1" / "checkpoint_final.pth")
        with pytest.raises(CheckpointError, match="is of the trainer nnUNetTrainerBN, not nnUNetTrainer"):
            import_nnunet(source, there)
        del values["trainer_name"]
        torch.save(values, source / "fold_0" / "checkpoint_final.pth")
        with pytest.raises(CheckpointError, match="lacks 'trainer_name'"):
            import_nnunet(source, there)

    def test_members_must_agree(self, tmp_path: Path, there: Workspace) -> None:
        write_trained(tmp_path / NAME, "2d", inference_allowed_mirroring_axes=(0,))
        other = write_trained(tmp_path / NAME, "3d_fullres")
        choice = Choice(("2d", "3d_fullres"))
        with pytest.raises(SpecError, match=r"'2d' mirrors the axes \(1,\), another member \(0, 1, 2\)"):
            import_nnunet(tmp_path / NAME, there, choice=choice)
        (other / "dataset.json").write_text(json.dumps(dataset(labels={"background": 0, "x": 1, "y": 2})))
        with pytest.raises(SpecError, match=r"3d_fullres/dataset\.json differs from .*2d/dataset\.json"):
            import_nnunet(tmp_path / NAME, there, choice=choice)

    def test_a_circle_of_stages_is_refused(self, tmp_path: Path, there: Workspace) -> None:
        spec = plans()
        spec["configurations"]["3d_lowres"]["previous_stage"] = "3d_cascade_fullres"
        for name in ("3d_lowres", "3d_cascade_fullres"):
            write_trained(tmp_path / NAME, name, spec=spec)
        with pytest.raises(SpecError, match="comes before itself"):
            import_nnunet(tmp_path / NAME, there, choice=Choice(("3d_lowres",)))

    @pytest.mark.parametrize("key", ["plans_name", "dataset_name", "transpose_forward"])
    def test_missing_keys_of_the_plans_are_named(self, key: str, tmp_path: Path, there: Workspace) -> None:
        spec = plans()
        del spec[key]
        with pytest.raises(SpecError, match=f"lacks '{key}'"):
            import_nnunet(write_trained(tmp_path / "r", "2d", spec=spec), there)

    def test_names_from_the_plans_stay_inside_the_workspace(self, tmp_path: Path, there: Workspace) -> None:
        for key, what in (("dataset_name", "data set"), ("plans_name", "method")):
            spec = plans() | {key: "../../../x"}
            source = write_trained(tmp_path / key, "2d", spec=spec)
            with pytest.raises(SpecError, match=f"the {what} is named "):
                import_nnunet(source, there)

    def test_damaged_files_are_named(self, tmp_path: Path, there: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        source = write_trained(tmp_path / "r", "2d")
        (source / "dataset.json").write_text("{")
        with pytest.raises(SpecError, match=r"dataset\.json is not valid JSON"):
            import_nnunet(source, there)
        (source / "dataset.json").write_text("[]")
        with pytest.raises(SpecError, match=r"dataset\.json is not a JSON object"):
            import_nnunet(source, there)
        (source / "dataset.json").write_text('{"labels": {"background": 0, "a": 1}}')
        with pytest.raises(SpecError, match="has no channel_names"):
            import_nnunet(source, there)
        (source / "dataset.json").unlink()
        with pytest.raises(SpecError, match=r"has no dataset\.json"):
            import_nnunet(source, there)
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "plans.json").write_text("{}")
        with pytest.raises(SpecError, match="has no trained fold"):
            import_nnunet(tmp_path / "empty", there)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_zips_that_cannot_be_trusted_are_refused(
        self, tmp_path: Path, there: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = write_trained(tmp_path / "r", "2d")

        def pack(*extra: str) -> Path:
            with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(source.rglob("*.*")):
                    archive.write(path, path.relative_to(source.parent))
                for name in extra:
                    archive.writestr(name, b"{}")
            return tmp_path / "m.zip"

        with pytest.raises(DatasetError, match=r"has the member '\.\./x\.json', which lies outside"):
            import_nnunet(pack("../x.json"), there)
        with pytest.raises(SpecError, match=r"plans\.json' twice"):
            import_nnunet(pack(f"{source.name}/plans.json"), there)
        monkeypatch.setattr(_nnunet_files, "LARGEST_WEIGHTS_BYTES", 100)
        with pytest.raises(SpecError, match=r"checkpoint_final\.pth has more than 100 bytes"):
            import_nnunet(pack(), there)
        monkeypatch.setattr(_nnunet_files, "LARGEST_DOCUMENT_BYTES", 100)
        with pytest.raises(SpecError, match=r"plans\.json is not a JSON object of less than 100 bytes"):
            import_nnunet(pack(), there)


class TestExport:
    """Models of our own, and what the peer's folders cannot hold."""

    @pytest.fixture
    def own(self, make_model: Callable[..., Model], tmp_path: Path) -> tuple[Path, Model]:
        """A model that was trained here with the peer's orientation."""
        folder = tmp_path / "own"
        return folder, self.edit(folder, make_model(folder, "3d_fullres"), orientation="as_stored")

    def edit(self, folder: Path, model: Model, *, part: str = "preprocessing", **changes: Any) -> Model:
        members = {}
        for name, member in model.members.items():
            section = getattr(member.configuration, part).model_copy(update=changes)
            changed = member.configuration.model_copy(update={part: section})
            members[name] = member.model_copy(update={"configuration": changed})
        found = model.model_copy(update={"members": members})
        found.save(folder / "model.json")
        return found

    def test_our_own_models_are_exported(self, own: tuple[Path, Model], tmp_path: Path) -> None:
        files = export_nnunet(own[0], tmp_path / "out")
        assert "nnUNetTrainer__autosegPlans__3d_fullres/fold_1/checkpoint_final.pth" in files
        back = import_nnunet(tmp_path / "out", Workspace(tmp_path / "w"))
        found = check_model_folder(back)
        assert found.members == own[1].members
        assert found.mirror_axes == own[1].mirror_axes
        with pytest.raises(SpecError, match=r"Dataset900_Tiny is there already: choose another output"):
            export_nnunet(own[0], tmp_path / "out")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"orientation": "canonical"}, "'3d_fullres' turns images to the canonical frame"),
            ({"crop_to_nonzero": False}, "'3d_fullres' does not crop or resample"),
            ({"spacing_mm": None}, "'3d_fullres' does not crop or resample"),
            ({"native_axes": (1,)}, "'3d_fullres' keeps spacings that nnU-Net does not keep"),
            (
                {"resampling": Resampling(align="corners")},
                "'3d_fullres' aligns the corners of grids, nnU-Net their edges",
            ),
            ({"normalization": (Component(name="hu_window"),)}, "nnU-Net has no normalisation 'hu_window'"),
        ],
    )
    def test_preprocessing_of_ours_alone_is_refused(
        self, changes: dict[str, Any], message: str, own: tuple[Path, Model], tmp_path: Path
    ) -> None:
        self.edit(*own, **changes)
        with pytest.raises(SpecError, match=message):
            export_nnunet(own[0], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("folded_unet", {}, "nnU-Net has no network 'folded_unet'"),
            ("plain_unet", {"downsampling": "max_pool"}, "nnU-Net's PlainConvUNet has no downsampling = 'max_pool'"),
            ("plain_unet", {"norm": "none"}, "nnU-Net's PlainConvUNet has no norm = 'none'"),
        ],
    )
    def test_networks_of_ours_alone_are_refused(
        self, name: str, options: dict[str, Any], message: str, own: tuple[Path, Model]
    ) -> None:
        chosen = own[1].members["3d_fullres"].configuration
        with pytest.raises(SpecError, match=message):
            architecture_of(chosen.topology, Component(name=name, options=options))

    def test_what_would_be_lost_is_named(self, own: tuple[Path, Model], tmp_path: Path) -> None:
        """The made plans are read back: a field that nnU-Net's plans do not hold cannot slip through."""
        member = own[1].members["3d_fullres"]
        changed = member.configuration.model_copy(update={"labels": dict(own[1].labels)})
        members = {"3d_fullres": member.model_copy(update={"configuration": changed})}
        own[1].model_copy(update={"members": members}).save(own[0] / "model.json")
        with pytest.raises(SpecError, match=r"nnU-Net's plans cannot say 3d_fullres\.labels = "):
            export_nnunet(own[0], tmp_path / "out")

    def test_defaults_that_are_spelled_out_are_no_difference(self, own: tuple[Path, Model], tmp_path: Path) -> None:
        member = own[1].members["3d_fullres"]
        spelled = Component(name="plain_unet", options={"norm": "instance", "dropout": 0.0})
        changed = member.configuration.model_copy(update={"network": spelled})
        members = {"3d_fullres": member.model_copy(update={"configuration": changed})}
        own[1].model_copy(update={"members": members}).save(own[0] / "model.json")
        assert export_nnunet(own[0], tmp_path / "out")

    @pytest.mark.parametrize(
        ("name", "options"),
        [("keep_largest", {"connectivity": 6}), ("fill_holes", {}), ("drop_small", {"volume_mm3": 4.0})],
    )
    def test_post_processing_that_the_peer_lacks_is_refused_or_left_out(
        self, name: str, options: dict[str, Any], own: tuple[Path, Model], tmp_path: Path
    ) -> None:
        clean_with(own, Component(name=name, options=options))
        with pytest.raises(SpecError, match=f"nnU-Net has no post-processing {name}"):
            export_nnunet(own[0], tmp_path / "out")
        files = export_nnunet(own[0], tmp_path / "out", postprocess=False)
        assert not [file for file in files if file.endswith(".pkl")]

    def test_largest_components_go_there_and_back(self, own: tuple[Path, Model], tmp_path: Path) -> None:
        each = Component(name="keep_largest", options={"grouping": "each"})
        clean_with(own, Component(name="keep_largest"), each)
        files = export_nnunet(own[0], tmp_path / "out")
        assert [file for file in files if file.endswith(".pkl")] == [
            "nnUNetTrainer__autosegPlans__3d_fullres/crossval_results_folds_0_1/postprocessing.pkl"
        ]
        folder = import_nnunet(tmp_path / "out" / own[1].dataset, Workspace(tmp_path / "back"))
        steps = Postprocess.load(folder / "postprocess.json").steps
        assert [step.options["labels"] for step in steps] == [[1, 2], [1], [2]]

    def test_steps_of_another_model_are_no_more_exported_than_applied(
        self, own: tuple[Path, Model], tmp_path: Path
    ) -> None:
        steps = (Component(name="keep_largest"),)
        Postprocess(steps=steps, configurations=("3d_fullres",), model="0" * 12).save(own[0] / "postprocess.json")
        assert not [file for file in export_nnunet(own[0], tmp_path / "out") if file.endswith(".pkl")]

    def test_weights_of_members_are_refused(self, own: tuple[Path, Model], tmp_path: Path) -> None:
        own[1].model_copy(update={"member_weights": {"3d_fullres": 2.0}}).save(own[0] / "model.json")
        with pytest.raises(SpecError, match=r"nnU-Net averages members equally, the model by \{'3d_fullres': 2\.0\}"):
            export_nnunet(own[0], tmp_path / "out")

    def test_another_step_size_is_said(
        self, own: tuple[Path, Model], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        predict = own[1].predict.model_copy(update={"step_size": 0.75})
        own[1].model_copy(update={"predict": predict}).save(own[0] / "model.json")
        with caplog.at_level("WARNING"):
            export_nnunet(own[0], tmp_path / "out")
        assert "predict with -step_size 0.75" in caplog.text

    def test_labels_the_peer_would_write_otherwise_are_refused(self, own: tuple[Path, Model], tmp_path: Path) -> None:
        own[1].model_copy(update={"labels": {"background": 0, "a": 1, "b": 5}}).save(own[0] / "model.json")
        with pytest.raises(SpecError, match="are not 0, 1, 2"):
            export_nnunet(own[0], tmp_path / "out")
