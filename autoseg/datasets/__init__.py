"""The contract of data sets: converters and submission formats, found by entry point (layer 3)."""
