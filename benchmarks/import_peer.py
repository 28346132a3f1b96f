"""The peer's model, imported: do both programs make the same masks? `python -m benchmarks.import_peer --help`.

nnU-Net predicts a folder of images with one of its trained models (or with its planned network and random weights, for
which nothing need be trained and near ties are everywhere), autoseg imports that model and predicts the same images,
and, the other way round, nnU-Net predicts with what autoseg exports of the import. nnU-Net sums windows up in half
precision; `--single` also compares with its masks when it does so in single precision.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from autoseg.commands import export as export_command
from autoseg.commands import import_ as import_command
from autoseg.core.workspace import Workspace
from autoseg.io.label_files import find_label_files
from autoseg.specs.model import MODEL_FILE, Model
from autoseg.stages import predict
from benchmarks._masks import compare_masks

HERE = Path(__file__).parent
SINGLE = """
import sys, torch
torch.half = torch.float16 = torch.float32
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
source, output, model, *folds = sys.argv[1:]
predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
predictor.initialize_from_trained_model_folder(model, tuple(folds))
predictor.predict_from_files(source, output, num_processes_preprocessing=1, num_processes_segmentation_export=1)
"""
"""nnU-Net with its half precision sums in single precision: what then differs is not rounding."""
DATASET = "Dataset004_Hippocampus"


def main() -> None:
    """Predict with both, compare, print and write the table."""
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    images = _first_images(options.images, work / "images", options.cases)
    trained = options.model or _random_model(options)
    workspace = Workspace(work / "workspace")
    folder = import_command.run(
        import_command.Options(trained, overwrite=True, configurations=tuple(options.configurations)), workspace
    )
    model = Model.load(folder / MODEL_FILE)
    result = {"cases": len(find_label_files(images)), "rows": [], "model": model.method}
    seconds = _peer_predict(options, trained, images, work / "peer")
    result["rows"].append({"masks": "nnU-Net", "seconds": round(seconds, 1)})
    if options.single:
        seconds = _peer_predict(options, trained, images, work / "peer_single", single=True)
        row = {"masks": "nnU-Net in single precision", "seconds": round(seconds, 1)}
        result["rows"].append(row | compare_masks(work / "peer", work / "peer_single").describe())
    for precision in options.precision:
        output = _fresh(work / f"ours_{precision}")
        started = time.perf_counter()
        predict.run(
            predict.Options(images, output, model=folder, device="cpu", precision=precision, postprocess=False),
            workspace,
        )
        row = {"masks": f"autoseg {precision}", "seconds": round(time.perf_counter() - started, 1)}
        result["rows"].append(row | compare_masks(work / "peer", output).describe())
        if options.single:
            row = {"masks": f"autoseg {precision} against single precision"}
            result["rows"].append(row | compare_masks(work / "peer_single", output).describe())
    if not options.skip_export:
        result["rows"].append(_export_and_predict(options, folder, images, model))
    (work / "import_peer.json").write_text(json.dumps(result, indent=2) + "\n")
    for row in result["rows"]:
        sys.stdout.write("  ".join(f"{key} {value}" for key, value in row.items()) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="interpreter of the environment with nnunetv2")
    parser.add_argument("--images", type=Path, required=True, help="folder of images, CASE_0000.nii.gz")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder")
    parser.add_argument("--model", type=Path, help="folder of a trained configuration of nnU-Net")
    parser.add_argument("--preprocessed", type=Path, help="nnUNet_preprocessed, for a model with random weights")
    parser.add_argument("--dataset", default=DATASET, help="its data set there")
    parser.add_argument("--configurations", nargs="*", default=[], help="of the model, to import")
    parser.add_argument("--cases", type=int, default=5, help="how many images")
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16", "auto"])
    parser.add_argument("--single", action="store_true", help="also compare with nnU-Net in single precision")
    parser.add_argument("--skip-export", action="store_true", help="do not let nnU-Net predict with our export")
    options = parser.parse_args()
    if options.model is None and options.preprocessed is None:
        parser.error("give --model, or --preprocessed for random weights")
    return options


def _first_images(source: Path, folder: Path, cases: int) -> Path:
    """Links to the images of the first cases."""
    _fresh(folder)
    names = sorted(path.name for path in source.iterdir() if "_0000." in path.name)[:cases]
    wanted = {name.rpartition("_0000.")[0] for name in names}
    for path in source.iterdir():
        if path.name.split(".")[0].rpartition("_")[0] in wanted:
            (folder / path.name).symlink_to(path.resolve())
    return folder


def _random_model(options: argparse.Namespace) -> Path:
    """The planned network with weights as nnU-Net initialises them."""
    folder = _fresh(options.work / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    request = {"task": "random_model", "dataset": options.dataset, "output": str(folder), "mirror_axes": [0, 1, 2]}
    environment = os.environ | {"nnUNet_preprocessed": str(options.preprocessed)}
    subprocess.run([options.peer, HERE / "_peer.py", json.dumps(request)], check=True, env=environment)
    return folder


def _peer_predict(
    options: argparse.Namespace, model: Path, images: Path, output: Path, *, single: bool = False
) -> float:
    """Seconds of nnU-Net's whole command."""
    _fresh(output)
    folds = sorted(path.name.removeprefix("fold_") for path in model.glob("fold_*"))
    program = options.peer.parent / "nnUNetv2_predict_from_modelfolder"
    command = [program, "-i", images, "-o", output, "-m", model, "-f", *folds, "-device", "cpu"]
    if single:
        command = [options.peer, "-c", SINGLE, images, output, model, *folds]
    started = time.perf_counter()
    with (options.work / "peer.log").open("ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env=dict(os.environ))
    return time.perf_counter() - started


def _export_and_predict(options: argparse.Namespace, folder: Path, images: Path, model: Model) -> dict[str, object]:
    """Masks of nnU-Net with our export, against those with its own model."""
    place = _fresh(options.work / "exported")
    export_command.run(export_command.Options(str(folder), place, format="nnunet"), Workspace(place))
    (configuration,) = model.selected
    exported = place / model.dataset / f"{model.method}__{configuration}"
    seconds = _peer_predict(options, exported, images, options.work / "peer_with_export")
    row = {"masks": "nnU-Net with autoseg's export", "seconds": round(seconds, 1)}
    return row | compare_masks(options.work / "peer", options.work / "peer_with_export").describe()


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
