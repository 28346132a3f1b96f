"""From a raw case to a stored one, as a function of arrays (layer 4)."""
