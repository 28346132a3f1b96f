"""Run by our interpreter: `autoseg predict` in a precision of choice, which a JSON argument describes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from autoseg.core.workspace import Workspace
from autoseg.networks import cost
from autoseg.specs.model import MODEL_FILE, Model
from autoseg.stages import predict


def main() -> None:
    """Predict a folder, and tell how many operations the network's convolutions took."""
    request = json.loads(sys.argv[1])
    passes = _counted_passes()
    options = predict.Options(
        Path(request["images"]),
        Path(request["output"]),
        model=Path(request["model"]),
        device="cpu",
        mirror=request["mirror"],
        precision=request["precision"],
    )
    outcome = predict.run(options, Workspace(Path(request["workspace"])))
    operations = len(passes) * operations_per_pass(Model.load(options.model / MODEL_FILE))
    print(json.dumps({"written": len(outcome.written), "failed": outcome.failed, "operations": operations}))


def operations_per_pass(model: Model) -> int:
    """Two per multiply-add of the selected network on one patch."""
    (name,) = model.selected
    configuration = model.members[name].configuration
    return cost(
        configuration.network.name,
        configuration.network.options,
        topology=configuration.topology,
        patch_size_voxels=configuration.patch_size_voxels,
        channels=len(model.channels),
        heads=configuration.label_space(model.labels, model.regions_class_order).heads,
    ).flops


def _counted_passes() -> list[int]:
    """Grows by one with every pass of a network."""
    from autoseg.inference.forward import Passes

    run, seen = Passes.run, []

    def counted(self: Passes, *arguments: Any) -> Any:
        seen.append(1)
        return run(self, *arguments)

    Passes.run = counted  # type: ignore[method-assign]
    return seen


if __name__ == "__main__":
    main()
