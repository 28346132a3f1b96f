"""Batches of raw patches: batch i is a pure function of (seed, fold, i), read one step ahead in a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from autoseg.core.errors import DatasetError
from autoseg.core.seeds import derive_seed

Corner = tuple[int, int, int]
OUTSIDE = -1
"""Label of voxels beyond the volume."""


class CaseReader(Protocol):
    """A preprocessed case (`autoseg.io.case_store.StoredCase`)."""

    case_id: str

    @property
    def annotated(self) -> tuple[str, ...] | None:
        """Labels that the case annotates; None is all of them."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""

    @property
    def channels(self) -> int:
        """Image channels."""

    @property
    def locations(self) -> Mapping[str, npt.NDArray[np.integer]]:
        """Sampled voxels per class."""

    def read_patch(
        self, start: Sequence[int], stop: Sequence[int]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.integer] | None]:
        """Image (C, z, y, x) and labels of a box inside of the volume; None without labels.

        Labels are (z, y, x), or (maps, z, y, x) where a case has more than one map.
        """


class Sampler(Protocol):
    """A registered sampler (`autoseg.sampling`)."""

    def case_index(self, number: int, *, cases: int, seed: int) -> int:
        """Case of a patch."""

    def is_foreground(self, position: int, *, batch_size: int) -> bool:
        """Whether a patch is centred on foreground."""

    def corner(
        self,
        rng: np.random.Generator,
        *,
        shape: Sequence[int],
        locations: Mapping[str, npt.NDArray[np.integer]],
        is_foreground: bool,
    ) -> Corner:
        """First voxel of the patch."""


@runtime_checkable
class PlacingSampler(Protocol):
    """A sampler that walks through the cases by a plan of its own instead of drawing case and place apart."""

    def place(self, number: int, *, cases: Sequence[CaseReader], seed: int) -> tuple[int, Corner]:
        """Case and first voxel of the `number`-th patch of the run."""

    def per_pass(self, cases: Sequence[CaseReader]) -> int:
        """Patches in which it has seen everything once."""


@runtime_checkable
class StayingSampler(PlacingSampler, Protocol):
    """One that takes several patches in a row from one case, which therefore is read whole and kept meanwhile."""

    patches_per_case: int


@dataclass(frozen=True)
class Batch:
    """Raw patches before augmentation.

    Attributes:
        image: (B, C, *source) float32; zero beyond the volume.
        labels: (B, maps, *source) int16; -1 beyond the volume or the non-zero crop. A cascade has two maps: its own
            labels and those of the previous stage.
        seeds: One per sample, for its augmentation.
        cases: Case ids.
        annotated: Labels that each sample annotates; None where all annotate all.
    """

    image: torch.Tensor
    labels: torch.Tensor
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    annotated: tuple[tuple[str, ...] | None, ...] | None = None

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and labels there, without waiting for the copy where the batch is pinned."""
        return self.image.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)

    def split(self, parts: int) -> Generator[tuple[slice, tuple[tuple[str, ...] | None, ...] | None], None, None]:
        """Rows of each part, as equal as they can be, and the labels that they annotate; at most one part per sample.

        Args:
            parts: Wanted number.
        """
        size = len(self.cases)
        edges = [size * part // min(parts, size) for part in range(min(parts, size) + 1)]
        for rows in map(slice, edges[:-1], edges[1:]):
            annotated = None if self.annotated is None else self.annotated[rows]
            yield rows, None if annotated is None or set(annotated) == {None} else annotated


class BatchLoader:
    """Draws and reads batches.

    Args:
        cases: Preprocessed cases.
        sampler: Where to look.
        batch_size: Patches per batch.
        source_size_voxels: (z, y, x), or (y, x) in 2D, of what is read.
        seed: Everything drawn derives from it.
        needed_box: Augmentation seed -> (start, stop) per axis of the part of the source that will be used; the
            rest is not read. None reads everything.
        label_maps: That the cases have.
        positions: Samples of each batch that this process reads; None reads all.
        pinned: Read into memory that a CUDA device copies from by itself, at several times the speed.
    """

    def __init__(
        self,
        cases: Sequence[CaseReader],
        sampler: Sampler | PlacingSampler,
        *,
        batch_size: int,
        source_size_voxels: Sequence[int],
        seed: int,
        needed_box: Callable[[int], Sequence[tuple[int, int]]] | None = None,
        label_maps: int = 1,
        positions: Sequence[int] | None = None,
        pinned: bool = False,
    ) -> None:
        self.pinned = pinned
        self.positions = range(batch_size) if positions is None else positions
        self.label_maps = label_maps
        self.needed_box = needed_box
        self.cases = tuple(cases)
        self.sampler = sampler
        self.batch_size = batch_size
        self.is_2d = len(source_size_voxels) == 2
        self.source = (1, *source_size_voxels) if self.is_2d else tuple(source_size_voxels)
        self.seed = seed
        self._kept: tuple[CaseReader, npt.NDArray[np.floating], npt.NDArray[np.integer] | None] | None = None

    def batch(self, index: int) -> Batch:
        """Batch `index` of the run, the same however often and wherever it is asked for."""
        image = self._filled(self.cases[0].channels, 0, torch.float32)
        labels = self._filled(self.label_maps, OUTSIDE, torch.int16)
        names, seeds, annotated = [], [], []
        for row, position in enumerate(self.positions):
            number = index * self.batch_size + position
            chosen, corner = self._place(number, position)
            case = self.cases[chosen]
            try:
                self._fill(case, number, corner, image[row].numpy(), labels[row].numpy())
            except Exception as error:
                error.add_note(f"while reading case {case.case_id} for batch {index}")
                raise
            names.append(case.case_id)
            annotated.append(case.annotated)
            seeds.append(derive_seed(self.seed, "augment", number))
        if self.is_2d:
            image, labels = image[:, :, 0], labels[:, :, 0]
        partly = None if set(annotated) == {None} else tuple(annotated)
        return Batch(image, labels, tuple(seeds), tuple(names), partly)

    def _filled(self, channels: int, value: int, dtype: torch.dtype) -> torch.Tensor:
        """(B, channels, *source); by numpy on the host, as torch would start threads here, beside those of training."""
        shape = (len(self.positions), channels, *self.source)
        if self.pinned:
            return torch.full(shape, value, dtype=dtype, pin_memory=True)
        kind = str(dtype).removeprefix("torch.")
        return torch.from_numpy(np.full(shape, value, kind) if value else np.zeros(shape, kind))

    def _place(self, number: int, position: int) -> tuple[int, Corner]:
        """Case and first voxel of a patch."""
        sampler = self.sampler
        if isinstance(sampler, PlacingSampler):
            return sampler.place(number, cases=self.cases, seed=self.seed)
        chosen = sampler.case_index(number, cases=len(self.cases), seed=self.seed)
        case = self.cases[chosen]
        rng = np.random.default_rng(derive_seed(self.seed, "place", number))
        is_foreground = sampler.is_foreground(position, batch_size=self.batch_size)
        return chosen, sampler.corner(rng, shape=case.shape, locations=case.locations, is_foreground=is_foreground)

    def _fill(
        self,
        case: CaseReader,
        number: int,
        corner: Corner,
        image: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int16],
    ) -> None:
        box = self._box(derive_seed(self.seed, "augment", number))
        start = [max(0, low + first) for low, (first, _) in zip(corner, box, strict=True)]
        stop = [min(size, low + last) for size, low, (_, last) in zip(case.shape, corner, box, strict=True)]
        if any(first >= last for first, last in zip(start, stop, strict=True)):
            return
        target = tuple(slice(first - low, last - low) for first, last, low in zip(start, stop, corner, strict=True))
        patch, known = self._read(case, start, stop)
        if known is None:
            raise DatasetError(f"the preprocessed case {case.case_id} has no labels", "run autoseg preprocess again")
        image[(slice(None), *target)], labels[(slice(None), *target)] = patch, known

    def _read(
        self, case: CaseReader, start: list[int], stop: list[int]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.integer] | None]:
        """A box of a case; from memory where the sampler stays with the case."""
        if not isinstance(self.sampler, StayingSampler):
            return case.read_patch(start, stop)
        kept = self._kept
        if kept is None or kept[0] is not case:
            image, labels = case.read_patch((0, 0, 0), case.shape)
            kept = self._kept = (case, image, labels)
        _, image, labels = kept
        z, y, x = (slice(first, last) for first, last in zip(start, stop, strict=True))
        return image[:, z, y, x], None if labels is None else labels[..., z, y, x]

    def _box(self, seed: int) -> list[tuple[int, int]]:
        """Part of the source that this sample uses, (z, y, x)."""
        if self.needed_box is None:
            return [(0, width) for width in self.source]
        box = [(int(start), int(stop)) for start, stop in self.needed_box(seed)]
        return [(0, 1), *box] if self.is_2d else box

    def stream(self, first: int) -> Generator[Batch, None, None]:
        """Batches `first`, `first` + 1, ... without end; the next is read while the current is used."""
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as pool:
            upcoming = pool.submit(self.batch, first)
            index = first
            try:
                while True:
                    batch = upcoming.result()
                    index += 1
                    upcoming = pool.submit(self.batch, index)
                    yield batch
            finally:
                upcoming.cancel()
