"""Memory of the devices: how much is free, and how much a compiled program will take."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.errors import InputError
from mtsccd_jax.host_memory import available_bytes

# Largest share of the free memory for a program; the rest is lost to fragmentation and to libraries.
USABLE_SHARE = 0.95


def free_bytes(parallel: Parallel) -> int:
    """Return the free bytes of the fullest device of all processes; CPU devices share main memory equally."""
    devices = parallel.mesh.local_devices
    stats = [device.memory_stats() for device in devices]
    if all(item and "bytes_limit" in item for item in stats):
        free: int = min(item["bytes_limit"] - item["bytes_in_use"] for item in stats)
    else:
        free = available_bytes() // len(devices)
    if jax.process_count() == 1:
        return free
    # All processes must take the same decisions. In MiB, because JAX gathers 32-bit numbers.
    return int(np.min(multihost_utils.process_allgather(np.int32(free >> 20)))) << 20


def usable_bytes(parallel: Parallel) -> int:
    """Return how many bytes of each device a program may take."""
    return int(USABLE_SHARE * free_bytes(parallel))


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Return the bytes of each device that a call takes, or None if the compiler does not report them.

    Arguments (resident arrays included), results and temporaries count. A result that replaces a donated argument
    counts once.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
        + analysis.temp_size_in_bytes
    )


def reported(needed: int | None) -> int:
    """Return the bytes that a program takes; raise InputError where the compiler does not report them."""
    if needed is None:
        raise InputError("--batch auto: this compiler does not say what memory a program takes; give --batch N")
    return needed
