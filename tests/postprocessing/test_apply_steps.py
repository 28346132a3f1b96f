"""Steps in order, and what a mask cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.core.errors import SpecError
from autoseg.postprocessing import apply_steps
from autoseg.specs.document import Component


def test_a_label_that_the_mask_cannot_hold_is_refused() -> None:
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1, 1] = 1
    step = Component(name="replace_small", options={"labels": [1], "volume_mm3": 5.0, "to": 300})
    with pytest.raises(
        SpecError, match=r"replace_small writes a label that masks of uint8 cannot hold \(.*300.*\): name"
    ):
        apply_steps([step], labels, (1.0, 1.0, 1.0))
    assert apply_steps([step], labels.astype(np.int16), (1.0, 1.0, 1.0)).max() == 300
