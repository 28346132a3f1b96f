"""Costs equal nnU-Net v2's figures and need no torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.core.errors import RegistryError
from autoseg.networks import cost
from autoseg.specs.plan import Topology

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "networks.json").read_text())["costs"]
WITHOUT_TORCH = """
import sys
from autoseg.networks import cost
from autoseg.specs.plan import Topology
ones, twos = (1, 1, 1), (2, 2, 2)
for name, blocks in (("plain_unet", (2, 2)), ("residual_encoder_unet", (1, 3))):
    topology = Topology(
        features=(8, 16), strides=(ones, twos), kernels=((3, 3, 3),) * 2, encoder_blocks=blocks, decoder_blocks=(1,)
    )
    cost(name, {"conv_bias": False}, topology=topology, patch_size_voxels=(8, 8, 8), channels=1, heads=2)
sys.exit("torch" in sys.modules)
"""


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['network']}-{row['name']}")
def test_elements_and_parameters_equal_the_peers(row: dict) -> None:
    topology = Topology.model_validate_json(json.dumps(row["topology"]))
    found = cost(
        row["network"],
        topology=topology,
        patch_size_voxels=tuple(row["patch"]),
        channels=row["channels"],
        heads=row["heads"],
    )
    assert (found.elements, found.parameters) == (row["elements"], row["parameters"])


def test_counting_does_not_import_torch() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=False).returncode == 0


def test_unknown_option_is_named() -> None:
    topology = Topology.model_validate_json(json.dumps(GOLDEN[0]["topology"]))
    with pytest.raises(RegistryError, match="did you mean 'norm'"):
        cost("plain_unet", {"norms": "batch"}, topology=topology, patch_size_voxels=(8, 8, 8), channels=1, heads=2)
