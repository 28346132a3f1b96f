"""Pure rules from a fingerprint to a plan, without disk (layer 4)."""
