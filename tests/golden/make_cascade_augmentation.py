"""Write `cascade_augmentation.json`: what nnU-Net v2's cascade augmentation does to previous labels.

Run in an environment with nnunetv2, which brings batchgeneratorsv2:
`python make_cascade_augmentation.py > cascade_augmentation.json`. The tests take `subject` and `statistics` from here.
"""

import hashlib
import json

import numpy as np

DRAWS = 1500
VALUES = (1, 3)
RADII = (1, 2, 3, 5)
OPERATORS = ("dilate", "erode", "close", "open")
SIZES = (0.01, 0.5, 0.8, 0.97, 1.0, 1.03, 1.5, 2.5, 5.0)


def subject():
    """(Z, Y, X) labels: an organ of value 1 with a hole, at the border, lesions of value 3 in it, islands of both."""
    labels = np.zeros((28, 32, 36), np.int16)
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in labels.shape], indexing="ij"))

    def ball(centre, radius):
        return ((grid - np.array(centre)[:, None, None, None]) ** 2).sum(0) <= radius**2

    labels[ball((10, 14, 6), 11)] = 1
    labels[ball((8, 10, 6), 2)] = 0
    labels[ball((14, 18, 8), 3)] = 3
    labels[ball((22, 26, 30), 2)] = 1
    labels[ball((3, 27, 28), 4)] = 3
    labels[25:, :3, :2] = 1
    return labels


def digest(mask):
    """Of a binary array."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]


def statistics(before, after):
    """Per value: voxels now per voxel before."""
    return {str(value): float((after == value).sum() / (before == value).sum()) for value in VALUES}


def figures(results):
    """Share of draws that change nothing, and per value the shares that leave less than each of `SIZES`."""
    found = {"unchanged": float(np.mean([all(size == 1 for size in one.values()) for one in results]))}
    for value in map(str, VALUES):
        sizes = np.array([one[value] for one in results])
        found[value] = [round(float((sizes < limit).mean()), 4) for limit in SIZES]
    return found


def main():
    import torch
    from batchgeneratorsv2.transforms.nnunet import random_binary_operator as peer
    from batchgeneratorsv2.transforms.nnunet.remove_connected_components import (
        RemoveRandomConnectedComponentFromOneHotEncodingTransform,
    )
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform
    from skimage.morphology import ball

    torch.set_num_threads(1)
    np.random.seed(0)
    torch.manual_seed(0)
    labels = subject()
    functions = (
        peer.binary_dilation_torch,
        peer.binary_erosion_torch,
        peer.binary_closing_torch,
        peer.binary_opening_torch,
    )
    exact = {
        f"{value} {name} {radius}": digest(
            function(torch.from_numpy(labels == value), torch.from_numpy(ball(radius, dtype=bool))).numpy()
        )
        for value in VALUES
        for name, function in zip(OPERATORS, functions, strict=True)
        for radius in RADII
    }
    channels = list(range(-len(VALUES), 0))
    operator = peer.ApplyRandomBinaryOperatorTransform(channel_idx=channels, strel_size=(1, 8), p_per_label=0.5)
    removal = RemoveRandomConnectedComponentFromOneHotEncodingTransform(
        channel_idx=list(channels),
        fill_with_other_class_p=0,
        dont_do_if_covers_more_than_x_percent=0.15,
        p_per_label=0.5,
    )
    chain = ComposeTransforms(
        [RandomTransform(operator, apply_probability=0.4), RandomTransform(removal, apply_probability=0.2)]
    )
    one_hot = torch.stack([torch.from_numpy(labels == value).float() for value in VALUES])
    results = []
    for _ in range(DRAWS):
        after = chain(image=one_hot.clone())["image"]
        if float(after.sum(0).max()) > 1:
            raise RuntimeError("a voxel has two labels: a label map cannot say this")
        merged = sum(value * channel.numpy() for value, channel in zip(VALUES, after, strict=True))
        results.append(statistics(labels, merged))
    print(json.dumps({"exact": exact, "figures": figures(results)}, indent=1))


if __name__ == "__main__":
    main()
