"""Stochastic depth of EfficientNet, which is part of the published network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_networks import abstract, evaluating

from mtsccd_jax.models.efficientnet import Architecture, EfficientNet, Stage
from mtsccd_jax.models.network import PUBLISHED, Signature


def test_deeper_blocks_are_dropped_more_often() -> None:
    model = abstract("efficientnet_b0")
    blocks = [block for stage in model.stages for block in stage]
    rates = {i: block.drop.rate for i, block in enumerate(blocks) if block.drop is not None}
    assert rates == pytest.approx({i: 0.2 * i / 16 for i in (2, 4, 6, 7, 9, 10, 12, 13, 14)})


def test_what_is_dropped_depends_on_the_example() -> None:
    architecture = Architecture(stem=4, stages=(Stage(1, 3, 1, 4, 2),), last=8, dropout=0.0, stochastic_depth=1.0)
    model = EfficientNet(architecture, Signature(3, 32), PUBLISHED, rngs=nnx.Rngs(0))
    evaluated = evaluating(model)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(1, 32, 32, 3)).repeat(8, 0), jnp.float32)
    dropping = nnx.view(evaluated, example_keys=jax.random.split(jax.random.key(0), 8))
    forward = jax.jit(lambda model, image: model(image).logits)
    assert np.ptp(forward(evaluated, image), axis=0).max() < 1e-6
    assert np.ptp(forward(dropping, image), axis=0).max() > 1e-3
