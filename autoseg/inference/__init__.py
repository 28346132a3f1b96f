"""Sliding window, mirroring, averaging, streamed export (layer 4)."""
