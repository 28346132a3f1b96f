"""The ten stages; each reads documents and writes documents (layer 5)."""
