"""Flags and threads of the processor."""

from pathlib import Path

from autoseg.core.workers import default_workers
from autoseg.devices.cpu import cpu_flags, thread_count


def test_flags_of_the_first_processor(tmp_path: Path) -> None:
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor : 1\nflags : fpu\n")
    assert cpu_flags(listing) == {"fpu", "avx2", "avx512_bf16"}
    listing.write_text("Features : fp asimd bf16\n")
    assert cpu_flags(listing) == {"fp", "asimd", "bf16"}
    assert cpu_flags(tmp_path / "missing") == frozenset()


def test_threads_under_a_quota(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    assert thread_count(quota) == default_workers()
    quota.write_text("max 100000\n")
    assert thread_count(quota) == default_workers()
    quota.write_text("50000 100000\n")
    assert thread_count(quota) == 1
    quota.write_text("99900000 100000\n")
    assert thread_count(quota) == default_workers()
