"""What the rows need on disk before they are measured: raw data, prepared data, model folders; made once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks._bench import DATASET, QUICK_CASES, Bench
from benchmarks._measure import Measurement

OURS_PREPARE = ("fingerprint -d 4", "plan -d 4 --method nnunet", "preprocess -d 4 --method nnunet")
CONFIGURATIONS = ("2d", "3d_fullres")


class SetUpError(Exception):
    """A command that only prepares a measurement failed."""


def required(run: Measurement) -> Measurement:
    """A run that must succeed.

    Raises:
        SetUpError: It did not.
    """
    if run.failure:
        raise SetUpError(run.failure)
    return run


def ensure_raw(bench: Bench) -> Path:
    """The raw data set, which both programs read; a link-only excerpt of the source in quick mode."""
    folder = bench.workspace / "raw" / DATASET
    if not (folder / "dataset.json").is_file():
        source = bench.data / "Task04_Hippocampus"
        if bench.quick:
            source = _excerpt(source, bench.fresh("excerpt", source.name))
        bench.workspace.mkdir(parents=True, exist_ok=True)
        required(bench.autoseg("convert", "msd", source, "--id", "4"))
    _link_for_peer(bench, folder)
    for path in folder.rglob("*.nii.gz"):  # a warm page cache for everyone
        path.read_bytes()
    return folder


def prepare_ours(bench: Bench) -> list[Measurement]:
    """Fingerprint, plan and preprocess from nothing."""
    shutil.rmtree(bench.workspace / "prepared", ignore_errors=True)
    return [bench.autoseg(*line.split()) for line in OURS_PREPARE]


def prepare_peer(bench: Bench) -> list[Measurement]:
    """The same by the peer, with a process per core (at most its default of 8)."""
    shutil.rmtree(bench.preprocessed, ignore_errors=True)
    bench.preprocessed.mkdir(parents=True)
    count = str(min(bench.cores, 8))
    return [
        bench.nnunet("extract_fingerprint", "-d", "4", "-np", count),
        bench.nnunet("plan_experiment", "-d", "4"),
        bench.nnunet("preprocess", "-d", "4", "-c", *CONFIGURATIONS, "-np", *[count] * len(CONFIGURATIONS)),
    ]


def ensure_prepared(bench: Bench) -> None:
    """Both programs' plans and preprocessed cases."""
    ensure_raw(bench)
    if not list((bench.workspace / "prepared" / DATASET).glob("cases_*")):
        for run in prepare_ours(bench):
            required(run)
    if not (bench.preprocessed / DATASET / "nnUNetPlans_3d_fullres").is_dir():
        for run in prepare_peer(bench):
            required(run)


def held_out(bench: Bench) -> tuple[str, ...]:
    """Case ids of fold 0's held-out cases."""
    ensure_prepared(bench)
    path = bench.workspace / "prepared" / DATASET / "nnunet" / "splits.json"
    names: list[str] = json.loads(path.read_text())["folds"][0]["val"]
    return tuple(names)


def linked(bench: Bench, kind: str) -> Path:
    """Folder with links to the held-out cases' `imagesTr` or `labelsTr`."""
    target = bench.fresh("held_out", kind)
    for name in held_out(bench):
        for path in (bench.workspace / "raw" / DATASET / kind).glob(f"{name}[_.]*"):
            (target / path.name).symlink_to(path.resolve())
    return target


def random_models(bench: Bench) -> tuple[Path, Path]:
    """Ours and the peer's model folder, of the same architecture, with weights as initialised."""
    ensure_prepared(bench)
    ours, peer = bench.work / "models" / "ours", bench.work / "models" / "peer"
    made = required(bench.ours("random_model", workspace=bench.workspace, dataset=DATASET, output=ours))
    axes = made.values["mirror_axes"]
    required(bench.peers("random_model", dataset=DATASET, output=peer, mirror_axes=axes))
    return ours, peer


def _link_for_peer(bench: Bench, folder: Path) -> None:
    """The same files under the peer's own `dataset.json`: it takes an optional key that is null for a given one."""
    target = bench.peer_raw / DATASET
    target.mkdir(parents=True, exist_ok=True)
    for kind in ("imagesTr", "labelsTr"):
        if not (target / kind).is_symlink():
            (target / kind).symlink_to(folder / kind)
    description = json.loads((folder / "dataset.json").read_text())
    kept = {key: value for key, value in description.items() if value is not None}
    (target / "dataset.json").write_text(json.dumps(kept))


def _excerpt(source: Path, target: Path) -> Path:
    description = json.loads((source / "dataset.json").read_text())
    cases = sorted(description["training"], key=lambda case: str(case["image"]))[:QUICK_CASES]
    for kind in ("imagesTr", "labelsTr"):
        (target / kind).mkdir()
        for case in cases:
            name = Path(case["image"]).name
            (target / kind / name).symlink_to((source / kind / name).resolve())
    description |= {"training": cases, "numTraining": len(cases), "test": [], "numTest": 0}
    (target / "dataset.json").write_text(json.dumps(description))
    return target
