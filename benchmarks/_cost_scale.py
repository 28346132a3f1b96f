"""From fitted laws to projects nobody has measured: each assumption is a field with its reason beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.inference.sliding import window_starts
from autoseg.networks import cost
from autoseg.networks._cost import Cost
from benchmarks._cost_fit import Fitted
from benchmarks._cost_shapes import u_net

HOUR, TERABYTE, GIBIBYTE = 3600.0, 1e12, 2**30


@dataclass(frozen=True)
class Project:
    """What is to be done: by default 10,000 abdominal CTs by nnU-Net v2's recipe for 3D at full resolution.

    Attributes:
        cases: Scans, all with labels.
        scan: Voxels of a scan; assumed to be those of the plan's grid, too.
        classes: Background not counted.
        folds: Of the cross-validation.
        epochs: Of each fold.
        updates: Per epoch.
        validation_updates: Batches per epoch that are only looked at.
        patch: Voxels that a sample has.
        batch: Samples per update.
        mirrors: Mirrored copies averaged at prediction.
    """

    cases: int = 10_000
    scan: tuple[int, int, int] = (300, 512, 512)
    classes: int = 2
    folds: int = 5
    epochs: int = 1000
    updates: int = 250
    validation_updates: int = 50
    patch: tuple[int, int, int] = (128, 128, 128)
    batch: int = 2
    mirrors: int = 8

    @property
    def voxels(self) -> int:
        """Of a scan."""
        return math.prod(self.scan)

    @property
    def windows(self) -> int:
        """Of a scan, none of them skipped."""
        edges = zip(self.scan, self.patch, strict=True)
        return math.prod(len(window_starts(size, patch, 0.5)) for size, patch in edges)


@dataclass(frozen=True)
class Cluster:
    """Assumed, not measured.

    Attributes:
        gpus: All together.
        cores_per_gpu: Processor cores beside each, as fast as those measured.
        training_rate: Operations per second in training; NVIDIA reports 6.74 patches of 128^3 with 4 channels per
            second on one A100 in mixed precision at batch 2 (DeepLearningExamples, nnUNet README, training performance
            of DGX A100), times three times the 0.966e12 operations of a forward pass of this U-Net.
        prediction_rate: The same table's 18.85 patches per second, forward only.
        link: Bytes per second to and from each GPU between machines; 200 Gbit/s at four fifths.
        memory_rate: Bytes per second of a GPU's memory, for the loss that each judges for all.
        loss_passes: Times that the loss reads or writes its logits in float32, forward and backward.
    """

    gpus: int = 64
    cores_per_gpu: int = 16
    training_rate: float = 6.74 * 3 * 0.966e12
    prediction_rate: float = 18.85 * 0.966e12
    link: float = 20e9
    memory_rate: float = 1.5e12
    loss_passes: int = 30

    @property
    def cores(self) -> int:
        """All together."""
        return self.gpus * self.cores_per_gpu


@dataclass(frozen=True)
class Line:
    """One line of the extrapolation.

    Attributes:
        stage: Verb.
        what: In words.
        core_hours: Of one core as measured.
        gpu_hours: Of one assumed GPU.
        hours: On the whole cluster.
        gibibytes: Peak memory of one process, None where a GPU's counts.
        note: What else matters.
    """

    stage: str
    what: str
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    hours: float = 0.0
    gibibytes: float | None = None
    note: str = ""


Laws = Mapping[tuple[str, str], Fitted]
"""By stage and measured value."""


def extrapolate(laws: Laws, project: Project, cluster: Cluster) -> list[Line]:
    """Time and memory of every stage."""
    return [*_per_case(laws, project, cluster), *_training(laws, project, cluster)]


def _per_case(laws: Laws, project: Project, cluster: Cluster) -> list[Line]:
    scan = {
        "voxels": project.voxels,
        "target_voxels": project.voxels,
        "largest_voxels": project.voxels,
        "classes": project.classes,
        "operations": 0,
        "elements": 0,
        "passed_elements": 0,
    }
    lines = []
    for stage in ("fingerprint", "preprocess", "evaluate"):
        core_hours = project.cases * laws[stage, "seconds"](scan) / HOUR
        memory = laws[stage, "peak_bytes"](scan) / GIBIBYTE
        note = ""
        if stage == "preprocess":
            note = f"stores {project.cases * laws[stage, 'stored_bytes'](scan) / TERABYTE:.2f} TB"
        hours = core_hours / cluster.cores
        lines.append(Line(stage, f"{project.cases:,} scans", core_hours, 0.0, hours, memory, note))
    passes = project.windows * project.mirrors
    gpu_hours = project.cases * passes * _operations(project) / cluster.prediction_rate / HOUR
    core_hours = project.cases * laws["predict", "seconds"](scan) / HOUR
    hours = max(gpu_hours / cluster.gpus, core_hours / cluster.cores)
    memory = laws["predict", "peak_bytes"](scan) / GIBIBYTE
    what = f"{project.cases:,} scans, {project.windows} windows, {project.mirrors} copies, one network"
    lines.append(Line("predict", what, core_hours, gpu_hours, hours, memory, "every scan is held out once"))
    return lines


def _training(laws: Laws, project: Project, cluster: Cluster) -> list[Line]:
    """Folds side by side, each by one process, by one per sample of its batch, and by all GPUs with larger batches."""
    by_all = cluster.gpus // project.folds
    ways = ((1, project.batch), (project.batch, project.batch), (by_all, project.batch * by_all))
    lines = []
    for processes, batch in ways:
        seconds = update_seconds(project, cluster, processes=processes, batch=batch)
        alone = update_seconds(project, cluster, processes=1, batch=batch)
        epoch_s = seconds * (project.updates + project.validation_updates / 3)
        hours = project.epochs * epoch_s / HOUR
        batch_voxels = {"batch_voxels": batch / processes * math.prod(project.patch)}
        feeding = laws["train", "reading_seconds"](batch_voxels) / seconds
        what = f"{project.folds} folds, {processes} processes each, batch {batch}"
        note = (
            f"epoch {epoch_s:.0f} s; {alone / seconds / processes:.0%} of the ideal speed; "
            f"{feeding:.2f} cores read for each GPU"
        )
        lines.append(Line("train", what, 0.0, hours * project.folds * processes, hours, None, note))
    return lines


def update_seconds(project: Project, cluster: Cluster, *, processes: int, batch: int) -> float:
    """Seconds of an update: own samples, then logits of all, then the loss of all, then gradients."""
    own = math.ceil(batch / processes)
    seconds = own * 3 * _operations(project) / cluster.training_rate
    if processes == 1:
        return seconds
    price = _price(project)
    logits = batch * math.prod(project.patch) * (project.classes + 1) * 8 / 7  # and the coarser levels
    others = (processes - 1) / processes
    sent = 2 * others * 4 * price.parameters + others * 2 * logits  # float32 gradients, logits of half precision
    judged = (batch - own) / batch * cluster.loss_passes * 4 * logits
    return seconds + sent / cluster.link + judged / cluster.memory_rate


def _operations(project: Project) -> float:
    return float(_price(project).flops)


def _price(project: Project) -> Cost:
    return cost(
        "plain_unet",
        {},
        topology=u_net(32, stages=6),
        patch_size_voxels=project.patch,
        channels=1,
        heads=project.classes + 1,
    )
