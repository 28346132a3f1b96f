"""Seeds depend on every part, and on nothing else."""

from autoseg.core.seeds import derive_seed


def test_seed_is_fixed_for_ever():
    assert derive_seed(0, "train", 1) == 5114845778757345467


def test_order_and_boundaries_of_parts_count():
    seeds = {derive_seed("a", "bc"), derive_seed("ab", "c"), derive_seed("c", "ab"), derive_seed("abc")}
    assert len(seeds) == 4
