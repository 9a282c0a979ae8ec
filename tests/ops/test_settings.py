"""Whatever a process sets for JAX, on any number of devices and in any thread, results are those by default."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import jax
import numpy as np
import pytest
from calls_of_ops import CALLS as PLAIN
from calls_of_ops import X, Y

from mtsccd_jax.ops.distance import nearest_neighbors

N = 37
CALLS = PLAIN | {"nearest inside jit": lambda n: jax.jit(lambda x, y: nearest_neighbors(x, y, 5))(X[:n], Y[:n])}
SETTINGS = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_enable_custom_prng": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_debug_nans": True,
    "jax_disable_jit": True,
}


@cache
def by_default(name: str) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(CALLS[name](N))]


def check(name: str) -> None:
    made = [np.asarray(leaf) for leaf in jax.tree.leaves(CALLS[name](N))]
    for value, expected in zip(made, by_default(name), strict=True):
        assert value.dtype == expected.dtype
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CALLS)
def test_results_do_not_depend_on_a_setting(name, setting):
    by_default(name)
    before = jax.config.values[setting]
    jax.config.update(setting, SETTINGS[setting])
    try:
        check(name)
    finally:
        jax.config.update(setting, before)


@pytest.mark.parametrize("devices", [3, 5])
@pytest.mark.parametrize("name", ["paired", "pairwise", "nearest"])
def test_results_do_not_depend_on_the_number_of_devices(name, devices, monkeypatch):
    by_default(name)
    some = jax.local_devices()[:devices]
    monkeypatch.setattr(jax, "local_devices", lambda: some)
    check(name)


@pytest.mark.parametrize("name", CALLS)
def test_results_do_not_depend_on_the_thread(name):
    with ThreadPoolExecutor(1) as thread:
        thread.submit(check, name).result()
