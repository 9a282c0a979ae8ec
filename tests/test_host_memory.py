"""Freed memory is used again; the memory that is left is known also in containers and without Linux."""

import os
import platform
import resource
import subprocess
import sys

import pytest

from mtsccd_jax import host_memory
from mtsccd_jax.errors import InputError
from mtsccd_jax.host_memory import available_bytes, check_address_space

# Count the page faults of filling 64 MiB again after they were freed, in a thread, as XLA does. A process of its own,
# because the setting cannot be undone.
PROGRAM = """
import ctypes, resource, sys, threading
from mtsccd_jax.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()

def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ctypes.memset(ctypes.create_string_buffer(64 << 20), 1, 64 << 20)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

faults = []
def twice():
    fill()
    fill()
thread = threading.Thread(target=twice)
thread.start()
thread.join()
print(faults[1])
"""


def faults(setting: str) -> int:
    """Return the page faults with the setting ("keep") or without."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, setting], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_not_mapped_again() -> None:
    assert faults("keep") < 100 < faults("return")


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
@pytest.mark.parametrize(
    ("files", "left"),
    [
        (
            {"memory.max": "5000000", "memory.current": "3000000", "memory.stat": "anon 7\ninactive_file 40000"},
            2_040_000,
        ),
        ({"memory.max": "max", "memory.current": "3000000", "memory.stat": "inactive_file 40000"}, None),
        ({"memory.max": "5000000"}, None),
        (
            {
                "memory/memory.limit_in_bytes": "9000000",
                "memory/memory.usage_in_bytes": "2000000",
                "memory/memory.stat": "cache 9\ntotal_inactive_file 1000000",
            },
            8_000_000,
        ),
        ({}, None),
    ],
    ids=["limited", "without a limit", "incomplete", "version 1", "no group"],
)
def test_a_container_has_what_its_control_group_leaves(tmp_path, monkeypatch, files, left) -> None:
    monkeypatch.setattr(host_memory, "_GROUPS", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    if left is None:
        assert available_bytes() > 50_000_000, "all that the machine has free"
    else:
        assert available_bytes() == left


@pytest.mark.parametrize(("names", "pages"), [(("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"), 3), (("SC_PHYS_PAGES",), 10)])
def test_without_linux_pages_are_counted(tmp_path, monkeypatch, names, pages) -> None:
    monkeypatch.setattr(host_memory, "Path", lambda path: tmp_path / "none")
    monkeypatch.setattr(os, "sysconf_names", names)
    monkeypatch.setattr(os, "sysconf", {"SC_AVPHYS_PAGES": 3, "SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available_bytes() == 4096 * pages


@pytest.mark.parametrize(("limit", "is_enough"), [(resource.RLIM_INFINITY, True), (3 << 30, True), (3 << 29, False)])
def test_too_few_addresses_are_told(monkeypatch, limit, is_enough):
    """Where the readers of records would wait for ever."""
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, limit))
    if is_enough:
        check_address_space()
    else:
        with pytest.raises(InputError, match=r"^`ulimit -v` leaves this process 1,536 MiB of addresses"):
            check_address_space()
