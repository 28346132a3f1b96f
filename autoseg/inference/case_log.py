"""`predict.jsonl`: what happened to each case of a region-of-interest cascade, one line each; the last one holds."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path

from autoseg.core.atomic import named_disk_errors
from autoseg.inference.region import Story

CASE_LOG = "predict.jsonl"


class CaseLog:
    """Appends a line per case; several threads may write.

    Args:
        folder: Where the masks go.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / CASE_LOG
        self._lock = threading.Lock()

    def write(self, case_id: str, story: Story) -> None:
        """Note one case.

        Raises:
            AutosegError: The disk is full, or the folder cannot be written.
        """
        values = {"case": case_id, **asdict(story)}
        values |= {"organ_ml": round(story.organ_ml, 1), "seconds": round(story.seconds, 2)}
        with self._lock, named_disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
