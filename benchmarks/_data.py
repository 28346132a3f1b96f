"""What the rows need on disk before they are measured: raw data, prepared data, model folders; made once."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks._bench import DATASET, QUICK_CASES, Bench, NotHereError
from benchmarks._measure import Measurement

CONFIGURATIONS = ("2d", "3d_fullres")


@dataclass(frozen=True)
class Source:
    """A real data set and how both programs prepare it.

    Attributes:
        number: Dataset id.
        dataset: Name of its raw folder.
        folder: Where the originals lie in the data folder.
        converter: Name and options of `autoseg convert`.
        configurations: To prepare.
        copies: Cases to make of the one that there is.
        spacing_mm: Of 3d_fullres instead of the planned one.
    """

    number: int
    dataset: str
    folder: str
    converter: tuple[str, ...]
    configurations: tuple[str, ...] = ("3d_fullres",)
    copies: int = 1
    spacing_mm: tuple[float, float, float] | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """Options of our planning and preprocessing."""
        chosen = ("--method", "nnunet", "-c", *self.configurations)
        if self.spacing_mm is None:
            return chosen
        return (*chosen, "--set", f"plan.overrides.3d_fullres.spacing_mm={list(self.spacing_mm)}")


HIPPOCAMPUS = Source(4, DATASET, "Task04_Hippocampus", ("msd",), CONFIGURATIONS)
CT = Source(
    17,
    "Dataset017_IRCADbLiverTumour",
    "3Dircadb1",
    ("ircadb",),
    copies=3,
    spacing_mm=(1.0, 1.0, 1.0),
)
CT_AS_IT_IS = Source(18, "Dataset018_IRCADbLiverTumour", "3Dircadb1", ("ircadb",), copies=8)
"""At the planned spacing, with cases enough for five folds."""
BRAIN = Source(5, "Dataset005_BraTS2015", "brats2015", ("brats",))


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


def ensure_raw(bench: Bench, source: Source = HIPPOCAMPUS) -> Path:
    """The raw data set, which both programs read; of the hippocampus a link-only excerpt in quick mode.

    Raises:
        NotHereError: The originals are not in the data folder.
        SetUpError: They could not be converted.
    """
    folder = bench.workspace / "raw" / source.dataset
    if not (folder / "finished").is_file():
        originals = bench.data / source.folder
        if not originals.is_dir():
            raise NotHereError(f"there is no {originals}")
        if bench.quick and source is HIPPOCAMPUS:
            originals = _excerpt(originals, bench.fresh("excerpt", originals.name))
        shutil.rmtree(folder, ignore_errors=True)
        bench.workspace.mkdir(parents=True, exist_ok=True)
        name, *options = source.converter
        required(bench.autoseg("convert", name, originals, "--id", str(source.number), *options))
        if not folder.is_dir():
            made = ", ".join(path.name for path in folder.parent.glob(f"Dataset{source.number:03d}_*"))
            raise SetUpError(f"'{name}' made {made or 'nothing'}, not {source.dataset}")
        copy_case(folder, source.copies)
        (folder / "finished").touch()
    _link_for_peer(bench, folder)
    for path in folder.rglob("*.nii.gz"):  # a warm page cache for everyone
        path.read_bytes()
    return folder


def copy_case(folder: Path, copies: int) -> None:
    """Make so many cases of the one in a raw data set."""
    if copies == 1:
        return
    for kind in ("imagesTr", "labelsTr"):
        for path in sorted((folder / kind).iterdir()):
            case, separator, rest = path.name.partition("_0000." if kind == "imagesTr" else ".")
            for number in range(1, copies):
                shutil.copy(path, path.with_name(f"{case}_copy{number}{separator}{rest}"))
    place = folder / "dataset.json"
    description = json.loads(place.read_text())
    # What is said of single cases does not know the copies.
    kept = {key: value for key, value in description.items() if key not in ("provenance", "overlap_group", "patient")}
    place.write_text(json.dumps(kept | {"numTraining": copies * description["numTraining"]}))


def prepare_ours(bench: Bench, source: Source = HIPPOCAMPUS, *, by_shares: bool = False) -> list[Measurement]:
    """Fingerprint, plan and preprocess from nothing, with a process per core (at most the peer's default of 8)."""
    shutil.rmtree(bench.workspace / "prepared" / source.dataset, ignore_errors=True)
    return [bench.autoseg(*line, by_shares=by_shares) for line in our_lines(bench, source)]


def our_lines(bench: Bench, source: Source) -> list[tuple[str, ...]]:
    """The command lines of `prepare_ours`."""
    number, workers = str(source.number), () if source is HIPPOCAMPUS else ("--workers", str(min(bench.cores, 8)))
    return [
        ("fingerprint", "-d", number, *workers),
        ("plan", "-d", number, *source.settings),
        ("preprocess", "-d", number, *source.settings, *workers),
    ]


def prepare_peer(bench: Bench, source: Source = HIPPOCAMPUS, *, by_shares: bool = False) -> list[Measurement]:
    """The same by the peer, with a process per core (at most its default of 8)."""
    shutil.rmtree(bench.preprocessed / source.dataset, ignore_errors=True)
    bench.preprocessed.mkdir(parents=True, exist_ok=True)
    runs = []
    for verb, *arguments in peer_lines(bench, source):
        runs.append(bench.nnunet(verb, *arguments, by_shares=by_shares))
        if runs[-1].failure:
            break
        if verb == "plan_experiment" and source.spacing_mm is not None:
            respace(bench.preprocessed / source.dataset / "nnUNetPlans.json", source.spacing_mm)
    return runs


def peer_lines(bench: Bench, source: Source) -> list[tuple[str, ...]]:
    """The command lines of `prepare_peer`, without `nnUNetv2_`."""
    number, count = str(source.number), str(min(bench.cores, 8))
    chosen = ("-c", *source.configurations, "-np", *[count] * len(source.configurations))
    return [
        ("extract_fingerprint", "-d", number, "-np", count),
        ("plan_experiment", "-d", number),
        ("preprocess", "-d", number, *chosen),
    ]


def respace(plans: Path, spacing_mm: tuple[float, float, float]) -> None:
    """Give 3d_fullres of the peer's plans another target spacing."""
    content = json.loads(plans.read_text())
    content["configurations"]["3d_fullres"]["spacing"] = list(spacing_mm)
    plans.write_text(json.dumps(content))


def ensure_prepared(bench: Bench, source: Source = HIPPOCAMPUS) -> None:
    """Both programs' plans and preprocessed cases."""
    ensure_raw(bench, source)
    if not list((bench.workspace / "prepared" / source.dataset).glob("cases_*")):
        for run in prepare_ours(bench, source):
            required(run)
    if not (bench.preprocessed / source.dataset / "nnUNetPlans_3d_fullres").is_dir():
        for run in prepare_peer(bench, source):
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


def random_peer_model(bench: Bench) -> Path:
    """A model folder of the peer's planned network with weights as initialised: their values cost no time."""
    ensure_prepared(bench)
    folder = bench.work / "models" / "peer"
    required(bench.peers("random_model", dataset=DATASET, output=folder, mirror_axes=[0, 1, 2]))
    return folder


def _link_for_peer(bench: Bench, folder: Path) -> None:
    """The same files under the peer's own `dataset.json`: it takes an optional key that is null for a given one."""
    target = bench.peer_raw / folder.name
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
