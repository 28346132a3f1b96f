"""What this machine has: memory, threads, bfloat16, step time (layer 2)."""
