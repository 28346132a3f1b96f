"""Checkpoints read without unpickling: weights come out, nothing runs, everything else is refused by its name."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.core.errors import CheckpointError
from autoseg.io import nnunet_checkpoint
from autoseg.io.nnunet_checkpoint import Checkpoint, Opaque, StoredTensor, write_checkpoint


def saved(values: Any, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(values, buffer, **options)
    buffer.seek(0)
    return buffer


def read(values: Any, **options: Any) -> Any:
    return Checkpoint(saved(values, **options), "fold_0").values


def with_program(program: bytes, storages: dict[str, bytes] | None = None) -> io.BytesIO:
    """A checkpoint around a pickle made by hand."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    buffer.seek(0)
    return buffer


WEIGHTS = {
    "float": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([3.0], dtype=torch.bfloat16),
    "long": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "turned": torch.arange(6.0).reshape(2, 3).t(),
    "part": torch.arange(10.0)[4:8],
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_of_all_kinds_come_back(protocol: int) -> None:
    checkpoint = Checkpoint(saved(OrderedDict(WEIGHTS), pickle_protocol=protocol), "fold_0")
    assert all(isinstance(value, StoredTensor) for value in checkpoint.values.values())
    found = checkpoint.tensors(checkpoint.values)
    for name, expected in WEIGHTS.items():
        assert torch.equal(found[name], expected), name
        assert found[name].dtype == expected.dtype, name


@pytest.mark.parametrize("protocol", [2, 4])
def test_plain_values_and_numpy_come_back(protocol: int) -> None:
    values = {
        "text": "öäü",
        "numbers": [1, -5, 300, 70_000, 2**40, 1.5, True, None],
        "nested": {"a": (1, (2, 3), ()), 4: [[]]},
        "scalars": (np.float64(0.5), np.float32(0.25), np.int64(-3), np.bool_(True), np.uint8(200)),
        "device": torch.device("cuda", 1),
        "size": torch.Size([2, 3]),
        "bytes": b"\xff\x00",
    }
    found = read(values, pickle_protocol=protocol)
    assert {key: found[key] for key in ("text", "numbers", "nested", "bytes")} == {
        key: values[key] for key in ("text", "numbers", "nested", "bytes")
    }
    assert found["scalars"] == (0.5, 0.25, -3, True, 200)
    assert (found["device"], found["size"]) == ("cuda", (2, 3))


def test_byte_order_of_numpy_scalars_is_followed() -> None:
    little = pickle.dumps(np.int32(5), protocol=2)
    # The state of the type says `<`, the content is four characters.
    big = little.replace(b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>").replace(
        b"\x05\x00\x00\x00q", b"\x00\x00\x00\x05q"
    )
    assert Checkpoint(with_program(little), "fold_0").values == 5
    assert big != little
    assert Checkpoint(with_program(big), "fold_0").values == 5


def test_arrays_are_allowed_and_left_alone() -> None:
    found = read({"lrs": np.arange(3.0), "names": np.array(["a"])})
    assert found == {"lrs": Opaque("numpy array"), "names": Opaque("numpy array")}
    assert read(np.complex128(1j)) == Opaque("numpy c16")


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


class Instance:
    """An object of a class of its own."""


class Slotted:
    """Rebuilt by a call with arguments."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_is_refused_and_does_not_run(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    values = {"network_weights": WEIGHTS, "logging": Malicious(marker)}
    with pytest.raises(CheckpointError, match=r"fold_0 is refused: it holds posix\.system, which is neither"):
        read(values, pickle_protocol=protocol)
    assert not marker.exists()
    torch.load(saved(values), weights_only=False)
    assert marker.exists(), "the attack works where files are unpickled"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Path("/x"), r"pathlib\.PosixPath"),
        (Instance(), r"test_nnunet_checkpoint\.Instance|copyreg\._reconstructor"),
        (Slotted(), r"(__builtin__|builtins)\.eval"),
        ({1, 2}, r"(__builtin__|builtins)\.set"),
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        (getattr, r"(__builtin__|builtins)\.getattr"),
        (torch.tensor([1.0]).to_sparse(), r"torch\._utils\._rebuild_sparse_tensor"),
        (3 + 4j, r"(__builtin__|builtins)\.complex"),
    ],
)
def test_other_types_are_refused_by_name(value: Any, name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"fold_0 is refused: it holds [^ ]*({name}), which"):
        read({"network_weights": WEIGHTS, "init_args": value})


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x02(ios\nsystem\n.", "the pickle instruction INST"),
        (b"\x80\x02(cos\nsystem\no.", r"os\.system"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "the pickle instruction NEWOBJ"),
        (b"\x80\x02\x82\x01.", "the pickle instruction EXT1"),
        (b"\x80\x02]]0.", "the pickle instruction POP"),
        (b"\x80\x02Pname\n.", "the pickle instruction PERSID"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", r"a state of collections\.OrderedDict"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01a.", r"items of collections\.OrderedDict"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01K\x02s.", r"entries of collections\.OrderedDict"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "a call of a type"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "a call of a type"),
        (b"\x80\x02K\x01)R.", "a call of int"),
        (b"\x80\x02ccollections\nOrderedDict\n]R.", r"a call of collections\.OrderedDict"),
        (b"\x80\x02(X\x03\x00\x00\x00evlNNNNtQ.", "the reference 'evl'"),
        (b"\x80\x02(X\x07\x00\x00\x00storageX\x01\x00\x00\x00xX\x01\x00\x00\x000NK\x01tQ.", "the reference 'storage'"),
        (
            b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x04\x00\x00\x00../xNK\x01tQ.",
            r"the storage '\.\./x'",
        ),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR.", "a tensor without numbers"),
        (b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x06\x00\x00\x00base64tR.", "bytes encoded as 'base64'"),
        (b"\x80\x02cnumpy\ndtype\nK\x01\x85R.", "a numpy type without a code"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\nK\x01K\x01\x86R.", "a numpy value of no number type"),
    ],
)
def test_tricks_of_the_pickle_language_are_refused_by_name(program: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"fold_0 is refused: it holds {message}, which is neither"):
        Checkpoint(with_program(program), "fold_0")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"", "is damaged"),
        (b"\x80\x02", "is damaged"),
        (b"\x80\x02}", "is damaged"),
        (b"\x80\x02.", "is damaged"),
        (b"\x80\x02h\x05.", "is damaged"),
        (b"\x80\x02t.", "is damaged"),
        (b"\x80\x02X\xff\xff\xff\x7fab.", "is damaged"),
        (b"\x80\x02}]K\x01s.", "is damaged"),
        (b"\xffgarbage", "is damaged"),
    ],
)
def test_broken_programs_are_named(program: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"fold_0 {message}"):
        Checkpoint(with_program(program), "fold_0")


def test_a_huge_memo_index_takes_no_memory() -> None:
    program = b"\x80\x02K\x01r\xff\xff\xff\x7f."
    assert Checkpoint(with_program(program), "fold_0").values == 1


def test_archives_that_are_no_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a whole PyTorch checkpoint"):
        Checkpoint(io.BytesIO(pickle.dumps({})), "fold_0")
    content = saved(WEIGHTS).getvalue()
    with pytest.raises(CheckpointError, match="is not a whole PyTorch checkpoint"):
        Checkpoint(io.BytesIO(content[: len(content) // 2]), "fold_0")
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    with pytest.raises(CheckpointError, match="is not a PyTorch checkpoint"):
        Checkpoint(empty, "fold_0")
    big = with_program(pickle.dumps({}, protocol=2))
    with zipfile.ZipFile(big, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    with pytest.raises(CheckpointError, match="written by a big-endian machine"):
        Checkpoint(big, "fold_0")


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(saved(WEIGHTS), "fold_0")
    with monkeypatch.context() as patch:
        patch.setattr(nnunet_checkpoint, "LARGEST_WEIGHTS_BYTES", 10)
        with pytest.raises(CheckpointError, match=r"fold_0 holds 0\.0 GiB of weights"):
            checkpoint.tensors(checkpoint.values)
    monkeypatch.setattr(nnunet_checkpoint, "LARGEST_PROGRAM_BYTES", 10)
    with pytest.raises(CheckpointError, match=r"its part 'data\.pkl' has more than 10 bytes"):
        read(WEIGHTS)


STORED = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpuK%ctQK%c%b%b\x89NtR."
)


@pytest.mark.parametrize(
    ("count", "offset", "shape", "strides", "content", "message"),
    [
        (2, 0, b"K\x02\x85", b"K\x01\x85", None, "the numbers of the weight 'w' are missing"),
        (2, 0, b"K\x02\x85", b"K\x01\x85", bytes(4), "the weight 'w' is cut off"),
        (2, 0, b"K\x02\x85", b"K\x01\x85", bytes(12), "has more than 8 bytes"),
        (2, 1, b"K\x02\x85", b"K\x01\x85", bytes(8), "the weight 'w' reaches beyond its numbers"),
        (2, 0, b"K\x02\x85", b"K\x05\x85", bytes(8), "the weight 'w' reaches beyond its numbers"),
        (2, 0, b"K\xc8\x85", b"K\x00\x85", bytes(8), "the weight 'w' reaches beyond its numbers"),
        (2, 0, b"K\x00\x85", b"K\x01\x85", bytes(8), "the weight 'w' reaches beyond its numbers"),
    ],
)
def test_tensors_stay_within_their_numbers(
    count: int, offset: int, shape: bytes, strides: bytes, content: bytes | None, message: str
) -> None:
    program = STORED % (count, offset, shape, strides)
    checkpoint = Checkpoint(with_program(program, {} if content is None else {"0": content}), "fold_0")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.tensors({"w": checkpoint.values})


def test_a_tensor_needs_a_layout() -> None:
    program = STORED % (2, 0, b"K\x02\x85", b")")
    with pytest.raises(CheckpointError, match="a tensor without a layout"):
        Checkpoint(with_program(program), "fold_0")


def test_damaged_numbers_are_named() -> None:
    content = bytearray(saved({"w": torch.full((64,), 2.0)}).getvalue())
    place = content.index(torch.full((64,), 2.0).numpy().tobytes())
    content[place] ^= 1
    checkpoint = Checkpoint(io.BytesIO(content), "fold_0")
    with pytest.raises(CheckpointError, match=r"the weight 'w' cannot be read \(Bad CRC"):
        checkpoint.tensors(checkpoint.values)


def test_what_is_written_torch_loads(tmp_path: Path) -> None:
    shared = WEIGHTS["float"]
    write_checkpoint(tmp_path / "a.pth", {"network_weights": {"one": shared, "two": shared}, "trainer_name": "T"})
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert torch.equal(found["network_weights"]["one"], shared)
    assert found["network_weights"]["one"].data_ptr() == found["network_weights"]["two"].data_ptr()
    with (tmp_path / "a.pth").open("rb") as handle:
        assert Checkpoint(handle, "a").values["trainer_name"] == "T"
