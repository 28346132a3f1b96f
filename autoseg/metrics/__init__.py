"""Overlap, surface and lesion scores, empty-case policies, scoring protocols (layer 3)."""
