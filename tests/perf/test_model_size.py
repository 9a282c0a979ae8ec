"""The sizes that the networks are described with."""

import pytest

from mtsccd_jax.models import MODELS, describe_models
from mtsccd_jax.perf.model_size import model_size


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("resnet18", "googlenet", "vit_tiny_patch16"), id="some"),
        pytest.param(tuple(MODELS), id="all", marks=pytest.mark.parity),
    ],
)
def test_sizes_are_those_of_the_networks(names: tuple[str, ...]) -> None:
    described = {entry["name"]: entry for entry in describe_models()}
    for name in names:
        assert described[name] == {"name": name, **model_size(name), "source": MODELS[name].source}
