"""Memory and time for comparisons of full-size networks, and small variants of networks."""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import pytest
from peers import VARIANTS

from mtsccd_jax.models import MODELS, Settings

# These differ from a smaller network of their family in depth or width alone, and take longest to compare.
LARGEST = (
    *("resnet34", "resnet101", "resnet152", "densenet169", "densenet201", "vgg16", "vgg19", "mobilevit_s-"),
    *("mobilevit_xs-", "vit_small", "vit_base", "convnextv2_tiny", "convnextv2_base", "mlp_mixer_base"),
)


# The training step of these takes longest; their small variants are compared as well.
LONGEST_STEPS = tuple(f"test_one_training_step_equals_the_reference[{name}-" for name in ("densenet121", "vgg11"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the longest full-size comparisons as slow, too."""
    for item in items:
        is_large = any(name in item.name for name in LARGEST) or item.name.startswith(LONGEST_STEPS)
        if item.get_closest_marker("parity") and is_large:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def released(request: pytest.FixtureRequest) -> Iterator[None]:
    """Free the programs and memory of a full-size comparison: a dozen of them would fill 24 GiB."""
    yield
    if request.node.get_closest_marker("parity"):
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def small_variant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Settings]]:
    """Return a function that makes the small variant of a network in torch and gives ours the same architecture."""

    def make(name: str, image_size: int, **given: Any) -> tuple[Any, Settings]:
        variant = VARIANTS[name]
        reference = variant.make(image_size, **given)
        architecture = replace(MODELS[name].architecture, **variant.architecture)
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], architecture=architecture))
        return reference, Settings(variant.width)

    return make
