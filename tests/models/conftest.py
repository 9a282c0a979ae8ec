"""Memory and time for comparisons of full-size networks."""

import ctypes
import gc
import sys
from collections.abc import Iterator

import jax
import pytest

# What differs from a smaller relative in depth or width alone, and takes longest to compare.
LARGEST = (
    *("resnet101", "resnet152", "densenet169", "densenet201", "vgg16", "vgg19"),
    *("vit_small", "vit_base", "convnextv2_tiny", "convnextv2_base", "mlp_mixer_base"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the comparisons of the largest networks as slow, too."""
    for item in items:
        if item.get_closest_marker("parity") and any(name in item.name for name in LARGEST):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def released(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of a full-size comparison outlives it: programs and arenas of a dozen would fill 24 GiB."""
    yield
    if request.node.get_closest_marker("parity"):
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
