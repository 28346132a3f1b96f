"""Points of the cost model that need torch: one training update, one predicted case."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from autoseg.core.workspace import Workspace
from autoseg.devices.precision import choose_precision
from autoseg.inference.case_work import CaseWork
from autoseg.inference.jobs import find_jobs
from autoseg.inference.model_folder import write_model_folder
from autoseg.inference.runner import PreparedCase
from autoseg.inference.settings import CaseSettings
from autoseg.inference.sliding import window_starts
from autoseg.networks import cost, networks
from autoseg.planning.methods import load_method
from autoseg.specs.model import Member, Model
from autoseg.specs.plan import Configuration, Plan
from autoseg.training.step import gradient_step
from benchmarks._cost_shapes import u_net
from benchmarks._training import planned_parts

METHOD = "nnunet"
Measured = Callable[..., dict[str, Any]]
Point = dict[str, Any]


def training_point(
    workspace: Workspace, dataset: str, shape: dict[str, Any], *, count: int, measured: Measured
) -> Point:
    """Mean processor seconds of an update after one to warm up, those of reading its batch, peak memory.

    Args:
        workspace: Holds the planned and preprocessed data set.
        dataset: Its folder name.
        shape: `features`, `patch` and `batch`.
        count: Updates.
        measured: Measures a call.
    """
    changes = {
        "patch_size_voxels": tuple(shape["patch"]),
        "batch_size": shape["batch"],
        "topology": u_net(shape["features"]),
    }
    precision = choose_precision(torch.device("cpu"), "auto")
    parts, configuration = planned_parts(
        workspace, dataset, load_method(METHOD), precision=precision, fold="all", changes=changes
    )
    batches = list(itertools.islice(parts.train.stream(0), count + 1))
    gradient_step(parts, batches.pop(), clip=12.0)

    def read() -> None:
        parts.train.batch(count + 2)

    def update() -> None:
        for batch in batches:
            gradient_step(parts, batch, clip=12.0)

    reading, updating = measured(read), measured(update, once=True)
    channels = len(Plan.load(workspace.plan(dataset, METHOD)).channels)
    price = _cost(configuration, channels=channels, heads=parts.objective.space.heads)
    return {
        **shape,
        "precision": precision,
        "seconds": updating["seconds"] / count,
        "reading_seconds": reading["seconds"],
        "peak_bytes": updating["peak_bytes"],
        "operations": 3 * shape["batch"] * price.flops,
        "elements": shape["batch"] * price.elements,
        "parameters": price.parameters,
        "batch_voxels": shape["batch"] * math.prod(shape["patch"]),
    }


def prediction_point(workspace: Workspace, shape: dict[str, Any], *, measured: Measured) -> Point:
    """Processor seconds and peak memory of one case, from image to mask, with random weights.

    Args:
        workspace: Holds the planned data set.
        shape: `dataset`, `features`, `patch` and `classes`, background not counted.
        measured: Measures a call.
    """
    dataset, heads = shape["dataset"], shape["classes"] + 1
    plan = Plan.load(workspace.plan(dataset, METHOD))
    changes = {"patch_size_voxels": tuple(shape["patch"]), "topology": u_net(shape["features"])}
    configuration = plan.configuration("3d_fullres").model_copy(update=changes)
    place = workspace.root / "prediction"
    shutil.rmtree(place, ignore_errors=True)
    _write_model(place / "model", plan, configuration, heads=heads)
    work = CaseWork(CaseSettings(place / "model", device="cpu", mirror=False, threads=1))
    images = sorted((workspace.raw_dataset(dataset) / "imagesTr").iterdir())
    (job,) = find_jobs(images[0], place / "masks", channels=plan.channels)
    seen: list[PreparedCase] = []

    def segment() -> None:
        seen[:] = [work.prepare(job)]
        work.finish(job, work.compute(seen[0]))

    point = measured(segment, once=True)
    ((image, record),) = seen[0].images.values()
    size = tuple(image.shape[1:])
    windows = math.prod(len(window_starts(edge, patch, 0.5)) for edge, patch in zip(size, shape["patch"], strict=True))
    price = _cost(configuration, channels=len(plan.channels), heads=heads)
    return {
        **shape,
        **point,
        "voxels": math.prod(record.original.geometry().shape),
        "target_voxels": math.prod(size),
        "operations": windows * price.flops,
        "elements": price.elements,
        "passed_elements": windows * price.elements,
    }


def _cost(configuration: Configuration, *, channels: int, heads: int) -> Any:
    return cost(
        configuration.network.name,
        configuration.network.options,
        topology=configuration.topology,
        patch_size_voxels=configuration.patch_size_voxels,
        channels=channels,
        heads=heads,
    )


def _write_model(folder: Path, plan: Plan, configuration: Configuration, *, heads: int) -> None:
    torch.manual_seed(0)
    network = networks.build(
        configuration.network.name,
        configuration.network.options,
        topology=configuration.topology,
        channels=len(plan.channels),
        heads=heads,
    )
    method = load_method(METHOD)
    model = Model(
        dataset=plan.dataset,
        method=METHOD,
        channels=plan.channels,
        labels={"background": 0, **{f"class {index}": index for index in range(1, heads)}},
        regions_class_order=None,
        file_ending=".nii.gz",
        mirror_axes=plan.mirror_axes,
        predict=method.predict,
        members={configuration.name: Member(configuration=configuration, weights={}, sha256={})},
        selected=(configuration.name,),
        selection_reason="for its cost",
        training_cases=1,
    )
    write_model_folder(folder, model, {configuration.name: {"0": network.state_dict()}})
