"""The trainer: loop, loader, optimiser, checkpoints (layer 4)."""
