"""A network of seconds for the protocols, as it was born."""

from dataclasses import replace

import pytest

from mtsccd_jax.config import Model
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_embed_step


@pytest.fixture(scope="session")
def born(recipe, scenes, tmp_path_factory):
    """A small network with 16 places in its last map, untrained; each call is a copy with other change settings."""
    parallel = make_parallel("jit")
    small = replace(recipe, model=Model("scnn", width=0.25))
    network = create(small, tuple(sorted(entry.name for entry in scenes.iterdir())), 1, parallel)
    state = network.initial(0)
    embed_step = parallel.compile_outputs(make_embed_step(network, small.data))

    def make(**change):
        settings = replace(small, change=replace(small.change, **{"resamples": 20, **change}))
        return Trained(settings, tmp_path_factory.mktemp("born"), network, parallel, state, embed_step)

    return make
