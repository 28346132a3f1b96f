"""Packed models: equal folders give equal bytes, and every kind of bad member is refused by its name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from autoseg.core.errors import SpecError
from autoseg.io import package
from autoseg.io.package import check_safetensors, extract, open_package, read_bounded, write_package
from autoseg.specs.package import Package

W = "weights/a.safetensors"
FILES = {"model.json": b"{}\n", "card.md": b"# card\n", W: save({"w": np.arange(6.0).reshape(2, 3)})}
Edit = Callable[[dict[str, bytes]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(content)
    return tmp_path / "model"


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    write_package(folder, list(FILES), tmp_path / "model.zip")
    return tmp_path / "model.zip"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def write(path: Path, files: dict[str, bytes], *, relist: bool = True, compression: int = zipfile.ZIP_STORED) -> Path:
    """A package made by hand; `relist` writes the manifest that fits."""
    if relist:
        listed = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != "manifest.json"
        }
        files = {**files, "manifest.json": json.dumps({"schema_version": 1, "files": listed}).encode()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return path


def take(source: Path, target: Path) -> Package:
    target.mkdir()
    with open_package(source) as (found, known):
        extract(found, known, target)
    return found


def test_a_round_trip_gives_equal_files_and_equal_bytes(packed: Path, folder: Path, tmp_path: Path) -> None:
    take(packed, tmp_path / "copy")
    found = {
        path.relative_to(tmp_path / "copy").as_posix(): path.read_bytes()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    assert found == FILES
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    write_package(folder, sorted(FILES, reverse=True), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert zipfile.ZipFile(packed).namelist()[0] == "manifest.json"


def test_an_unpacked_or_compressed_package_is_taken_too(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert take(tmp_path / "unpacked", tmp_path / "one") == take(packed, tmp_path / "two")
    take(write(tmp_path / "small.zip", FILES, compression=zipfile.ZIP_DEFLATED), tmp_path / "three")


@pytest.mark.parametrize(
    "name",
    [
        "../model.json",
        "/etc/model.json",
        "weights/../../x.json",
        "weights\\..\\x.json",
        "C:x.json",
        ".hidden.json",
        "a/b/c.json",
        "weights//a.json",
        "-rf.json",
        "a\nb.json",
        "a\x00b.json",
        "é.json",
        "",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    files = {**FILES, name: b"{}"}
    path = write(tmp_path / "bad.zip", files)
    if name == "a\x00b.json":
        # zipfile writes no zero byte itself.
        path.write_bytes(write(path, {**FILES, "aXb.json": b"{}"}).read_bytes().replace(b"aXb.json", b"a\0b.json"))
    with pytest.raises(SpecError, match="is no name of a file in a model folder"), open_package(path):
        pass
    with pytest.raises(SpecError, match="is no name of a file"):
        write_package(tmp_path, [name], tmp_path / "out.zip")


@pytest.mark.parametrize("name", ["weights/fold_0.pth", "data.pkl", "run.py", "weights/a.bin", "README"])
def test_other_kinds_of_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.zip", {**FILES, name: pickle.dumps({})})
    with pytest.raises(SpecError, match=f"'{name}' is neither weights"), open_package(path):
        pass


@pytest.mark.parametrize("second", ["card.md", "CARD.MD", "Card.md"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates_are_refused_by_name(second: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(second, b"other")
    expected = f"has '{second}' twice" if second.endswith(".md") else f"'{second}' is neither weights"
    with pytest.raises(SpecError, match=expected), open_package(path):
        pass


def test_links_devices_and_encrypted_members_are_refused(packed: Path, folder: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SpecError, match=r"'link\.json' is a link or a device"), open_package(packed):
        pass
    (folder / "manifest.json").write_text("{}")
    (folder / "sly.json").symlink_to("/etc/passwd")
    with pytest.raises(SpecError, match=r"'sly\.json' is a link"), open_package(folder):
        pass
    locked = write(tmp_path / "locked.zip", FILES)
    content = bytearray(locked.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(content)
    with pytest.raises(SpecError, match=r"'manifest\.json' is encrypted"), open_package(locked):
        pass


def _drop(files: dict[str, bytes]) -> None:
    del files["card.md"]


def _add(files: dict[str, bytes]) -> None:
    files["more.json"] = b"{}"


def _grow(files: dict[str, bytes]) -> None:
    files["card.md"] += b"more"


def _change(files: dict[str, bytes]) -> None:
    files["card.md"] = b"# CARD\n"


def _no_manifest(files: dict[str, bytes]) -> None:
    del files["manifest.json"]


def _broken_manifest(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b"{"


def _deep_manifest(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b"[" * 200_000


def _other_kind(files: dict[str, bytes]) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b"autoseg-model", b"other-model")


def _bad_digest(files: dict[str, bytes]) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b'"sha256": "', b'"sha256": "x')


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_drop, r"'card\.md' is in its manifest\.json but not there"),
        (_add, r"'more\.json' is not in its manifest\.json"),
        (_grow, r"'card\.md' has 11 bytes, not 7"),
        (_change, r"'card\.md' is not what its manifest says"),
        (_no_manifest, r"has no manifest\.json"),
        (_broken_manifest, r"'manifest\.json' is not valid JSON"),
        (_deep_manifest, r"'manifest\.json' is not valid JSON"),
        (_other_kind, r"manifest\.json, 'kind': found 'other-model'"),
        (_bad_digest, r"manifest\.json, 'files\.card\.md\.sha256': found 'x"),
    ],
)
def test_what_differs_from_the_manifest_is_refused(edit: Edit, message: str, packed: Path, tmp_path: Path) -> None:
    files = members(packed)
    edit(files)
    path = write(tmp_path / "bad.zip", files, relist=False)
    with pytest.raises(SpecError, match=message):
        take(path, tmp_path / "out")


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_refused(keep: float, packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    packed.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(SpecError, match="is not a whole zip file"):
        take(packed, tmp_path / "out")


def test_a_damaged_member_is_refused_by_name(packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(packed.read_bytes().replace(b"# card\n", b"# dark\n"))
    with pytest.raises(SpecError, match=r"'card\.md' cannot be read \(Bad CRC-32"):
        take(packed, tmp_path / "out")


def test_sizes_are_bounded_before_and_while_reading(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(package, "LARGEST_WEIGHTS_BYTES", 10)
        with pytest.raises(SpecError, match=r"'weights/a\.safetensors' has \d+ bytes, more than 10"):
            take(packed, tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(package, "LARGEST_TOTAL_BYTES", 100)
        with pytest.raises(SpecError, match=r"has \d+ bytes, more than 100"):
            take(packed, tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(package, "MOST_FILES", 2)
        with pytest.raises(SpecError, match="has 4 files, more than 2"):
            take(packed, tmp_path / "c")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 4, 5))
        with pytest.raises(SpecError, match=r"the model needs \d+ bytes, .* has 5: free some space"):
            take(packed, tmp_path / "d")


def test_a_bomb_stops_at_its_claimed_size(tmp_path: Path) -> None:
    """A deflated member that claims 7 bytes in the directory and in the manifest, and unpacks to 10 MB."""
    bomb = b"# card\n" + bytes(10_000_000)
    path = write(tmp_path / "bomb.zip", {**FILES, "card.md": bomb}, compression=zipfile.ZIP_DEFLATED)
    lying = write(tmp_path / "fits.zip", FILES)
    manifest = members(lying)["manifest.json"]
    path = write(
        path, {**FILES, "card.md": bomb, "manifest.json": manifest}, relist=False, compression=zipfile.ZIP_DEFLATED
    )
    path.write_bytes(path.read_bytes().replace(len(bomb).to_bytes(4, "little"), (7).to_bytes(4, "little")))
    with pytest.raises(SpecError, match=r"'card\.md' (is longer|cannot be read)"):
        take(path, tmp_path / "out")
    assert not (tmp_path / "out" / "card.md").exists() or (tmp_path / "out" / "card.md").stat().st_size <= 7


def test_a_stream_longer_than_claimed_is_cut(tmp_path: Path) -> None:
    long = package.Member("card.md", 4, lambda: io.BytesIO(b"# card\n"))
    with pytest.raises(SpecError, match=r"'card\.md' is longer than it claims"):
        read_bounded(long, 100)
    found = Package.parse({"files": {"card.md": {"bytes": 4, "sha256": "0" * 64}}}, "test")
    (tmp_path / "out").mkdir()
    with pytest.raises(SpecError, match=r"'card\.md' is longer than its manifest says"):
        extract(found, {"card.md": long}, tmp_path / "out")

    def broken() -> io.BytesIO:
        raise zipfile.BadZipFile("no")

    with pytest.raises(SpecError, match=r"'card\.md' cannot be read \(no\)"):
        read_bounded(package.Member("card.md", 4, broken), 100)


def _zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([]))
    return buffer.getvalue()


def _huge_header() -> bytes:
    return (2**40).to_bytes(8, "little") + b"{}"


def _overlap() -> bytes:
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": tensor, "b": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"w": [1.0] * 9}, protocol=2), "is a pickle, not safetensors"),
        (pickle.dumps({"w": [1.0] * 9}), "is a pickle, not safetensors"),
        (_zip_bytes(), "is a zip, as PyTorch's pickled checkpoints are, not safetensors"),
        (b"\x1f\x8b" + bytes(20), "is a gzip file, not safetensors"),
        (FILES[W][:-1], "is not a valid safetensors file"),
        (FILES[W] + b"\0", "is not a valid safetensors file"),
        (b"", "is not a valid safetensors file"),
        (_huge_header(), "is not a valid safetensors file"),
        (_overlap(), "is not a valid safetensors file"),
    ],
)
def test_weights_that_are_no_safetensors_are_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.zip", {**FILES, W: content})
    with pytest.raises(SpecError, match=f"'{W}' {message}"):
        take(path, tmp_path / "out")


def test_a_header_may_begin_like_a_pickle(tmp_path: Path) -> None:
    """The header's length comes first in the file; 640 is written as 0x80 0x02, as pickles begin."""
    path = tmp_path / "a.safetensors"
    for padding in range(2_000):
        content = save({"w": np.zeros(2)}, {"note": "x" * padding})
        if content[:2] == b"\x80\x02":
            path.write_bytes(content)
            break
    assert check_safetensors(path, path.name) == {"w": (2,)}
