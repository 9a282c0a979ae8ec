"""Freed memory is used again instead of being mapped anew; in processes of their own, since the setting stays."""

import platform
import subprocess
import sys

import pytest

# Page faults of filling 64 MiB for the second time, in a thread as XLA does, after the first was freed.
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
    """Page faults with the setting or without."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, setting], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_memory_that_was_freed_is_not_mapped_anew() -> None:
    assert faults("keep") < 100 < faults("return")
