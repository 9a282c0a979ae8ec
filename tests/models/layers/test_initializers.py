"""Weights drawn flat are the weights drawn in shape."""

import jax
import numpy as np

from mtsccd_jax.models.layers.initializers import normal, uniform


def test_the_numbers_are_those_of_jax_random() -> None:
    key, shape = jax.random.key(3), (3, 5, 7)
    np.testing.assert_array_equal(normal(0.5)(key, shape), 0.5 * jax.random.normal(key, shape))
    np.testing.assert_array_equal(uniform(0.5)(key, shape), jax.random.uniform(key, shape, minval=-0.5, maxval=0.5))
