"""Where everything lies on disk: one workspace, and how a data set is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.registry import nearest

DATASET_FOLDER = re.compile(r"Dataset(\d{3})_(.+)")


@dataclass(frozen=True)
class Workspace:
    """The folder that holds raw data, prepared data, runs, predictions and models."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    def raw_dataset(self, dataset: str) -> Path:
        """Folder with images, labels and `dataset.json`."""
        return self.raw / dataset

    def prepared(self, dataset: str) -> Path:
        """Folder of the fingerprint and the preprocessed cases."""
        return self.root / "prepared" / dataset

    def fingerprint(self, dataset: str) -> Path:
        return self.prepared(dataset) / "fingerprint.json"

    def planned(self, dataset: str, method: str) -> Path:
        """Folder of the plan and the splits of one method."""
        return self.prepared(dataset) / method

    def plan(self, dataset: str, method: str) -> Path:
        return self.planned(dataset, method) / "plan.json"

    def splits(self, dataset: str, method: str) -> Path:
        return self.planned(dataset, method) / "splits.json"

    def cases(self, dataset: str, digest: str) -> Path:
        """Preprocessed cases; methods with equal preprocessing share them."""
        return self.prepared(dataset) / f"cases_{digest}"

    def run(self, dataset: str, method: str, configuration: str, fold: str) -> Path:
        """Folder of one training: `method` may be a variant (see `variant_of`), `fold` is a number or `all`."""
        return self.root / "runs" / dataset / method / configuration / f"fold_{fold}"

    def model(self, dataset: str, method: str) -> Path:
        """The model folder that `predict` runs."""
        return self.root / "models" / dataset / method

    def models(self) -> tuple[Path, ...]:
        """Every complete model folder of the workspace."""
        return tuple(sorted(path.parent for path in (self.root / "models").glob("*/*/model.json")))

    def datasets(self) -> tuple[str, ...]:
        """Folder names of the raw data sets."""
        if not self.raw.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.raw.iterdir() if (path / "dataset.json").is_file()))

    def resolve_dataset(self, name: str) -> str:
        """Folder name of a data set given by id (`4`), folder, bare name (`Hippocampus`) or path.

        Raises:
            DatasetError: When no raw data set, or more than one, has that name.
        """
        cure = "convert one first, e.g. autoseg convert msd FOLDER --id 4"
        return _resolve(name, self.datasets(), missing=f"no data set '{name}' in {self.raw}", cure=cure)

    def resolve_trained(self, name: str) -> str:
        """As `resolve_dataset`, also for data sets of which there is only a model.

        Raises:
            DatasetError: When none, or more than one, has that name.
        """
        trained = {folder.parent.name for folder in self.models()}
        known = tuple(sorted({*self.datasets(), *trained}))
        cure = "convert one first, e.g. autoseg convert msd FOLDER --id 4, or import a model"
        return _resolve(name, known, missing=f"no data set or model '{name}' in {self.root}", cure=cure)


def _resolve(name: str, known: tuple[str, ...], *, missing: str, cure: str) -> str:
    """The one of `known` that `name` means."""
    wanted = Path(name).resolve().name if "/" in name else name
    matches = [folder for folder in known if wanted in _aliases(folder)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DatasetError(f"'{name}' names several data sets ({', '.join(matches)})", "use the folder's name")
    spellings = {alias for folder in known for alias in _aliases(folder) if not alias.isdigit()}
    raise DatasetError(missing, nearest(wanted, spellings) if known else cure)


def dataset_folder(dataset_id: int, name: str) -> str:
    """`DatasetNNN_Name`, as nnU-Net v2 spells it."""
    return f"Dataset{dataset_id:03d}_{name}"


def variant_of(method: str, train_fraction: float) -> str:
    """Name that runs and models of a method lie under: its own, or `METHOD_fraction_0.25` for trainings on a part."""
    return method if train_fraction == 1 else f"{method}_fraction_{train_fraction:g}"


def _aliases(folder: str) -> set[str]:
    match = DATASET_FOLDER.fullmatch(folder)
    if not match:
        return {folder}
    number, bare = match.groups()
    return {folder, bare, number, str(int(number))}
