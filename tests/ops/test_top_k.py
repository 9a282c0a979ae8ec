"""Selections against NumPy's sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.ops import neighbors


def _scores(kind: str, n: int = 6, m: int = 4096) -> np.ndarray:
    random = np.random.default_rng(5)
    if kind == "ties":
        return random.integers(0, 50, (n, m)).astype(np.float32)
    if kind == "all equal":
        return np.full((n, m), -2.5, np.float32)
    score = random.normal(size=(n, m)).astype(np.float32) * 10.0 ** random.integers(-30, 30, (n, 1)).astype(np.float32)
    if kind == "sorted":
        score = np.sort(score, 1)  # all of the lowest in a few blocks
    if kind == "infinite and zero":
        score[:, ::3], score[:, 1::3], score[:, 2::6] = np.inf, 0.0, -0.0
    return score


@pytest.mark.parametrize("select", [neighbors.lowest, neighbors.by_counting])
@pytest.mark.parametrize("kind", ["ties", "all equal", "normal", "sorted", "infinite and zero"])
@pytest.mark.parametrize("count", [30, 1500])
def test_the_lowest_of_long_rows_are_found(select, kind, count):
    score = _scores(kind)
    found, place = jax.jit(select, static_argnums=1)(jnp.asarray(score), count)
    np.testing.assert_array_equal(np.sort(found, 1), np.sort(score, 1)[:, :count])
    np.testing.assert_array_equal(np.take_along_axis(score, np.asarray(place), 1), found)
    assert all(len(set(row)) == count for row in np.asarray(place).tolist())


def test_counting_takes_the_first_of_equals():
    score = _scores("ties")
    _, place = jax.jit(neighbors.by_counting, static_argnums=1)(jnp.asarray(score), 30)
    np.testing.assert_array_equal(place, np.sort(np.argsort(score, 1, kind="stable")[:, :30], 1))


def test_a_row_may_be_taken_whole():
    score = _scores("normal", 3, 7)
    found, _ = jax.jit(neighbors.by_counting, static_argnums=1)(jnp.asarray(score), 7)
    np.testing.assert_array_equal(found, score)


def test_gpus_count_and_others_do_not():
    shape = jax.ShapeDtypeStruct((8, 4096), jnp.float32)

    def program(platform: str) -> str:
        return jax.export.export(jax.jit(lambda s: neighbors.lowest(s, 40)), platforms=[platform])(shape).mlir_module()

    assert "chlo.top_k" not in program("cuda")
    assert "stablehlo.sort" not in program("cuda")
    for platform in ("cpu", "tpu"):
        assert "chlo.top_k" in program(platform)
        assert "scatter" not in program(platform)
