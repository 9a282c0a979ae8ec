"""One test session: eight fake CPU devices, no display, temporary files and compiled programs of its own."""

import os
import tempfile
from pathlib import Path

import pytest

# Before anything imports JAX, matplotlib or TFDS (which leaves empty folders in TMPDIR).
os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="mtsccd-jax-tests-")
tempfile.tempdir = None
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.environ["TMPDIR"], "compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, or a skip where MTSCCD_REAL_DATA names none."""
    place = os.environ.get("MTSCCD_REAL_DATA")
    if not place:
        pytest.skip("MTSCCD_REAL_DATA is not set: no real images here")
    return Path(place)
