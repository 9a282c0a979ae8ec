"""Main memory: let the process keep what XLA:CPU frees between steps, and measure how much is left."""

import ctypes
import os
import platform
import resource
import sys
from pathlib import Path

from mtsccd_jax.errors import InputError

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_GIBIBYTE = 1 << 30

# Files of a control group: limit, use, and the statistics with the page cache that the kernel can reclaim.
_GROUPS = Path("/sys/fs/cgroup")
_GROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, for its next step; return whether the C library (glibc) allows it.

    XLA:CPU allocates the temporaries of every step anew, 233 MB for ResNet-18 at 96 pixels and batch 32. By default
    glibc maps so large a block at every step and unmaps it afterwards, and the kernel clears its pages each time: 12 %
    of that step, in 57,000 page faults. With these settings there are none. Blocks up to 1 GiB come from one heap that
    is not trimmed, so the process keeps its largest size until it ends. Without glibc nothing changes.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # One heap for all threads: only the main heap can grow beyond 64 MiB, and XLA allocates in threads.
    settings = ((_MMAP_THRESHOLD, _GIBIBYTE), (_TRIM_THRESHOLD, 2 * _GIBIBYTE - 1), (_ARENA_MAX, 1))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def check_address_space() -> None:
    """Raise InputError where `ulimit -v` leaves so little that the readers of records wait for ever for their threads.

    They hang at 1.5 GB and work at 3.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < 2 * _GIBIBYTE:
        raise InputError(
            f"`ulimit -v` leaves this process {limit >> 20:,} MiB of addresses; with less than 2,048 its readers wait "
            "for ever: raise it (`ulimit -v unlimited`)"
        )


def available_bytes() -> int:
    """Return the bytes of main memory that this process can still take, with those of the page cache.

    On Linux this is MemAvailable, or less if the control group of the process leaves less. Elsewhere it is all free
    pages, or all pages where the system does not count the free ones (macOS).
    """
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        counted = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
        return os.sysconf(counted) * os.sysconf("SC_PAGE_SIZE")
    available = 1024 * _named_number(meminfo.read_text(), "MemAvailable:")
    for limit, used, statistics, cached in _GROUP_FILES:
        try:
            # No limit is the word "max" in version 2, and a huge number in version 1.
            left = int((_GROUPS / limit).read_text()) - int((_GROUPS / used).read_text())
            available = min(available, left + _named_number((_GROUPS / statistics).read_text(), cached))
        except (OSError, ValueError):
            continue
    return available


def _named_number(text: str, name: str) -> int:
    """Return the number on the line that begins with a name, or 0."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0)
