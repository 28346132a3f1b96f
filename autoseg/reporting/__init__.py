"""Tables and figures (layer 4)."""
