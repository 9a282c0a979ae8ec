"""The memory of the devices: what is free before a run, and what a compiled program takes, known without running it."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.host_memory import available_bytes

# A program may take this share of what is free: the rest is lost between blocks and to libraries.
USABLE_SHARE = 0.95


def free_bytes(parallel: Parallel) -> int:
    """Bytes free on the fullest device of all processes; devices that do not say (CPU) share the host's main memory."""
    devices = parallel.mesh.local_devices
    stats = [device.memory_stats() for device in devices]
    if all(item and "bytes_limit" in item for item in stats):
        free = min(item["bytes_limit"] - item["bytes_in_use"] for item in stats)
    else:
        free = available_bytes() // len(devices)
    if jax.process_count() == 1:
        return free
    # Every process must come to the same decisions. Megabytes, as JAX gathers 32-bit numbers.
    return int(np.min(multihost_utils.process_allgather(np.int32(free >> 20)))) << 20


def usable_bytes(parallel: Parallel) -> int:
    """Return the bytes of each device that a program may take."""
    return int(USABLE_SHARE * free_bytes(parallel))


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Bytes of each device that a call takes at most: arguments, results and temporaries; None if nobody says.

    Results in the place of donated arguments count once. Resident arrays among the arguments count as well.
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
