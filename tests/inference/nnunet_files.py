"""Miniature results of nnU-Net v2 as it writes them, made without it: plans, labels, checkpoints."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.networks import networks
from autoseg.networks._peer_names import add_aliases
from autoseg.specs.plan import Topology

LABELS: dict[str, Any] = {"background": 0, "anterior": 1, "posterior": 2}
STATISTICS = {
    "max": 900.0,
    "mean": 210.5,
    "median": 200.0,
    "min": -3.0,
    "percentile_00_5": 10.0,
    "percentile_99_5": 800.0,
    "std": 55.25,
}
SPLINE = "resample_data_or_seg_to_shape"


def topology(dimensions: int, *, residual: bool = False) -> Topology:
    return Topology(
        features=(4, 6),
        strides=((1,) * dimensions, (2,) * dimensions),
        kernels=((3,) * dimensions,) * 2,
        encoder_blocks=(1, 2) if residual else (2, 2),
        decoder_blocks=(1,),
    )


def architecture(dimensions: int, *, residual: bool = False) -> dict[str, Any]:
    shape = topology(dimensions, residual=residual)
    blocks = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    kind = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": list(shape.features),
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
            "kernel_sizes": [list(kernel) for kernel in shape.kernels],
            "strides": [list(stride) for stride in shape.strides],
            blocks: list(shape.encoder_blocks),
            "n_conv_per_stage_decoder": list(shape.decoder_blocks),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def section(name: str, *, residual: bool = False, channels: int = 1) -> dict[str, Any]:
    dimensions = 2 if name == "2d" else 3
    coarse = 1.5 if name == "3d_lowres" else 1.0
    return {
        "data_identifier": f"nnUNetPlans_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8] * dimensions,
        "median_image_size_in_voxels": [12.5, 12.0, 13.0][3 - dimensions :],
        "spacing": [coarse] * dimensions,
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": SPLINE,
        "resampling_fn_seg": SPLINE,
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": SPLINE,
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": architecture(dimensions, residual=residual),
        "batch_dice": name == "2d",
    }


def plans(*, residual: bool = False, channels: int = 1) -> dict[str, Any]:
    made = {name: section(name, residual=residual, channels=channels) for name in ("2d", "3d_lowres", "3d_fullres")}
    made["3d_lowres"]["next_stage"] = "3d_cascade_fullres"
    made["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    return {
        "dataset_name": "Dataset901_Mini",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.25, 1.0, 1.0],
        "original_median_shape_after_transp": [11, 12, 13],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [2, 0, 1],
        "transpose_backward": [1, 2, 0],
        "configurations": made,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(index): STATISTICS for index in range(channels)},
    }


def dataset(**extra: Any) -> dict[str, Any]:
    return {
        "channel_names": {"0": "MRI"},
        "labels": LABELS,
        "numTraining": 20,
        "file_ending": ".nii.gz",
        "licence": "CC-BY-SA 4.0",
        **extra,
    }


def state(
    name: str, seed: int, *, heads: int = 3, channels: int = 1, residual: bool = False
) -> dict[str, torch.Tensor]:
    """Weights under nnU-Net's names, its aliases included."""
    shape = topology(2 if name == "2d" else 3, residual=residual)
    kind = "residual_encoder_unet" if residual else "plain_unet"
    torch.manual_seed(seed)
    network = networks.build(kind, {}, topology=shape, channels=channels, heads=heads)
    return OrderedDict(add_aliases({key: value.detach() for key, value in network.state_dict().items()}))


def checkpoint(name: str, weights: dict[str, torch.Tensor], **extra: Any) -> dict[str, Any]:
    """What nnU-Net's trainer saves: numpy numbers in the log, a device among the arguments."""
    axes = (0, 1) if name == "2d" else (0, 1, 2)
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [np.float64(0.5), np.float32(0.25)],
            "lrs": np.arange(3.0),
            "epoch_end_timestamps": [1.5],
        },
        "_best_ema": np.float64(0.7),
        "current_epoch": 1000,
        "init_args": {"plans": {}, "configuration": name, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": axes,
        **extra,
    }


def write_trained(
    root: Path,
    name: str,
    *,
    folds: tuple[str, ...] = ("0", "1"),
    spec: dict[str, Any] | None = None,
    labels: dict[str, Any] | None = None,
    heads: int = 3,
    residual: bool = False,
    **extra: Any,
) -> Path:
    """`nnUNetTrainer__nnUNetPlans__NAME` below `root`; `extra` replaces parts of the checkpoint."""
    folder = root / f"{extra.get('trainer_name', 'nnUNetTrainer')}__nnUNetPlans__{name}"
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(spec or plans(residual=residual)))
    (folder / "dataset.json").write_text(json.dumps(labels or dataset()))
    (folder / "dataset_fingerprint.json").write_text('{"spacings": [[1.0, 1.0, 1.0]]}')
    previous = 2 if name == "3d_cascade_fullres" else 0
    for fold in folds:
        weights = state(name, len(name) + sum(map(ord, fold)), heads=heads, channels=1 + previous, residual=residual)
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint(name, weights, **extra), folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder
