"""DenseNet: names of published files, division over devices, and memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from small_networks import abstract

from mtsccd_jax.models import densenet
from mtsccd_jax.models.network import Settings, Signature


def test_the_files_of_torchvision_have_dots_in_the_names_of_layers() -> None:
    model = abstract("densenet121")
    names = [name for name, _ in densenet.file_names(model)]
    assert names[:4] == [
        "features.conv0",
        "features.norm0",
        "features.denseblock1.denselayer1.norm.1",
        "features.denseblock1.denselayer1.conv.1",
    ]
    assert {"features.transition3.conv", "features.denseblock4.denselayer16.conv.2", "classifier"} <= set(names)
    assert len(names) == len(list(densenet.names(model)))


def one_block(depth: int, signature: Signature) -> densenet.DenseNet:
    """Make a narrow network of one dense block."""
    return densenet.DenseNet(densenet.Architecture((depth,)), signature, Settings(0.25), rngs=nnx.Rngs(0))


def step(
    model: nnx.Module, image: jax.Array, weight: jax.Array, axis_name: str | None = None
) -> tuple[nnx.State, nnx.State]:
    """Return the gradients of a weighted sum of the logits, and the statistics after it."""
    graph, params, statistics = nnx.split(model, nnx.Param, ...)

    def loss(params: nnx.State) -> tuple[jax.Array, nnx.State]:
        model = nnx.merge(graph, params, statistics, copy=True)
        if axis_name is not None:
            model = nnx.view(model, axis_name=axis_name)
        return jnp.sum(model(image).logits * weight), nnx.state(model, nnx.BatchStat)

    gradients, after = jax.grad(loss, has_aux=True)(params)
    return (gradients if axis_name is None else jax.lax.psum(gradients, axis_name)), after


def test_a_batch_divided_over_devices_gives_the_same() -> None:
    model = one_block(2, Signature(num_classes=3, image_size=32))
    rng = np.random.default_rng(0)
    image, weight = rng.normal(size=(16, 32, 32, 3)), rng.normal(size=(16, 3))
    image, weight = image.astype(np.float32), weight.astype(np.float32)
    graph, state = nnx.split(model)

    expected = jax.jit(lambda state, image, weight: step(nnx.merge(graph, state), image, weight))(state, image, weight)
    mapped = jax.pmap(
        lambda state, image, weight: step(nnx.merge(graph, state), image, weight, "data"),
        axis_name="data",
        in_axes=(None, 0, 0),
        out_axes=None,
    )
    divided = mapped(state, image.reshape(8, 2, 32, 32, 3), weight.reshape(8, 2, 3))

    for ours, reference in zip(jax.tree.leaves(divided), jax.tree.leaves(expected), strict=True):
        assert np.abs(ours - reference).max() < 1e-4 * max(1, np.abs(reference).max())


def kept_bytes(depth: int) -> int:
    """Return the bytes that the forward pass of one dense block keeps for the backward pass."""
    model = nnx.eval_shape(lambda: one_block(depth, Signature(num_classes=2, image_size=64)))
    graph, params, statistics = nnx.split(model, nnx.Param, ...)

    def pull_back(params: nnx.State, statistics: nnx.State, image: jax.Array) -> Any:
        return jax.vjp(lambda params: nnx.merge(graph, params, statistics, copy=True)(image).logits, params)[1]

    image = jax.ShapeDtypeStruct((8, 64, 64, 3), jnp.float32)
    return sum(leaf.size * 4 for leaf in jax.tree.leaves(jax.eval_shape(pull_back, params, statistics, image)))


def test_the_memory_of_the_backward_pass_grows_linearly_with_the_depth() -> None:
    shallow, deeper, deepest = (kept_bytes(depth) for depth in (4, 12, 20))
    assert deepest - deeper < 1.1 * (deeper - shallow)
