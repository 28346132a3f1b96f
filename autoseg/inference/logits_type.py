"""In which type logits are kept: a rule that the estimate of memory shares with what it estimates. No torch."""

FLOAT32_LIMIT_BYTES = 256 << 20
"""Larger logits are kept in float16 (as nnU-Net does for all), once their sums have been taken in float32."""


def are_half(elements: int, *, half: bool) -> bool:
    """Whether logits are kept in float16: where they are large, or are to be small in any case."""
    return half or 4 * elements > FLOAT32_LIMIT_BYTES


def logits_bytes(elements: int, *, half: bool) -> int:
    """Size of logits."""
    return elements * (2 if are_half(elements, half=half) else 4)
