"""Foundations without domain knowledge: errors, geometry, labels, registry, workspace, workers (layer 0)."""
