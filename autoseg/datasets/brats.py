"""BraTS by edition: what the label values mean, the nested order they are stored in, and the regions that are scored.

Stored labels are ordered so that every region is "this value and higher" (oedema first, enhancing tumour last); the
map is a bijection, so a submission gives back the challenge's own values. Sources: the challenges' data pages; for PED
also BraTS_evaluation's `config_ped.yaml`; for the post-treatment set of 2024 its `resection cavity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edition:
    """One way of labelling.

    Attributes:
        name: Word for it.
        stored: Challenge's value -> value in the raw data set.
        regions: Region -> stored values.
        class_order: Stored value written for each region, later ones overwrite.
    """

    name: str
    stored: Mapping[int, int]
    regions: Mapping[str, tuple[int, ...]]
    class_order: tuple[int, ...]

    @property
    def original(self) -> dict[int, int]:
        """Value in the raw data set -> challenge's value, for submissions."""
        return {stored: original for original, stored in self.stored.items()}

    def tissues(self) -> tuple[dict[str, int], dict[int, int]]:
        """One exclusive label per tissue: name -> value, and value in the raw data set of regions -> that value.

        Oedema is what of the whole tumour is no core; non-enhancing is what of the core does not enhance, necrosis and
        cysts with it; other regions keep their names.
        """
        names: dict[str, int] = {}
        values = {0: 0}
        for stored in sorted(set(self.stored.values()) - {0}):
            holding = [name for name, region in self.regions.items() if stored in region]
            inner = [name for name in _TISSUES if name in holding]
            values[stored] = names.setdefault(_TISSUES[inner[-1]] if inner else holding[-1], len(names) + 1)
        return names, values


WT, TC, ET = "whole_tumor", "tumor_core", "enhancing_tumor"

_TISSUES = {WT: "edema", TC: "non_enhancing", ET: "enhancing"}
"""Tissue of voxels in a region and in none that lies within it, outermost first."""

_THREE = {WT: (1, 2, 3), TC: (2, 3), ET: (3,)}

EDITIONS: Mapping[str, Edition] = {
    edition.name: edition
    for edition in (
        # 1 necrosis, 2 oedema, 3 non-enhancing, 4 enhancing
        Edition("2015", {0: 0, 2: 1, 1: 2, 3: 3, 4: 4}, {WT: (1, 2, 3, 4), TC: (2, 3, 4), ET: (4,)}, (1, 2, 4)),
        # 1 necrosis and non-enhancing, 2 oedema, 4 enhancing: 2017 to 2021
        Edition("2017", {0: 0, 2: 1, 1: 2, 4: 3}, _THREE, (1, 2, 3)),
        # as 2017 with 3 for enhancing: 2023 on, also MEN, MET, SSA and GoAT
        Edition("2023", {0: 0, 2: 1, 1: 2, 3: 3}, _THREE, (1, 2, 3)),
        # plus 4 resection cavity: adult glioma after treatment, metastases of 2025; the cavity is no tumour
        Edition("2024", {0: 0, 2: 1, 1: 2, 3: 3, 4: 4}, {**_THREE, "resection_cavity": (4,)}, (1, 2, 3, 4)),
        # 1 enhancing, 2 non-enhancing, 3 cyst, 4 oedema; non-enhancing is what remains of the core
        Edition(
            "ped",
            {0: 0, 4: 1, 2: 2, 3: 3, 1: 4},
            {WT: (1, 2, 3, 4), TC: (2, 3, 4), "cystic_component": (3,), ET: (4,)},
            (1, 2, 3, 4),
        ),
        # radiotherapy planning of meningioma: the gross tumour volume alone
        Edition("men_rt", {0: 0, 1: 1}, {"gross_tumor_volume": (1,)}, (1,)),
    )
}

CHANNELS: Mapping[str, str] = {"t1": "T1", "t1c": "T1c", "t2": "T2", "flair": "FLAIR"}
"""Role -> channel name, in channel order."""

ROLES: Mapping[str, frozenset[str]] = {
    "t1": frozenset({"t1", "t1n"}),
    "t1c": frozenset({"t1c", "t1ce", "t1gd"}),
    "t2": frozenset({"t2", "t2w"}),
    "flair": frozenset({"flair", "fla", "t2f"}),
    # `Segm`: case 355 of 2020 is shipped as W39_1998.09.19_Segm.nii
    "label": frozenset({"seg", "segm", "ot", "otmulticlass", "gtv"}),
}
"""Role -> words for it in file names, lower case."""
