"""nnU-Net's postprocessing.pkl read without unpickling: its rules leave the masks that nnU-Net leaves."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.errors import CheckpointError
from autoseg.io.nnunet_postprocessing import (
    KEEP_LARGEST,
    LARGEST_BYTES,
    read_largest_components,
    write_largest_components,
)
from autoseg.postprocessing import apply_steps
from autoseg.specs.document import Component

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS = json.loads((GOLDEN / "postprocessing_pickles.json").read_text())["answers"]
MODULE, _, FUNCTION = KEEP_LARGEST.rpartition(".")


def load_maps() -> ModuleType:
    spec = util.spec_from_file_location("postprocessing_maps", GOLDEN / "postprocessing_maps.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def pickled(arguments: list[Any], names: list[str] | None = None) -> bytes:
    """As nnU-Net saves it, made without it: names are put in by hand."""
    functions = [f"c{MODULE}\n{FUNCTION}\n"] * len(arguments) if names is None else names
    inside = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02](" + "".join(functions).encode() + b"e" + inside + b"\x86."


def keep(labels: Any, **more: Any) -> dict[str, Any]:
    return {"labels_or_regions": labels, **more}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_masks_are_those_that_nnunet_leaves(name: str) -> None:
    answer = ANSWERS[name]
    found = {read_largest_components(bytes.fromhex(each), name) for each in answer["pickles"]}
    assert len(found) == 1
    (rules,) = found
    steps = [Component(name="keep_largest", options={"labels": list(rule)}) for rule in rules]
    masks = [mask for mask, _ in load_maps().make_maps(answer["scenario"])]
    cleaned = [apply_steps(steps, mask, (1.0, 1.0, 1.0)) for mask in masks]
    assert [hashlib.sha256(mask.astype("uint8").tobytes()).hexdigest()[:16] for mask in cleaned] == answer["cleaned"]
    changed = any(not np.array_equal(one, other) for one, other in zip(masks, cleaned, strict=True))
    assert changed == bool(rules)


def test_labels_regions_and_lists_of_both_are_one_mask_each() -> None:
    arguments = [keep([1, 2]), keep(3), keep((2, 3)), keep([(1, 2), 3, 2]), keep(np.int32(4), background_label=0)]
    assert read_largest_components(pickled(arguments), "x") == ((1, 2), (3,), (2, 3), (1, 2, 3), (4,))
    assert read_largest_components(pickle.dumps(([], [])), "x") == ()


@given(st.lists(st.lists(st.integers(1, 2**16 - 1), min_size=1, max_size=5, unique=True), max_size=4))
def test_what_is_written_is_read_and_is_a_pickle(rules: list[list[int]]) -> None:
    content = write_largest_components(rules)
    assert read_largest_components(content, "x") == tuple(tuple(rule) for rule in rules)
    stub = ModuleType(MODULE)
    setattr(stub, FUNCTION, len)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnunetv2", "nnunetv2.postprocessing"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, MODULE, stub)
        assert pickle.loads(content) == ([len] * len(rules), [keep(rule) for rule in rules])  # noqa: S301 - just written


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_a_program_is_refused_by_name_and_does_not_run(tmp_path: Path) -> None:
    content = pickle.dumps(([Malicious(tmp_path / "ran")], [{}]))
    with pytest.raises(
        CheckpointError, match=r"pp\.pkl is refused: it holds posix\.system, which is neither nnU-Net's"
    ):
        read_largest_components(content, "pp.pkl")
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)  # noqa: S301 - to see that it would run
    assert (tmp_path / "ran").exists(), "the attack works where files are unpickled"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickled([keep(1)], ["cmyproject.clean\nmy_rule\n"]), r"it holds myproject\.clean\.my_rule, which is neither"),
        (pickled([keep(1)], ["cbuiltins\neval\n"]), r"it holds builtins\.eval"),
        (pickled([keep(1)], ["ccollections\nOrderedDict\n"]), r"it holds collections\.OrderedDict"),
        (pickled([keep(1)], [f"c{MODULE}\n{FUNCTION}\n)R"]), "it holds a call of a type"),
        (pickled([keep(1)], ["cnumpy\ndtype\n"]), r"pp\.pkl applies numpy\.dtype: do not use it"),
        (pickled([keep(1)], ["K\x05"]), r"pp\.pkl applies 5: do not use it"),
        (pickled([keep(1), keep(2)], [f"c{MODULE}\n{FUNCTION}\n"]), "not a list of functions and one of their arg"),
        (pickle.dumps([1, 2]), "is not a list of functions"),
        (pickle.dumps({}), "is not a list of functions"),
        (pickled([keep(1, min_size=3)]), r"has the arguments \{.*'min_size': 3\}: give a postprocessing\.pkl"),
        (pickled([[1]]), r"has the arguments \[1\]"),
        (pickled([keep([])]), "cleans no label: give"),
        (pickled([keep(())]), r"cleans the labels \(\)"),
        (pickled([keep(0)]), "cleans the labels 0"),
        (pickled([keep(70000)]), "cleans the labels 70000"),
        (pickled([keep(True)]), "cleans the labels True"),
        (pickled([keep([[1, [2]]])]), r"cleans the labels \[\[1, \[2\]\]\]"),
        (pickled([keep("1")]), "cleans the labels '1'"),
        (pickled([{}]), "cleans the labels None"),
        (pickled([keep(1, background_label=2)]), "fills with the label 2, not with 0"),
        (b"PK not a pickle", r"pp\.pkl is damaged"),
        (pickled([keep(1)])[:-1], r"pp\.pkl is damaged"),
        (b"\x80\x02" + bytes(LARGEST_BYTES), "has more than 1048576 bytes"),
    ],
)
def test_anything_else_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_largest_components(content, "pp.pkl")


def test_a_small_file_takes_little_memory_whatever_it_repeats() -> None:
    labels = list(range(1, 20_000))
    with pytest.raises(CheckpointError, match=r"cleans the labels \[\[1, 2, 3, 4, 5, 6, \.\.\.\]"):
        read_largest_components(pickled([keep([labels] * 100_000)]), "pp.pkl")
    nested: Any = 1
    for _ in range(60):
        nested = (nested, nested)
    with pytest.raises(CheckpointError, match=r"cleans the labels \(\(\("):
        read_largest_components(pickled([keep(nested)]), "pp.pkl")
