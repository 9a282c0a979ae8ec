"""Small networks for tests: shapes alone, or filled with random numbers; nothing is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models import Settings, create_model
from mtsccd_jax.models.network import ImageNetwork, Output
from mtsccd_jax.models.weights.mapping import Dialect, slots


def abstract(
    name: str,
    *,
    num_classes: int = 5,
    image_size: int = 64,
    in_channels: int = 3,
    dtype: DTypeLike = jnp.float32,
    width: float = 0.125,
    **settings,
) -> ImageNetwork:
    """Return a network without values; other arguments are fields of `Settings`."""

    def make() -> ImageNetwork:
        return create_model(
            name,
            num_classes=num_classes,
            image_size=image_size,
            in_channels=in_channels,
            dtype=dtype,
            settings=Settings(width, **settings),
            rngs=nnx.Rngs(0),
        )

    return nnx.eval_shape(make)


def filled(name: str, seed: int = 0, **arguments) -> ImageNetwork:
    """Return a network full of random numbers."""
    model, generator = abstract(name, **arguments), np.random.default_rng(seed)
    for path, node in nnx.iter_graph(model):
        if isinstance(node, nnx.Variable):
            value = generator.normal(0, 0.1, node.shape).astype(np.float32)
            node.set_value(jnp.asarray(np.abs(value) if path[-1] == "var" else value))
    return model


def evaluating(model: nnx.Module) -> nnx.Module:
    """Return the same weights in evaluation mode, with batch normalisation or without."""
    return nnx.view(model, use_running_average=True, raise_if_not_found=False)


def output_shapes(model: nnx.Module, height: int, width: int, channels: int = 3) -> Output:
    """Return the output for two images, without values."""
    image = jax.ShapeDtypeStruct((2, height, width, channels), jnp.float32)
    return nnx.eval_shape(lambda model, image: model(image), model, image)


def published_shapes(model: nnx.Module, names: Dialect) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a network under their published names and in torch's layout."""
    shapes = {}
    for slot in slots(model, names):
        value = np.broadcast_to(np.float32(0), slot.variable.shape)
        shapes[slot.name] = (value if slot.layout is None else slot.layout.to_published(value)).shape
    return shapes
