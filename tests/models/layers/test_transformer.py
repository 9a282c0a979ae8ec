"""Attention against plain softmax in float64, and what it is lowered to for other platforms."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mtsccd_jax.models.layers import transformer
from mtsccd_jax.models.layers.transformer import Attention, Block, attend, attend_even, has_flash_devices, takes_flash

FLASH = "__cudnn$fmhaSoftmax"


@pytest.fixture
def gpu_host(monkeypatch):
    """Make JAX and this project believe that the machine has CUDA devices with cuDNN."""
    cudnn = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo", reason="JAX keeps cuDNN's call elsewhere")
    if not hasattr(cudnn, "check_cudnn_version"):
        pytest.skip("JAX asks for cuDNN in another way, and cannot be made to believe in it")
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91_000)
    monkeypatch.setattr(transformer, "has_flash_devices", lambda: True)


def queries(shape, dtype=jnp.bfloat16) -> list[jax.Array]:
    normal = np.random.default_rng(0).normal(size=(3, *shape))
    return [jnp.asarray(array.astype(dtype)) for array in normal]


def with_gradients(query, key, value, attention=attend):
    def loss(*qkv):
        return (attention(*qkv).astype(jnp.float32) ** 2).sum()

    return jax.value_and_grad(loss, argnums=(0, 1, 2))(query, key, value)


def lowered(function, platform, *arguments) -> str:
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)])
def test_attention_is_the_mean_of_values_by_softmax(dtype, tolerance):
    query, key, value = queries((2, 7, 3, 8), dtype)
    q, k, v = (np.asarray(array, np.float64) for array in (query, key, value))
    weight = np.exp(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(8))
    expected = np.einsum("bhnm,bmhd->bnhd", weight / weight.sum(-1, keepdims=True), v)
    found = jax.jit(attend)(query, key, value)
    assert found.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("tokens", [4, 7])
def test_a_token_that_makes_the_number_even_changes_nothing(tokens):
    qkv = queries((2, tokens, 3, 8), jnp.float32)
    even = partial(attend_even, implementation="xla")
    found, expected = jax.jit(lambda *qkv: (with_gradients(*qkv, attention=even), with_gradients(*qkv)))(*qkv)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# 197: patches of 16 pixels at 224, and the class token.
@pytest.mark.parametrize("tokens", [197, 256])
def test_cuda_takes_flash_attention_forward_and_backward(gpu_host, tokens):
    qkv = queries((2, tokens, 3, 64))
    forward, both = lowered(attend, "cuda", *qkv), lowered(with_gradients, "cuda", *qkv)
    assert FLASH in forward
    assert ("PADDING" in forward) == (tokens % 2 == 1)
    assert f"{FLASH}Backward" not in forward
    assert f"{FLASH}Backward" in both


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_other_platforms_never_take_it(gpu_host, platform):
    assert "cudnn" not in lowered(with_gradients, platform, *queries((2, 197, 3, 64)))


def test_a_gpu_host_computes_the_same_on_its_cpu(gpu_host, monkeypatch):
    qkv = queries((2, 5, 3, 8))
    found = jax.jit(with_gradients)(*qkv)
    monkeypatch.setattr(transformer, "has_flash_devices", lambda: False)
    expected = jax.jit(lambda *arrays: with_gradients(*arrays))(*qkv)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 16, 3, 64), jnp.float32), ((2, 16, 3, 36), jnp.bfloat16), ((2, 16, 3, 136), jnp.bfloat16)],
    ids=["float32", "head of 36", "head of 136"],
)
def test_what_cudnn_does_not_know_is_xla_s(gpu_host, shape, dtype):
    qkv = queries(shape, dtype)
    assert not takes_flash(qkv[0])
    assert "cudnn" not in lowered(attend, "cuda", *qkv)


def test_programs_for_any_batch_are_exported_without_it(gpu_host):
    (batch,) = jax.export.symbolic_shape("b")
    qkv = [jax.ShapeDtypeStruct((batch, 16, 3, 64), jnp.bfloat16)] * 3
    exported = jax.export.export(jax.jit(attend), platforms=("cpu", "cuda", "tpu"))(*qkv)
    assert "cudnn" not in exported.mlir_module()


def test_a_transformer_block_in_bfloat16_takes_it(gpu_host):
    def make():
        rngs = nnx.Rngs(0)
        attention = partial(Attention, 16, 2, dtype=jnp.bfloat16, rngs=rngs)
        return Block(16, attention, rate=0.0, index=0, dtype=jnp.bfloat16, rngs=rngs)

    block = nnx.eval_shape(make)
    graph, weights = nnx.split(block)
    x_bnd = jax.ShapeDtypeStruct((2, 5, 16), jnp.bfloat16)
    assert FLASH in lowered(lambda weights, x_bnd: nnx.merge(graph, weights)(x_bnd), "cuda", weights, x_bnd)


@pytest.mark.parametrize(
    ("capabilities", "expected"), [(["9.0"], True), (["8.0", "12.1"], True), (["7.5"], False), (["9.0", "7.5"], False)]
)
def test_every_card_must_be_able_to(monkeypatch, capabilities, expected):
    devices = [SimpleNamespace(compute_capability=capability) for capability in capabilities]
    monkeypatch.setattr(jax, "local_devices", lambda backend: devices if backend == "cuda" else [])
    assert has_flash_devices.__wrapped__() is expected


def test_a_machine_without_cards_has_none():
    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("this machine has a GPU")
    assert not has_flash_devices()


def test_a_sharded_batch_is_attended_to_where_it_lies(gpu_host):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    qkv = [jax.device_put(array, sharding) for array in queries((16, 5, 1, 8))]
    # The call itself appears when the compiler divides the program; JAX hands it the rule to divide it by.
    text = lowered(with_gradients, "cuda", *qkv)
    assert text.count("@CustomSPMDPartitioning") >= 2
    assert "CustomSPMDPartitioning" not in lowered(with_gradients, "cpu", *qkv)
