"""The verbs beside the ten stages, thin (layer 6)."""
