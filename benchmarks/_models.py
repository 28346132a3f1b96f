"""Models of equal weights for both programs: trained here for minutes, exported for the peer, and imported again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._bench import HERE, Bench
from benchmarks._data import Source, ensure_raw, required

METHOD, CONFIGURATION = "nnunet_short", "3d_fullres"
TRAINER = "nnUNetTrainer__autosegPlans"


@dataclass(frozen=True)
class Lesson:
    """What a model is trained on.

    Attributes:
        source: The data.
        fold: To train.
        updates: Optimiser steps.
        settings: `--set` of planning.
    """

    source: Source
    fold: str
    updates: int
    settings: tuple[str, ...] = ()

    def arguments(self, updates: int) -> tuple[str, ...]:
        """Of `autoseg plan_and_train`."""
        chosen = [part for setting in self.settings for part in ("--set", setting)]
        return (
            *("-d", str(self.source.number), "--method", str(HERE / f"{METHOD}.toml"), *chosen),
            *("-c", CONFIGURATION, "-f", self.fold, "--epochs", "1", "--iterations-per-epoch", str(updates)),
            *("--device", "cpu"),
        )


def equal_models(bench: Bench, lesson: Lesson) -> tuple[Path, Path]:
    """Our imported model folder and the peer's, with the same weights; made once.

    Raises:
        NotHereError: The data are not here.
        SetUpError: Training, export or import failed.
    """
    source = lesson.source
    exported = bench.work / "exported" / source.dataset / f"{TRAINER}__{CONFIGURATION}"
    imported = bench.workspace / "models" / source.dataset / TRAINER
    if not exported.is_dir():
        ensure_raw(bench, source)
        required(bench.autoseg("plan_and_train", *lesson.arguments(2 if bench.quick else lesson.updates)))
        trained = bench.workspace / "models" / source.dataset / METHOD
        _run(bench, "export", trained, "-o", bench.work / "exported", "--format", "nnunet", "--no-postprocess")
    if not imported.is_dir():
        _run(bench, "import", exported)
    return imported, exported


def linked_cases(bench: Bench, source: Source, cases: int) -> tuple[Path, Path]:
    """Folders with links to images and to labels of the first cases."""
    raw = ensure_raw(bench, source)
    names = sorted(path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").glob("*.nii.gz"))[:cases]
    images, labels = (_links(bench, raw / kind, names, source.dataset) for kind in ("imagesTr", "labelsTr"))
    return images, labels


def _links(bench: Bench, folder: Path, names: Sequence[str], dataset: str) -> Path:
    target = bench.fresh("first_cases", dataset, folder.name)
    for name in names:
        for path in folder.glob(f"{name}[_.]*"):
            # `case_1` is no channel of `case`: what follows the name is a channel number or the ending.
            if path.name.removeprefix(name).startswith((".", "_0")):
                (target / path.name).symlink_to(path.resolve())
    return target


def _run(bench: Bench, *arguments: str | Path) -> None:
    required(bench.autoseg(*arguments))
