"""Regions of the brain tumour challenges, and the options that all of them share."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from autoseg.metrics.protocols._tissues import Region

_NECROSIS: Final = ("netc", "ncr", "net", "ncrnet", "necrosis", "necrotic", "necroticcore", "nonenhancing")
_NON_ENHANCING: Final = ("nonenhancingtumor", "nonenhancingtumorcore", "necroticandnonenhancing")
_EDEMA: Final = ("snfh", "ed", "edema", "peritumoraledema")
_ENHANCING: Final = ("et", "enhancing", "enhancingtumor")
_CYST: Final = ("cc", "cyst", "cysticcomponent")
_CAVITY: Final = ("rc", "resectioncavity", "cavity")
_WHOLE: Final = ("wt", "whole", "wholetumor")
_CORE: Final = ("tc", "core", "tumorcore")
_TUMOR: Final = (_NECROSIS, _NON_ENHANCING, _ENHANCING, _CYST)

UNTIL_2022: Final = {
    "WT": Region((1, 2, 3, 4), _WHOLE, (_EDEMA, *_TUMOR)),
    "TC": Region((1, 3, 4), _CORE, _TUMOR),
    "ET": Region((4,), _ENHANCING, (_ENHANCING,)),
}
"""Values 1 necrosis, 2 edema, 4 enhancing; 3 (non-enhancing) only in 2013 and 2015."""
SINCE_2023: Final = {
    "WT": Region((1, 2, 3), _WHOLE, (_EDEMA, *_TUMOR)),
    "TC": Region((1, 3), _CORE, _TUMOR),
    "ET": Region((3,), _ENHANCING, (_ENHANCING,)),
}
"""Values 1 NCR or NETC, 2 ED or SNFH, 3 ET; the resection cavity (4) belongs to no other region."""
_DEAD: Final = Region(
    (1,),
    (*_NECROSIS, *_NON_ENHANCING),
    (_NECROSIS, _NON_ENHANCING),
    optional=True,
    inside=_CORE,
    outside=(_ENHANCING, _CYST),
)
_AROUND: Final = Region((2,), _EDEMA, (_EDEMA,), optional=True, inside=_WHOLE, outside=(_CORE,))
NETC: Final = {"NETC": _DEAD}
SNFH: Final = {"SNFH": _AROUND}
CAVITY: Final = {"RC": Region((4,), _CAVITY, (_CAVITY,), optional=True)}
POST_TREATMENT: Final = {**SINCE_2023, **NETC, **SNFH, **CAVITY}
PEDIATRIC: Final = {
    "WT": Region((1, 2, 3, 4), _WHOLE, (_EDEMA, *_TUMOR)),
    "TC": Region((1, 2, 3), _CORE, _TUMOR),
    "ET": Region((1,), _ENHANCING, (_ENHANCING,)),
    "NETC": replace(_DEAD, values=(2,)),
    "CC": Region((3,), _CYST, (_CYST,), optional=True),
    "ED": replace(_AROUND, values=(4,)),
}
"""Values 1 ET, 2 NETC, 3 CC, 4 ED (config_ped.yaml of BraTS/BraTS_evaluation)."""
RADIOTHERAPY: Final = {"GTV": Region((1,), ("gtv", "grosstumorvolume", "tumor", "meningioma"))}
