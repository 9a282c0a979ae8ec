"""The size of a network, from shapes alone."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from mtsccd_jax.models import create_model
from mtsccd_jax.models.network import AUXILIARY
from mtsccd_jax.perf.flops import jaxpr_macs


def model_size(name: str) -> dict[str, Any]:
    """Return params, gmacs_224 and feature_width of a network at 1,000 classes: a line of `models/sizes.json`.

    Side classifiers, which exist in training only, are not counted.
    """
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    parameters = nnx.to_flat_state(nnx.state(model, nnx.Param))
    params = sum(leaf.size for path, leaf in parameters if path[0] != AUXILIARY)
    evaluated = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    program, output = jax.make_jaxpr(lambda model, image: model(image), return_shape=True)(evaluated, image)
    return {"params": params, "gmacs_224": jaxpr_macs(program) / 1e9, "feature_width": output.features.shape[-1]}
