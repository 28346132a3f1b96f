"""What every converter promises; adding a file to `dataset_conversion` adds it here."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from autoseg.core.errors import RegistryError
from autoseg.core.workspace import Workspace
from autoseg.datasets import Converter, converter_names, load_converter, recognising
from autoseg.io.raw import RawDataset, check_labels, read_case
from autoseg.metrics.protocols import load_protocol
from autoseg.stages import convert


@pytest.fixture(params=converter_names())
def converter(request: pytest.FixtureRequest) -> Converter:
    found = load_converter(request.param)
    return found.with_options(found.EXAMPLE_OPTIONS)


def _convert(converter: Converter, root: Path) -> tuple[RawDataset, convert.Options, Workspace]:
    source = converter.example(root / "source")
    options = convert.Options(
        converter.spec().name, source, id=7, workers=1, options=tuple(converter.EXAMPLE_OPTIONS.items())
    )
    workspace = Workspace(root / "workspace")
    return RawDataset.open(convert.run(options, workspace)), options, workspace


def test_describes_itself(converter: Converter) -> None:
    info = converter.spec()
    assert load_converter(info.name).spec().name == info.name
    for text in (info.title, info.licence, info.citation, info.dataset_name):
        assert text.strip() == text != ""


def test_example_becomes_a_valid_data_set(converter: Converter, tmp_path: Path) -> None:
    dataset, _, _ = _convert(converter, tmp_path)
    assert dataset.name.startswith("Dataset007_")
    # Converters of unlabelled images fill imagesTs alone.
    assert len(dataset.training or dataset.test) == 2
    assert dataset.spec.licence
    assert set(dataset.spec.provenance) == {case.case_id for case in (*dataset.training, *dataset.test)}
    for case in dataset.training:
        _, _, labels = read_case(case, channels=dataset.spec.channels())
        assert labels is not None
        check_labels(labels, dataset.labels, case)
        assert dataset.spec.provenance[case.case_id].source


def test_the_protocol_of_its_challenge_knows_its_labels(converter: Converter, tmp_path: Path) -> None:
    spec = converter.dataset(converter.example(tmp_path / "source") if converter.spec().needs else Path())
    name = spec.scoring or converter.spec().scoring
    if not name:
        pytest.skip("is of no challenge")
    assert load_protocol(name).regions(spec.label_space())


def test_a_second_run_writes_nothing(converter: Converter, tmp_path: Path) -> None:
    dataset, options, workspace = _convert(converter, tmp_path)
    images = [path for path in dataset.folder.rglob("*.nii*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in images}
    convert.run(options, workspace)
    assert {path: path.stat().st_mtime_ns for path in images} == before


def test_recognises_only_its_own_layout(converter: Converter, tmp_path: Path) -> None:
    source = converter.example(tmp_path / "source")
    (tmp_path / "empty").mkdir()
    assert converter.recognises(source) == bool(converter.spec().needs)
    for other in (tmp_path / "empty", tmp_path / "gone"):
        assert not converter.recognises(other)


def test_no_other_converter_takes_its_layout(converter: Converter, tmp_path: Path) -> None:
    if not converter.spec().needs:
        pytest.skip("makes its data by itself")
    assert recognising(converter.example(tmp_path / "source")) == (converter.spec().name,)


def test_unknown_option(converter: Converter) -> None:
    with pytest.raises(RegistryError, match=f"converter '{converter.spec().name}', option 'no_such_option'"):
        converter.with_options({"no_such_option": 1})


def test_travels_to_worker_processes(converter: Converter) -> None:
    there = pickle.loads(pickle.dumps(converter))  # noqa: S301 - our own bytes
    assert there.options == converter.options
