"""nnU-Net's `postprocessing.pkl` without pickle: which labels keep their largest component alone, in order.

nnU-Net pickles two lists, functions and their arguments. It has one function for it, of which the file holds the name
alone: the labels or regions are what is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as short
from typing import Any

from autoseg.core.errors import CheckpointError
from autoseg.io._pickled import NUMBERS, Allowed, Named, read_pickle, uncallable

KEEP_LARGEST = "nnunetv2.postprocessing.remove_connected_components.remove_all_but_largest_component_from_segmentation"
"""Its only function (2.0 to 2.8): all but the largest component of one mask becomes background."""
LARGEST_BYTES = 2**20
"""nnU-Net's own have less than a kilobyte."""
MOST_LABELS = 2**16
"""A small file can name one list a million times; what is read ends here, and `short` ends what is said."""
_ALLOWED = Allowed(
    {KEEP_LARGEST: uncallable, **NUMBERS},
    meaning="neither nnU-Net's own rule nor a plain value",
    cure="do not use it, or apply that rule yourself to masks made with --no-postprocess",
)
_CURE = "give a postprocessing.pkl of nnU-Net v2"


def read_largest_components(content: bytes, where: str) -> tuple[tuple[int, ...], ...]:
    """Label values whose voxels together form one mask, for every rule in its order.

    Args:
        content: The file.
        where: How to name it in messages.

    Raises:
        CheckpointError: It names another function, by that name, or is damaged, or no such file.
    """
    if len(content) > LARGEST_BYTES:
        raise CheckpointError(f"{where} has more than {LARGEST_BYTES} bytes", _CURE)
    values = read_pickle(content, where, _ALLOWED)
    lists = isinstance(values, tuple | list) and len(values) == 2 and all(isinstance(each, list) for each in values)
    if not lists or len(values[0]) != len(values[1]):
        raise CheckpointError(f"{where} is not a list of functions and one of their arguments", _CURE)
    return tuple(_labels(function, arguments, where) for function, arguments in zip(*values, strict=True))


def write_largest_components(rules: Sequence[Sequence[int]]) -> bytes:
    """The same file for such rules; nnU-Net's function stands in it by its name."""
    module, _, function = KEEP_LARGEST.rpartition(".")
    functions = f"c{module}\n{function}\n" * len(rules)
    # Instructions of pickle's protocol 2: `](...e` is a list, `}V...s` a dictionary of one name, `I` an integer.
    arguments = ("}Vlabels_or_regions\n](" + "".join(f"I{value}\n" for value in rule) + "es" for rule in rules)
    return b"\x80\x02" + f"]({functions}e]({''.join(arguments)}e".encode() + b"\x86."


def _labels(function: Any, arguments: Any, where: str) -> tuple[int, ...]:
    """Values of one rule; a list of labels and regions means all of them together."""
    if not isinstance(function, Named) or function.name != KEEP_LARGEST:
        name = function.name if isinstance(function, Named) else repr(function)
        raise CheckpointError(f"{where} applies {name}", _ALLOWED.cure)
    if not isinstance(arguments, dict) or not arguments.keys() <= {"labels_or_regions", "background_label"}:
        raise CheckpointError(f"{where} has the arguments {short(arguments)}", _CURE)
    chosen = arguments.get("labels_or_regions")
    parts = [each if isinstance(each, tuple | list) else (each,) for each in _listed(chosen)]
    values: list[int] = []
    for part in parts:
        if not part or len(values) > MOST_LABELS or not all(type(each) is int and 0 < each < 2**16 for each in part):
            raise CheckpointError(f"{where} cleans the labels {short(chosen)}", _CURE)
        values += part
    if not values:
        raise CheckpointError(f"{where} cleans no label", _CURE)
    if arguments.get("background_label", 0) != 0:
        filled = short(arguments["background_label"])
        raise CheckpointError(f"{where} fills with the label {filled}, not with 0", _CURE)
    return tuple(dict.fromkeys(values))


def _listed(chosen: Any) -> list[Any]:
    return chosen if isinstance(chosen, list) else [chosen]
