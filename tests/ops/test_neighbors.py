"""The search round a ring of devices, and the products that it starts from."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from sklearn.neighbors import NearestNeighbors

from mtsccd_jax.ops import distance, distance_kernels, neighbors

EUCLIDEAN = distance_kernels.Space(angular=False, square_root=True)


def _mesh(devices: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:devices]), ("row",), axis_types=(AxisType.Auto,))


def _plan(k: int, *, coarse: bool = False) -> neighbors.Plan:
    return neighbors.Plan(k, EUCLIDEAN, *distance._SIZES["cpu"], coarse)


def _program(k: int, n: int, m: int, width: int, devices: int) -> tuple:
    mesh = _mesh(devices)
    sharding = jax.NamedSharding(mesh, jax.P("row"))
    shapes = [
        jax.ShapeDtypeStruct((-(-rows // devices) * devices, width), jnp.float32, sharding=sharding) for rows in (n, m)
    ]
    return distance._compiled(neighbors.search, _plan(k), 2, 0, mesh), [*shapes, np.int32(n), np.int32(m)]


PRODUCTS = {coarse: jax.jit(partial(distance_kernels.first_product, coarse=coarse)) for coarse in (False, True)}
ROUNDINGS = {coarse: jax.jit(partial(distance_kernels.first_rounding, coarse=coarse)) for coarse in (False, True)}
SPLIT_PRODUCT = jax.jit(distance_kernels.split_product)


@pytest.mark.parametrize("kind", ["normal", "constant", "one sign", "unlike lengths"])
def test_first_products_err_less_than_their_bounds(kind):
    width = 1024
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, width)), random.normal(size=(50, width))
    if kind == "constant":
        x, y = x[:, :1] * np.ones(width), y[:, :1] * np.ones(width)
    if kind == "one sign":
        x, y = abs(x), abs(y)
    if kind == "unlike lengths":
        x *= 10.0 ** random.uniform(-3, 3, (40, 1))
    x, y = x.astype(np.float32), y.astype(np.float32)
    exact = x.astype(np.float64) @ y.astype(np.float64).T
    length = ((x.astype(np.float64) ** 2).sum(1)[:, None] + (y.astype(np.float64) ** 2).sum(1)) / 2
    for product, bound in (
        (SPLIT_PRODUCT(x, y), distance_kernels.split_rounding(width)),
        *((PRODUCTS[coarse](x, y), float(ROUNDINGS[coarse](x, y))) for coarse in (False, True)),
    ):
        assert (abs(np.asarray(product) - exact) / length).max() < bound


def test_the_bound_of_a_coarse_product_holds_across_devices():
    # What one device's queries and another's gallery lose is more than either device loses by itself.
    x = np.random.default_rng(4).normal(size=(4, 64)).astype(np.float32)
    x[2:] = 1  # a bfloat16 number
    y = x[::-1]
    spread = jax.shard_map(
        partial(distance_kernels.first_rounding, coarse=True, axis="row"),
        mesh=_mesh(2),
        in_specs=(jax.P("row"), jax.P("row")),
        out_specs=jax.P(),
        check_vma=False,
    )
    whole = ROUNDINGS[True](x, y)
    assert whole > 1.5 * max(ROUNDINGS[True](x[:2], y[:2]), ROUNDINGS[True](x[2:], y[2:]))
    np.testing.assert_allclose(jax.jit(spread)(x, y), whole, rtol=1e-6)


def test_a_coarse_first_product_changes_nothing():
    random = np.random.default_rng(1)
    x, y = (random.normal(size=(n, 32)).astype(np.float32) for n in (40, 700))
    y[:300] = x[0] + 0.01 * y[:300]  # closer than bfloat16 can tell, and more of them than are proposed
    near, index = jax.jit(partial(neighbors.search, _plan(5, coarse=True)))(x, y, 40, 700)
    exact = np.sqrt(((x[:, None].astype(np.float64) - y) ** 2).sum(-1))
    np.testing.assert_array_equal(index, np.argsort(exact, 1)[:, :5])
    np.testing.assert_allclose(near, np.sort(exact, 1)[:, :5], rtol=1e-6)


def test_neighbors_agree_with_scikit_learn_on_three_devices_and_in_chunks(monkeypatch):
    k = 30
    random = np.random.default_rng(2)
    x, y = (random.normal(size=(n, 16)).astype(np.float32) for n in (37, 101))
    expected = NearestNeighbors(algorithm="brute").fit(y.astype(np.float64)).kneighbors(x.astype(np.float64), k)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:3])
    # Of 13 queries and 34 rows a device; a chunk of rows holds fewer than are asked for.
    monkeypatch.setitem(distance._SIZES, "cpu", distance._Sizes(5, 16, 1 << 21))
    near, index = distance.nearest_neighbors(x, y, k)
    np.testing.assert_array_equal(index, expected[1])
    np.testing.assert_allclose(near, expected[0], rtol=1e-6)


def test_a_gallery_smaller_than_the_ring():
    x = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)
    near, index = distance.nearest_neighbors(x, x[:3], 3)
    exact = np.sqrt(((x[:, None].astype(np.float64) - x[:3]) ** 2).sum(-1))
    np.testing.assert_array_equal(index, np.argsort(exact, 1))
    np.testing.assert_allclose(near, np.sort(exact, 1), rtol=1e-6)


def test_what_lies_on_the_host_is_spread_in_shares():
    x = np.arange(26, dtype=np.float32).reshape(13, 2)
    spread = distance._spread(x, _mesh(8))
    assert [shard.data.shape for shard in spread.addressable_shards] == [(2, 2)] * 8
    np.testing.assert_array_equal(spread[:13], x)
    np.testing.assert_array_equal(spread[13:], np.repeat(x[-1:], 3, 0))


def test_no_device_holds_a_side_whole_nor_all_distances():
    search, shapes = _program(100, 110_000, 110_000, 2048, 8)
    whole = 4 * 110_000 * 2048
    sizes = search.lower(*shapes).compile().memory_analysis()
    assert sizes.argument_size_in_bytes <= 2 * whole / 8 * 1.01
    # Of it 2 x 268 MB are scores, whatever the gallery's size; a device's share of all distances is 6 GB.
    assert sizes.temp_size_in_bytes < 1.2 * whole


def test_the_ring_lowers_for_gpus_with_bfloat16_products():
    search, shapes = _program(20, 1000, 9000, 64, 8)
    module = jax.export.export(search, platforms=["cuda"])(*shapes).mlir_module()
    products = [line for line in module.splitlines() if "stablehlo.dot_general" in line]
    assert products
    assert all("bf16" in line for line in products)
    assert "collective_permute" in module
