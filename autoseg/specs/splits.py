"""`splits.json`: which case trains and which validates in each fold."""

from __future__ import annotations

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.specs.document import Document, Section


class Fold(Section):
    """One fold."""

    train: tuple[str, ...]
    """Case ids that the network learns from."""
    val: tuple[str, ...]
    """Case ids held out."""


class Splits(Document):
    """All folds, and where they came from."""

    origin: str
    """`kfold(5, seed 12345)` or the file they were read from."""
    folds: tuple[Fold, ...]
    """Fold 0, 1, ..."""

    def fold(self, name: str) -> Fold:
        """Fold by number, or `all`: every case trains and validates.

        Raises:
            SpecError: When there is no such fold.
        """
        if name == "all":
            everyone = tuple(sorted({case for fold in self.folds for case in (*fold.train, *fold.val)}))
            return Fold(train=everyone, val=everyone)
        names = [str(index) for index in range(len(self.folds))]
        if name not in names:
            raise SpecError(f"there is no fold '{name}'", nearest(name, [*names, "all"]))
        return self.folds[int(name)]
