"""Names that data sets give to the tissues of the kidney challenges."""

from __future__ import annotations

from typing import Final

KIDNEY: Final = ("kidney", "kidneys")
TUMOR: Final = ("tumor", "tumors", "kidneytumor")
CYST: Final = ("cyst", "cysts", "kidneycyst")
KIDNEY_AND_MASS: Final = ("kidneyandmass", "kidneyandmasses")
MASS: Final = ("mass", "masses")
