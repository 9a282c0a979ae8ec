"""Main memory: what the C library does with what XLA:CPU frees between steps, and how much is left."""

import ctypes
import os
import platform
import sys
from pathlib import Path

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_GIBIBYTE = 1 << 30

# What a container may take, as it sees it: limit, use, and which of the use is page cache that can be given up.
_GROUPS = Path("/sys/fs/cgroup")
_GROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def keep_freed_memory() -> bool:
    """Whether freed memory now stays with the process, to be used again by its next step.

    XLA:CPU allocates the temporaries of a step anew every time, 233 MB for ResNet-18 at 96 pixels and batch 32. glibc
    maps so large a block for every step and unmaps it after, and the kernel clears every page again: 12 % of that step
    and 57,000 page faults, which become none. Blocks up to 1 GiB then come from one heap that is not trimmed, so the
    process keeps its largest size until it ends. Only glibc is known to have these settings; elsewhere nothing changes.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Only the main heap can grow without bound. XLA allocates in threads, which would get heaps of 64 MiB of their own.
    settings = ((_MMAP_THRESHOLD, _GIBIBYTE), (_TRIM_THRESHOLD, 2 * _GIBIBYTE - 1), (_ARENA_MAX, 1))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def available_bytes() -> int:
    """Bytes of main memory that this process may still take, those of the page cache included.

    That is what Linux calls MemAvailable, or less where the control group of the process leaves less; elsewhere all
    free pages, or all there are where nobody counts the free ones (macOS).
    """
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        counted = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
        return os.sysconf(counted) * os.sysconf("SC_PAGE_SIZE")
    available = 1024 * _named_number(meminfo.read_text(), "MemAvailable:")
    for limit, used, statistics, cached in _GROUP_FILES:
        try:
            # No limit is the word "max" in version 2, and a number beyond any memory in version 1.
            left = int((_GROUPS / limit).read_text()) - int((_GROUPS / used).read_text())
            available = min(available, left + _named_number((_GROUPS / statistics).read_text(), cached))
        except (OSError, ValueError):
            continue
    return available


def _named_number(text: str, name: str) -> int:
    """The number behind a name at the beginning of a line."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0)
