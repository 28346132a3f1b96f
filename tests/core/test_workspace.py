"""Data sets answer to id, folder, bare name and path."""

import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace, dataset_folder, variant_of


@pytest.fixture
def workspace(tmp_path):
    for name in ("Dataset004_Hippocampus", "Dataset104_Hippocampus", "Dataset003_Liver"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "dataset.json").write_text("{}")
    return Workspace(tmp_path)


@pytest.mark.parametrize("name", ["3", "003", "Liver", "Dataset003_Liver", "some/where/Dataset003_Liver"])
def test_every_name_of_a_dataset_works(workspace, name):
    assert workspace.resolve_dataset(name) == "Dataset003_Liver"


@pytest.mark.parametrize(
    ("name", "message"), [("Hippocampus", "names several"), ("Livr", "did you mean"), ("9", "no data set '9'")]
)
def test_wrong_names_are_refused(workspace, name, message):
    with pytest.raises(DatasetError, match=message):
        workspace.resolve_dataset(name)


def test_an_empty_workspace_tells_how_to_begin(tmp_path):
    with pytest.raises(DatasetError, match="convert one first"):
        Workspace(tmp_path).resolve_dataset("4")


def test_folder_name():
    assert dataset_folder(4, "Hippocampus") == "Dataset004_Hippocampus"


def test_trainings_on_a_part_lie_apart():
    assert variant_of("autoseg", 1.0) == "autoseg"
    assert variant_of("autoseg", 0.25) == "autoseg_fraction_0.25"


def test_a_model_is_found_by_its_data_set(workspace):
    folder = workspace.model("Dataset012_Brain", "test")
    folder.mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"no data set or model 'Brain'"):
        workspace.resolve_trained("Brain")
    (folder / "model.json").write_text("{}")
    assert {workspace.resolve_trained(name) for name in ("12", "Brain", "Dataset012_Brain")} == {"Dataset012_Brain"}
    assert workspace.resolve_trained("Liver") == "Dataset003_Liver"
    with pytest.raises(DatasetError, match="no data set 'Brain'"):
        workspace.resolve_dataset("Brain")
