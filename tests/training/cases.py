"""Preprocessed cases in memory for tests of the trainer."""

import numpy as np


class MemoryCase:
    """A bright ball in noise; label 1 is the ball."""

    annotated = None

    def __init__(self, case_id, *, shape=(12, 14, 16), channels=1):
        rng = np.random.default_rng(abs(hash_name(case_id)))
        grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"))
        centre = np.array(shape) / 2 + rng.uniform(-2, 2, 3)
        ball = ((grid - centre[:, None, None, None]) ** 2).sum(0) < 16
        self.case_id, self.shape, self.channels = case_id, shape, channels
        self.labels = ball.astype(np.int8)
        self.image = (rng.normal(size=(channels, *shape)) + 3 * ball).astype(np.float16)
        self.locations = {"ball": np.argwhere(ball)}

    def read_patch(self, start, stop):
        box = tuple(slice(first, last) for first, last in zip(start, stop, strict=True))
        return self.image[(slice(None), *box)], self.labels[box]


def hash_name(name):
    """Equal in every process, unlike `hash`."""
    return sum(ord(letter) * 31**index for index, letter in enumerate(name))
