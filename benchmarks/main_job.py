"""Measure the main job alone, the subset of `benchmarks.run` that needs no other data than the hippocampus.

python -m benchmarks.main_job [the options of benchmarks.run]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.run import main

MAIN_JOB = ("help", "prepare", "step", "memory", "predict_hippocampus", "evaluate")


def arguments(given: Sequence[str]) -> list[str]:
    """The given options, and these rows where none were chosen."""
    return [*given] if "--only" in given else [*given, "--only", *MAIN_JOB]


if __name__ == "__main__":
    sys.exit(main(arguments(sys.argv[1:])))
