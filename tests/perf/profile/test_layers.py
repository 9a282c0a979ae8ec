"""Operations and bytes of layers against arithmetic done by hand."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax

from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.perf.flops import count_macs, model_flops
from mtsccd_jax.perf.profile.layers import BETWEEN, jaxpr_layers
from mtsccd_jax.perf.profile.scopes import module_scopes
from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe
from mtsccd_jax.tasks.scenes.train import cross_entropy


def shape(*sizes: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def half(*sizes: int) -> jax.ShapeDtypeStruct:
    return shape(*sizes, dtype=jnp.bfloat16)


def total(function, *args, platform=None):
    """Return (flops, macs, bytes) of a function."""
    layers = jaxpr_layers(jax.make_jaxpr(function)(*args), platform)
    return tuple(sum(getattr(layer, name) for layer in layers) for name in ("flops", "macs", "bytes"))


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        # A product reads its operands and writes its result.
        (jnp.matmul, (shape(3, 4), shape(4, 5)), (120, 60, 4 * (12 + 20 + 15))),
        (jnp.matmul, (half(3, 4), half(4, 5)), (120, 60, 2 * (12 + 20 + 15))),
        # Connected elementwise work is one pass; of two results that do not need each other each is one.
        (lambda x: jnp.tanh(x * 2) + 1, (shape(8, 16),), (3 * 128, 0, 4 * 2 * 128)),
        (lambda x: (x + 1, x * 2), (shape(128),), (2 * 128, 0, 4 * 4 * 128)),
        # A reader of a whole sum is a pass of its own: read and write the sum; read both and write the result.
        (lambda x: x - jnp.sum(x * x), (shape(128),), (3 * 128, 0, 4 * (128 + 1 + 128 + 1 + 128))),
        # An intermediate result is written only for a product; another shape is the same array.
        (lambda a, b: jnp.tanh(a) @ b, (shape(16, 16), shape(16, 16)), (256 + 2 * 4096, 4096, 4 * 5 * 256)),
        (
            lambda a, b: a.reshape(4, 64).reshape(16, 16).T @ b,
            (shape(16, 16), shape(16, 16)),
            (2 * 4096, 4096, 4 * 3 * 256),
        ),
    ],
)
def test_operations_and_bytes_of_small_programs(function, args, expected):
    assert total(function, *args) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda a: lax.scan(lambda x, _: (x @ x, None), a, length=7)[0],
        jax.jit(jax.checkpoint(lambda a: a @ a)),
        lambda a: lax.cond(a[0, 0] > 0, lambda x: x @ x, lambda x: x, a),
    ],
)
def test_loops_calls_and_branches_are_entered(function):
    assert total(function, shape(4, 4))[1] == count_macs(function, shape(4, 4)) > 0


def test_a_platform_has_its_own_branch():
    def work(a):
        return lax.platform_dependent(a, cpu=lambda x: x + 1, cuda=lambda x: x @ x, default=lambda x: x @ x @ x)

    assert [total(work, shape(4, 4), platform=name)[1] for name in ("cpu", "gpu", "tpu", None)] == [0, 64, 128, 128]


@pytest.fixture(scope="module")
def step():
    """Trace a tiny network's training step; return the program, state and batch as shapes, and the step."""
    model = Model("resnet18", width=0.0625)
    recipe = Recipe("tiny", "", Data(image_size=32), model, Optim("adamw"), Engine(batch_size=8))
    network = create(recipe, ("a", "b", "c"), 10, make_parallel("jit", jax.devices()[:1]))
    train_step = make_train_step(network, cross_entropy(0.0), recipe.data, None)
    batch = {"image": shape(8, 32, 32, 3, dtype=jnp.uint8), "label": shape(8, dtype=jnp.int32)}
    batch["row"] = shape(8, dtype=jnp.int32)
    state = network.abstract()
    with module_scopes(nnx.merge(network.train_graph, state.params, state.statistics)):
        jaxpr = jax.make_jaxpr(train_step)(state, batch)
    return jaxpr, state, batch, train_step


def test_a_step_is_all_of_its_layers(step):
    jaxpr, state, batch, train_step = step
    layers = jaxpr_layers(jaxpr)
    assert sum(layer.macs for layer in layers) == count_macs(train_step, state, batch)
    assert {layer.stage for layer in layers} == {"input", "forward", "backward", "update"}
    stem = {layer.stage: layer for layer in layers if layer.name == "stem.conv" and layer.macs}
    forward = stem["forward"].macs
    assert forward == 8 * 32 * 32 // 4 * 4 * 7 * 7 * 3, "half the size, four channels, seven by seven of three"
    assert stem["backward"].macs == forward, "of the kernel; nobody wants the gradient of the images"
    assert any(layer.name == BETWEEN for layer in layers)
    assert all(layer.macs == 0 for layer in layers if layer.stage in ("input", "update"))
    in_network = sum(layer.macs for layer in layers if layer.stage == "forward")
    assert model_flops(in_network) == 6 * in_network


def test_the_update_moves_parameters_and_moments(step):
    jaxpr, state, _, _ = step
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    moved = sum(layer.bytes for layer in jaxpr_layers(jaxpr) if layer.stage == "update")
    # Reads parameters, gradients and two moments, writes parameters and moments, and reads gradients for their norm.
    assert moved / (4 * parameters) == pytest.approx(8, rel=0.1)


def test_modules_are_as_they_were_after_they_have_been_named(step):
    class Layer(nnx.Module):
        def __call__(self, x):
            return jnp.tanh(x)

    class Special(Layer):
        pass

    class Network(nnx.Module):
        def __init__(self):
            self.first, self.second = Layer(), Special()

        def __call__(self, x):
            return self.second(self.first(x))

    before = [vars(kind).get("__call__") for kind in (Layer, Special, Network)]
    network = Network()

    def stacks():
        traced = jax.make_jaxpr(lambda x: network(x))(1.0)
        return [str(equation.source_info.name_stack) for equation in traced.eqns]

    def fail():
        with module_scopes(network):
            assert stacks() == ["first", "second"]
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert [vars(kind).get("__call__") for kind in (Layer, Special, Network)] == before
    assert stacks() == ["", ""]
