"""Intensity normalisers by name, in numpy (layer 3).

A component's `build(options, *, statistics)` gets the channel's foreground statistics over the data set, or None, and
returns `normalize(channel, mask)`: float32 (Z, Y, X) in, float32 (Z, Y, X) out. `mask`, where given, is True inside
the body; then statistics come from inside and the outside is left as it is. The input may be overwritten, to save a
volume's worth of memory: use what is returned.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autoseg.core.registry import Registry

Normalizer = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None], npt.NDArray[np.float32]]

normalizers = Registry(__name__, "normalizer")
