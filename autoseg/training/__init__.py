"""The trainer: loop, loader, optimiser, schedule, checkpoints (layer 4)."""
