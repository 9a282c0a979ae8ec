"""Weights drawn flat are the weights drawn in shape."""

import jax
import numpy as np
import pytest

from mtsccd_jax.models.layers.initializers import normal, uniform


def test_the_numbers_are_those_of_jax_random() -> None:
    key, shape = jax.random.key(3), (3, 5, 7)
    np.testing.assert_array_equal(normal(0.5)(key, shape), 0.5 * jax.random.normal(key, shape))
    np.testing.assert_array_equal(uniform(0.5)(key, shape), jax.random.uniform(key, shape, minval=-0.5, maxval=0.5))


def test_the_spread_is_as_asked() -> None:
    assert np.std(normal(0.02)(jax.random.key(0), (200, 200))) == pytest.approx(0.02, rel=0.02)
    values = np.asarray(uniform(0.1)(jax.random.key(0), (200, 200)))
    assert -0.1 <= values.min() < -0.099
    assert 0.099 < values.max() < 0.1
