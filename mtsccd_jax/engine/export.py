"""A trained network for others: its weights under published names, or its forward pass as a program."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from mtsccd_jax.data.augment import normalize
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.files import replacing
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.pretrained import published

PLATFORMS = ("cpu", "cuda", "tpu")


def evaluated_model(trained: Trained) -> nnx.Module:
    """The trained network in evaluation mode."""
    return nnx.merge(trained.network.eval_graph, trained.state.params, trained.state.statistics)


def write_safetensors(trained: Trained, path: Path) -> None:
    """Writes the weights as torchvision or timm name and lay them out; torch loads them as a state dict.

    The header says what else is needed to use them: the network, its classes in order, image size and normalisation.
    """
    from safetensors.numpy import save

    recipe = trained.recipe
    names = MODELS[recipe.model.name].names[0]
    arrays = {name: np.ascontiguousarray(value) for name, value in published(evaluated_model(trained), names).items()}
    header = {
        "format": "pt",
        "model": recipe.model.name,
        "width": str(recipe.model.width),
        "image_size": str(recipe.data.image_size),
        "mean": json.dumps(recipe.data.mean),
        "std": json.dumps(recipe.data.std),
        "class_names": json.dumps(trained.class_names, ensure_ascii=False),
    }
    with replacing(path) as stream:
        stream.write(save(arrays, header))


def write_stablehlo(trained: Trained, path: Path) -> None:
    """Writes the forward pass with its weights for CPU, CUDA and TPU.

    `jax.export.deserialize(path.read_bytes()).call(image)` takes a batch (b, size, size, 3) uint8 of any length as
    images are stored, and returns `{"logits": (b, k), "features": (b, d)}` float32; `.mlir_module()` is the StableHLO.
    """
    model, data = evaluated_model(trained), trained.recipe.data
    # Constants of the program must not be sharded arrays.
    graph, state = nnx.split(model)
    state = jax.tree.map(np.asarray, state)

    def forward(image_bhwc: jax.Array) -> dict[str, jax.Array]:
        output = nnx.merge(graph, state)(normalize(image_bhwc.astype(jnp.float32), data.mean, data.std))
        return {"logits": output.logits, "features": output.features}

    (batch,) = export.symbolic_shape("b")
    image = jax.ShapeDtypeStruct((batch, data.image_size, data.image_size, 3), jnp.uint8)
    with replacing(path) as stream:
        stream.write(export.export(jax.jit(forward), platforms=PLATFORMS)(image).serialize())


WRITERS = {"safetensors": write_safetensors, "stablehlo": write_stablehlo}
