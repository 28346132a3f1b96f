"""Typed documents: what the stages read and write (layer 1). Nothing here imports torch."""
