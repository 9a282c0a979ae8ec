"""Memory for comparisons of full-size networks."""

import ctypes
import gc
import sys
from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def released(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of a full-size comparison outlives it: programs and arenas of a dozen would fill 24 GiB."""
    yield
    if request.node.get_closest_marker("parity"):
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
