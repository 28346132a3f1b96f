"""Arrays in, arrays out: crop, pad, resample, components, orientation (layer 2)."""
