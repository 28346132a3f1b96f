"""Overlap, surface and lesion scores, empty-case policies, scoring protocols (layer 3)."""

from autoseg.metrics.case import evaluate_case

__all__ = ["evaluate_case"]
