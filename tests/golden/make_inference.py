"""Make `inference.json` with nnU-Net v2 (2.8.1), in an environment that has it: python make_inference.py.

Windows, weights, an averaged prediction of a small fixed network, and masks exported from fixed logits.
"""

import base64
import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.utilities.label_handling.label_handling import LabelManager

EXPORTS = [
    # stored shape, spacing, cropped shape, native spacing, box start, full shape, transpose, regions
    ((12, 21, 17), (1.0, 1.0, 1.0), (21, 40, 30), (0.6, 0.55, 0.6), (1, 2, 3), (25, 44, 36), (0, 1, 2), False),
    ((12, 21, 17), (5.0, 1.0, 1.0), (17, 40, 30), (3.5, 0.55, 0.6), (0, 0, 0), (17, 40, 30), (1, 0, 2), False),
    ((12, 21, 17), (1.0, 1.0, 1.0), (9, 15, 12), (1.4, 1.4, 1.4), (2, 0, 1), (12, 15, 14), (2, 0, 1), True),
    ((12, 21, 17), (5.0, 1.0, 1.0), (15, 25, 19), (4.0, 0.85, 0.9), (2, 0, 1), (18, 26, 22), (2, 1, 0), True),
]


def smooth_logits(heads, shape, seed):
    """Noise on a coarse grid, interpolated: the same numbers in every numpy."""
    coarse = np.random.default_rng(seed).normal(size=(heads, 4, 5, 6))
    for axis, size in enumerate(shape, start=1):
        place = np.linspace(0, coarse.shape[axis] - 1, size)
        low = np.minimum(place.astype(int), coarse.shape[axis] - 2)
        weight = (place - low).reshape([-1 if other == axis else 1 for other in range(4)])
        coarse = coarse.take(low, axis) * (1 - weight) + coarse.take(low + 1, axis) * weight
    return (5 * coarse).astype(np.float32)


def packed(labels):
    return base64.b64encode(zlib.compress(np.ascontiguousarray(labels, np.uint8).tobytes(), 9)).decode()


def export(stored, spacing, cropped, native, start, full, transpose, regions):
    labels = {"background": 0, "whole": [1, 2], "core": 2} if regions else {"background": 0, "a": 1, "b": 2, "c": 3}
    manager = LabelManager(labels, regions_class_order=[1, 2] if regions else None)
    backward = [int(axis) for axis in np.argsort(transpose)]
    configuration = SimpleNamespace(
        spacing=list(spacing),
        resampling_fn_probabilities=lambda data, shape, before, after: resample_data_or_seg_to_shape(
            data, shape, before, after, is_seg=False, order=1, order_z=0, force_separate_z=None
        ),
    )
    plans = SimpleNamespace(transpose_forward=list(transpose), transpose_backward=backward)
    properties = {
        "spacing": [native[axis] for axis in backward],
        "shape_after_cropping_and_before_resampling": cropped,
        "shape_before_cropping": full,
        "bbox_used_for_cropping": [[first, first + size] for first, size in zip(start, cropped, strict=True)],
    }
    logits = torch.from_numpy(smooth_logits(manager.num_segmentation_heads, stored, 7))
    mask = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, configuration, manager, properties, num_threads_torch=1
    )
    return {
        "stored": stored,
        "spacing": spacing,
        "cropped": cropped,
        "native": native,
        "start": start,
        "full": full,
        "transpose": transpose,
        "regions": regions,
        "shape": mask.shape,
        "labels": packed(mask),
    }


def sliding():
    """A fixed convolution over a volume that needs several windows along two axes and padding along one."""
    generator = np.random.default_rng(3)
    network = torch.nn.Conv3d(2, 3, 3, padding=1)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(generator.normal(size=(3, 2, 3, 3, 3))))
        network.bias.copy_(torch.from_numpy(generator.normal(size=3)))
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    predictor.network = network
    predictor.allowed_mirroring_axes = (0, 2)
    predictor.configuration_manager = SimpleNamespace(patch_size=[8, 8, 8])
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=3)
    image = torch.from_numpy(generator.normal(size=(2, 13, 5, 19)).astype(np.float32))
    logits = predictor.predict_sliding_window_return_logits(image).float().numpy()
    return {"sample": [round(float(value), 4) for value in logits[:, ::3, ::2, ::3].ravel()]}


steps = [(size, patch, step) for size in (40, 41, 63, 110, 128, 200) for patch in (40, 32) for step in (0.5, 0.3, 1.0)]
gaussian = compute_gaussian((16, 24, 20), value_scaling_factor=10, device=torch.device("cpu")).float().numpy()
golden = {
    "steps": [
        [size, patch, step, compute_steps_for_sliding_window((size,), (patch,), step)[0]] for size, patch, step in steps
    ],
    "gaussian": [float(value) for value in gaussian[::5, ::6, ::5].ravel()],
    "sliding": sliding(),
    "exports": [export(*case) for case in EXPORTS],
}
Path(__file__).with_name("inference.json").write_text(json.dumps(golden) + "\n")
