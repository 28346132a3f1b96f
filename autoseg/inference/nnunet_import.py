"""A trained nnU-Net v2 model as one of our model folders: same weights, same preprocessing, same masks."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoseg import __version__
from autoseg.core.atomic import replacing_folder, write_text
from autoseg.core.errors import CheckpointError, SpecError
from autoseg.core.registry import nearest
from autoseg.core.workspace import Workspace
from autoseg.inference._nnunet_cleaning import cleaning_of, find_cleaning
from autoseg.inference._nnunet_files import (
    CHOICE,
    DATASET,
    FINGERPRINT,
    PLANS,
    Results,
    Trained,
    opened_checkpoint,
    opened_results,
    read_document,
)
from autoseg.inference._nnunet_plans import channels_of, read_configuration, read_labels, resolved
from autoseg.inference.share import ORIGIN, checked_part, expected_shapes, filed_under, place_for
from autoseg.io.archive import Entry, file_entry
from autoseg.io.nnunet_checkpoint import Checkpoint, StoredTensor
from autoseg.io.weights import save_weights
from autoseg.networks._peer_names import drop_aliases
from autoseg.specs.method import PredictChoices
from autoseg.specs.model import MODEL_FILE, Member, Model
from autoseg.specs.plan import Configuration
from autoseg.specs.postprocess import POSTPROCESS_FILE

logger = logging.getLogger(__name__)
KNOWN_TRAINER = re.compile(
    r"nnUNetTrainer(_|\d+|epochs?|ep|noMirroring|NoMirroring|onlyMirror01|DA5|DASegOrd0|[Ss]egord0|ord0|NoDA|noDummy2DDA|"
    r"CELoss|DiceLoss|DiceCELoss|noSmooth|DiceTopK10Loss|Topk10Loss|LS01|CosAnneal|warmup|BN|NoDeepSupervision|"
    r"VanillaAdam|Adam|Adan|\den\d|probabilisticOversampling|Benchmark|noDataLoading)*"
)
"""Trainers that nnU-Net ships and that build the network of the plans; any number of epochs."""


@dataclass(frozen=True)
class Choice:
    """What to take.

    Attributes:
        configurations: To select; empty leaves it to nnU-Net's choice, or to there being one.
        folds: To take; empty takes all that are trained.
        checkpoint: Which of a fold's weights.
        any_trainer: Take weights of a trainer that nnU-Net does not ship.
        postprocess: Take nnU-Net's post-processing.
        postprocessing: Its file; None takes that of the cross-validation of what is selected.
    """

    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    checkpoint: Literal["final", "best", "latest"] = "final"
    any_trainer: bool = False
    postprocess: bool = True
    postprocessing: Path | None = None


def import_nnunet(
    source: Path,
    workspace: Workspace,
    *,
    choice: Choice | None = None,
    number: int | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Turn nnU-Net's folders into a model folder, whole or not at all.

    Args:
        source: Folder of a configuration or of a data set, or a zip of either.
        workspace: Gets the model.
        choice: What to take.
        number: Data set number to file it under; None keeps its own.
        name: Data set name to file it under; None keeps its own.
        overwrite: Replace a model of the same data set and method.

    Returns:
        The model folder.

    Raises:
        SpecError: A setting that has no counterpart here, by its name; or the model is there already.
        CheckpointError: Weights that are damaged, of another network, or that come with more than weights; or
            post-processing by a function that is not nnU-Net's own.
        DatasetError: A damaged zip.
        StorageError: The disk is full, or the workspace cannot be written.
    """
    choice = choice or Choice()
    with opened_results(source) as results:
        trained = _one_group(results.trained, source)
        selected, reason = _select(trained, choice, results.choice)
        cleaning = _cleaning(results, [trained[name] for name in selected], choice)
        reader = _Reader(trained, choice, selected)
        method = checked_part(f"{reader.trainer}__{reader.plans['plans_name']}", "method")
        dataset = filed_under(checked_part(str(reader.plans["dataset_name"]), "data set"), number, name)
        target = place_for(workspace, dataset, method, overwrite=overwrite)
        with replacing_folder(target) as temporary:
            members = {member: reader.write_member(member, temporary) for member in reader.order}
            model = reader.model(dataset, method, members, reason)
            reader.write_origin(temporary)
            if cleaning is not None:
                document = cleaning_of(cleaning, model)
                logger.info("post-processing: %s", document.reason)
                document.save(temporary / POSTPROCESS_FILE)
            write_text(temporary / "card.md", _card(model, reader.trainer))
            model.save(temporary / MODEL_FILE)
    return target


def _cleaning(results: Results, selected: Sequence[Trained], choice: Choice) -> Entry | None:
    """nnU-Net's post-processing of these configurations, if it is wanted and there."""
    if not choice.postprocess:
        return None
    return find_cleaning(results, selected) if choice.postprocessing is None else file_entry(choice.postprocessing)


class _Reader:
    """The members that are taken, read one fold at a time."""

    def __init__(self, trained: Mapping[str, Trained], choice: Choice, selected: tuple[str, ...]) -> None:
        self.trained, self.choice, self.selected = trained, choice, selected
        self.order = _in_order(trained, selected)
        first = trained[self.order[0]]
        self.plans, self.dataset = first.document(PLANS), first.document(DATASET)
        for name in self.order[1:]:
            for file, own in ((PLANS, self.plans), (DATASET, self.dataset)):
                if trained[name].document(file) != own:
                    raise SpecError(
                        f"{trained[name].path}/{file} differs from {first.path}/{file}", "import them apart"
                    )
        for key in ("plans_name", "dataset_name", "transpose_forward", "image_reader_writer"):
            if key not in self.plans:
                raise SpecError(f"{first.path}/{PLANS} lacks '{key}'", "copy the model folder again")
        self.labels, self.class_order = read_labels(self.dataset)
        self.channels = channels_of(self.dataset)
        self.mirror_axes: dict[str, tuple[int, ...]] = {}
        with ExitStack() as stack:
            last = trained[self.order[-1]]
            entry = next(iter(last.chosen_folds(choice.folds, choice.checkpoint).values()))
            self.trainer = str(_value(stack.enter_context(opened_checkpoint(entry)), "trainer_name"))
        if not KNOWN_TRAINER.fullmatch(self.trainer) and not choice.any_trainer:
            raise SpecError(
                f"the trainer {self.trainer} is none of nnU-Net's own and may build another network or other images",
                "add --any-trainer if it changes neither",
            )

    def write_member(self, name: str, folder: Path) -> Member:
        """Convert the folds of one configuration."""
        configuration = read_configuration(self.plans, name, channels=len(self.channels), trainer=self.trainer)
        space = configuration.label_space(self.labels, self.class_order)
        shapes = expected_shapes(configuration, channels=len(self.channels), space=space)
        files: dict[str, str] = {}
        digests: dict[str, str] = {}
        folds = self.choice.folds
        if name not in self.selected and not set(folds) <= set(self.trained[name].folds):
            # A choice of folds is meant for the networks that predict, not for the stages before them.
            folds = ()
        for fold, entry in self.trained[name].chosen_folds(folds, self.choice.checkpoint).items():
            files[fold] = f"weights/{name}_fold_{fold}.safetensors"
            with opened_checkpoint(entry) as checkpoint:
                self._check_origin(checkpoint, configuration)
                weights = _checked_weights(checkpoint, shapes)
                digests[fold] = save_weights(folder / files[fold], checkpoint.tensors(weights))
            logger.info("%s fold %s: %d weights", name, fold, len(weights))
        return Member(configuration=configuration, weights=files, sha256=digests)

    def model(self, dataset: str, method: str, members: dict[str, Member], reason: str) -> Model:
        """The recipe."""
        axes = _common_axes(members, self.mirror_axes)
        return Model(
            dataset=dataset,
            method=method,
            channels=self.channels,
            labels=self.labels,
            regions_class_order=self.class_order,
            file_ending=str(self.dataset.get("file_ending", ".nii.gz")),
            mirror_axes=axes,
            predict=PredictChoices(step_size=0.5, mirror=bool(axes)),
            members=members,
            selected=self.selected,
            selection_reason=reason,
            training_cases=int(self.dataset.get("numTraining", 0)),
            licence=str(self.dataset.get("licence", self.dataset.get("license", ""))),
            versions={"autoseg": __version__},
        )

    def write_origin(self, folder: Path) -> None:
        """Keep nnU-Net's documents, which hold what only its training needs."""
        files = self.trained[self.order[0]].files
        for name in (PLANS, DATASET, FINGERPRINT):
            if name in files:
                write_text(folder / ORIGIN / name, json.dumps(read_document(files[name])) + "\n")

    def _check_origin(self, checkpoint: Checkpoint, configuration: Configuration) -> None:
        trainer = _value(checkpoint, "trainer_name")
        trained = _value(checkpoint, "init_args").get("configuration")
        for what, found, expected in (
            ("trainer", trainer, self.trainer),
            ("configuration", trained, configuration.name),
        ):
            if found != expected:
                raise CheckpointError(f"{checkpoint.where} is of the {what} {found}, not {expected}", "import it apart")
        axes = checkpoint.values.get("inference_allowed_mirroring_axes") or ()
        if not isinstance(axes, list | tuple) or any(axis not in range(configuration.dimensions) for axis in axes):
            raise CheckpointError(f"{checkpoint.where} mirrors the axes {axes!r}", "give a checkpoint of nnU-Net v2")
        # Axes of a patch: in 2D they are y and x.
        own = tuple(sorted(int(axis) + 3 - configuration.dimensions for axis in axes))
        if self.mirror_axes.setdefault(configuration.name, own) != own:
            raise SpecError(f"{checkpoint.where} mirrors other axes than the other folds", "import the folds apart")


def _one_group(trained: Sequence[Trained], source: Path) -> dict[str, Trained]:
    """Configuration -> folder, of one trainer and plans."""
    if len(trained) == 1:
        return {_configuration(trained[0]): trained[0]}
    groups = sorted({f"{each.path.parent}/{each.group}" for each in trained})
    if len(groups) > 1:
        raise SpecError(f"{source} holds {len(groups)} models: {', '.join(groups)}", "name one of their folders")
    return {each.configuration: each for each in trained}


def _configuration(trained: Trained) -> str:
    """By the checkpoint, since a single folder may have been renamed."""
    if trained.configuration in trained.document(PLANS).get("configurations", {}):
        return trained.configuration
    entry = next(entry for files in trained.folds.values() for entry in files.values())
    with opened_checkpoint(entry) as checkpoint:
        return str(_value(checkpoint, "init_args").get("configuration"))


def _select(
    trained: Mapping[str, Trained], choice: Choice, own_choice: Mapping[str, Any] | None
) -> tuple[tuple[str, ...], str]:
    """Configurations whose probabilities are averaged, and why these."""
    for name in choice.configurations:
        if name not in trained:
            raise SpecError(f"the configuration '{name}' is not trained", nearest(name, trained))
    if choice.configurations:
        return choice.configurations, f"{' + '.join(choice.configurations)}: asked for when the model was imported"
    if own_choice is not None:
        best = own_choice.get("best_model_or_ensemble", {}).get("selected_model_or_models", [])
        names = tuple(str(each.get("configuration")) for each in best)
        if names and set(names) <= set(trained):
            return names, f"{' + '.join(names)}: nnU-Net's choice by its cross-validation"
    needed = {_previous(trained, name) for name in trained}
    final = tuple(name for name in trained if name not in needed)
    if len(final) > 1:
        raise SpecError(
            f"{len(final)} configurations are trained ({', '.join(final)}), and nnU-Net made no choice ({CHOICE})",
            "name those to average with -c",
        )
    return final, f"{final[0]}: the only one that is trained"


def _in_order(trained: Mapping[str, Trained], selected: Iterable[str]) -> tuple[str, ...]:
    """The selected configurations, each after the stages that it needs."""
    order: list[str] = []
    for name in selected:
        chain = [name]
        while (previous := _previous(trained, chain[0])) is not None:
            if previous in chain:
                raise SpecError(f"nnU-Net's configuration '{previous}' comes before itself", "mend plans.json")
            if previous not in trained:
                raise SpecError(
                    f"'{chain[0]}' needs the configuration '{previous}', which is not there",
                    "name the folder of the data set, which holds both, and -c " + name,
                )
            chain.insert(0, previous)
        order += [each for each in chain if each not in order]
    return tuple(order)


def _previous(trained: Mapping[str, Trained], name: str) -> str | None:
    previous = resolved(trained[name].document(PLANS), name).get("previous_stage")
    return None if previous is None else str(previous)


def _checked_weights(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, StoredTensor]:
    """Weights under our names, before any number is read."""
    found = drop_aliases(_value(checkpoint, "network_weights"))
    for name in (*shapes, *found):
        stored = found.get(name)
        shape = stored.shape if isinstance(stored, StoredTensor) else None
        if name not in shapes or shape != shapes[name]:
            what = f"'{name}' is {shape or 'missing'}, the plans' network has {shapes.get(name, 'none')}"
            raise CheckpointError(
                f"{checkpoint.where} is of another network than plans.json says ({what})", "check both"
            )
    return found


def _common_axes(members: Mapping[str, Member], axes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """One set of axes that means the same to every member; the first axis means nothing in 2D."""
    widest = max(axes.values(), key=len)
    for name, own in axes.items():
        planar = members[name].configuration.dimensions == 2
        if own != tuple(axis for axis in widest if axis > 0 or not planar):
            raise SpecError(f"'{name}' mirrors the axes {own}, another member {widest}", "import them apart")
    return widest


def _value(checkpoint: Checkpoint, key: str) -> Any:
    values = checkpoint.values
    if not isinstance(values, dict) or key not in values:
        raise CheckpointError(f"{checkpoint.where} lacks '{key}'", "give a checkpoint that nnU-Net v2 wrote")
    kind = str if key == "trainer_name" else dict
    if not isinstance(values[key], kind):
        raise CheckpointError(f"{checkpoint.where} has no valid '{key}'", "give a checkpoint that nnU-Net v2 wrote")
    return values[key]


def _card(model: Model, trainer: str) -> str:
    labels = ", ".join(f"{name} = {value}" for name, value in model.labels.items())
    folds = ", ".join(f"{name} (folds {', '.join(member.weights)})" for name, member in model.members.items())
    lines = (
        f"# {model.dataset}, imported from nnU-Net v2",
        "",
        f"Trained by nnU-Net's `{trainer}` on {model.training_cases} cases: {folds}.",
        f"Input channels in order: {', '.join(model.channels)}. Labels: {labels}.",
        f"Licence of the training data: {model.licence or 'not stated'}.",
        "",
        f"{model.selection_reason}.",
        "",
        "Predict: `autoseg_predict -i IMAGES -o MASKS -m THIS_FOLDER`.",
        "Research use: a model holds for scans like its training data and says nothing about others.",
        "",
    )
    return "\n".join(lines)
