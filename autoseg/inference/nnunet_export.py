"""A model folder as folders that nnU-Net v2 predicts with: plans, labels, and a checkpoint per fold."""

from __future__ import annotations

import functools
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from autoseg.core.atomic import PARTIAL_PREFIX, named_disk_errors, replacing_folder, write_bytes, write_text
from autoseg.core.errors import SpecError
from autoseg.inference._nnunet_cleaning import cleaning_path, rules_of
from autoseg.inference._nnunet_files import DATASET, FINGERPRINT, PLANS
from autoseg.inference._nnunet_plans import Labels, channels_of, read_configuration, read_labels
from autoseg.inference._nnunet_write import dataset_of, label_order, plans_of
from autoseg.inference.share import ORIGIN, check_model_folder
from autoseg.inference.steps import read_steps
from autoseg.io.nnunet_checkpoint import write_checkpoint
from autoseg.io.nnunet_postprocessing import write_largest_components
from autoseg.io.package import zip_folder
from autoseg.io.weights import load_weights
from autoseg.networks import networks
from autoseg.networks._peer_names import add_aliases
from autoseg.specs.model import Member, Model
from autoseg.specs.plan import Configuration

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)
TRAINER, PLANS_NAME = "nnUNetTrainer", "autosegPlans"
"""For models that were not imported from nnU-Net."""
ZIP = ".zip"


def export_nnunet(folder: Path, output: Path, *, postprocess: bool = True) -> tuple[str, ...]:
    """Write `DATASET/TRAINER__PLANS__CONFIGURATION/` with `fold_N/checkpoint_final.pth` for every member.

    Args:
        folder: The model folder.
        output: Zip file as nnU-Net installs them, or a folder such as nnU-Net's results folder.
        postprocess: Write the model's post-processing for `nnUNetv2_apply_postprocessing`; False leaves it out.

    Returns:
        Paths of the files written, inside `output`.

    Raises:
        SpecError: A setting that nnU-Net cannot hold, by its name; or the output is there already.
        CheckpointError: Weights are damaged.
        StorageError: The disk is full, or the output cannot be written.
    """
    model = check_model_folder(folder)
    rules = rules_of(read_steps(folder, model, model.selected), model) if postprocess else ()
    if model.predict.step_size != 0.5:
        logger.warning("nnU-Net keeps no step size with a model: predict with -step_size %s", model.predict.step_size)
    if model.laterality is not None and model.predict.mirror:
        raise SpecError(
            f"nnU-Net cannot exchange the labels {model.laterality.pairs} in mirrored copies, as the model does",
            "train with plan.laterality=drop",
        )
    if model.member_weights:
        raise SpecError(
            f"nnU-Net averages members equally, the model by {model.member_weights}",
            "run autoseg ensemble without --search-weights, or take member_weights out of model.json",
        )
    if len(model.selected) > 1:
        logger.info("predict with each of %s, then nnUNetv2_ensemble", ", ".join(model.selected))
    trainer, plans_name = _names(model) if (folder / ORIGIN / PLANS).is_file() else (TRAINER, PLANS_NAME)
    plans, dataset = _documents(folder, model, trainer, plans_name)
    extra: dict[PurePosixPath, bytes] = {}
    if rules:
        folders = [_place(trainer, plans, name) for name in model.selected]
        file = cleaning_path(folders, tuple(model.members[model.selected[0]].weights))
        extra[file] = write_largest_components(rules)
        logger.warning("nnU-Net's predict cleans nothing: nnUNetv2_apply_postprocessing -pp_pkl_file .../%s", file)
    files = functools.partial(_write, folder, model, trainer=trainer, plans=plans, dataset=dataset, extra=extra)
    if output.suffix != ZIP:
        target = output / model.dataset
        if target.exists():
            raise SpecError(f"{target} is there already", "choose another output folder")
        with replacing_folder(target) as temporary:
            return files(temporary)
    with named_disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=output.parent)
    with place as path:
        files(Path(path) / model.dataset)
        return zip_folder(Path(path), output)


def _write(
    folder: Path,
    model: Model,
    target: Path,
    *,
    trainer: str,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    extra: Mapping[PurePosixPath, bytes],
) -> tuple[str, ...]:
    for path, content in extra.items():
        write_bytes(target / path, content)
    for name, member in model.members.items():
        place = target / _place(trainer, plans, name)
        write_text(place / PLANS, json.dumps(plans, indent=4) + "\n")
        write_text(place / DATASET, json.dumps(dataset, indent=4) + "\n")
        if (folder / ORIGIN / FINGERPRINT).is_file():
            write_bytes(place / FINGERPRINT, (folder / ORIGIN / FINGERPRINT).read_bytes())
        for fold, file in member.weights.items():
            state = load_weights(folder / file, sha256=member.sha256[fold])
            checkpoint = {
                "network_weights": _peer_state(state, model, member),
                "optimizer_state": None,
                "grad_scaler_state": None,
                "logging": {},
                "_best_ema": None,
                "current_epoch": 0,
                "init_args": {
                    "plans": plans,
                    "configuration": name,
                    "fold": fold if fold == "all" else int(fold),
                    "dataset_json": dataset,
                },
                "trainer_name": trainer,
                "inference_allowed_mirroring_axes": _peer_axes(model, member),
            }
            write_checkpoint(place / f"fold_{fold}" / "checkpoint_final.pth", checkpoint)
    return tuple(sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()))


def _documents(folder: Path, model: Model, trainer: str, plans_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """nnU-Net's own documents of an imported model where they still say the same, else made from the recipe."""
    plans, dataset = plans_of(model, plans_name=plans_name), dataset_of(model)
    origin = folder / ORIGIN
    if (origin / PLANS).is_file() and (origin / DATASET).is_file():
        own_plans, own_dataset = (json.loads((origin / name).read_text()) for name in (PLANS, DATASET))
        if _first_difference(model, own_plans, own_dataset, trainer) is None:
            return {**own_plans, "dataset_name": model.dataset, "plans_name": plans_name}, own_dataset
        logger.warning("%s differs from the recipe: plans are made anew", origin / PLANS)
    difference = _first_difference(model, plans, dataset, trainer)
    if difference is not None:
        raise SpecError(f"nnU-Net's plans cannot say {difference}", "train with method nnunet")
    return plans, dataset


def _first_difference(model: Model, plans: Mapping[str, Any], dataset: Mapping[str, Any], trainer: str) -> str | None:
    """What would be lost: the documents are read back and compared field by field."""
    meant = _heads(model.labels, model.regions_class_order)
    if _heads(*read_labels(dataset)) != meant or channels_of(dataset) != model.channels:
        return f"labels = {model.labels}, channels = {model.channels}"
    for name, member in model.members.items():
        back = read_configuration(plans, name, channels=len(model.channels), trainer=trainer)
        own, theirs = (_spelled_out(each) for each in (member.configuration, back))
        for key, value in own.items():
            if theirs.get(key) != value:
                return f"{name}.{key} = {value}"
    return None


def _spelled_out(configuration: Configuration) -> dict[str, Any]:
    """All fields, defaults of the network's options included."""
    network = configuration.network
    options = networks.options(network.name, network.options).model_dump()
    return {**configuration.model_dump(), "network": (network.name, options)}


def _heads(labels: Labels, order: tuple[int, ...] | None) -> object:
    """What is compared: regions in their order, classes by their values."""
    if order is not None:
        return list(labels.items()), order
    return {name: value[0] if isinstance(value, tuple) and len(value) == 1 else value for name, value in labels.items()}


def _peer_state(state: dict[str, torch.Tensor], model: Model, member: Member) -> dict[str, torch.Tensor]:
    order = label_order(model)
    if order is not None:
        state = {
            name: tensor[list(order)] if ".seg_layers." in f".{name}" else tensor for name, tensor in state.items()
        }
    return add_aliases(state, dropout=bool(member.configuration.network.options.get("dropout")))


def _peer_axes(model: Model, member: Member) -> tuple[int, ...] | None:
    if not model.predict.mirror or not model.mirror_axes:
        return None
    before = 3 - member.configuration.dimensions
    return tuple(axis - before for axis in model.mirror_axes if axis >= before)


def _names(model: Model) -> tuple[str, str]:
    """Trainer and plans of an imported model, which its method's name holds."""
    trainer, separator, plans_name = model.method.partition("__")
    return (trainer, plans_name) if separator else (TRAINER, PLANS_NAME)


def _place(trainer: str, plans: Mapping[str, Any], configuration: str) -> str:
    """Name of a configuration's folder."""
    return f"{trainer}__{plans['plans_name']}__{configuration}"
