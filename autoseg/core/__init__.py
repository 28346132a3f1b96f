"""Foundations without domain knowledge: errors, geometry, labels, registry, workspace, workers, atomic files (layer 0)."""
