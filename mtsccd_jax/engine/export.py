"""A trained network for others: its weights under published names, or its forward pass as a program.

Of a similarity network it is the backbone with its scene head, where one was trained.
"""

import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from mtsccd_jax.data.augment import normalize
from mtsccd_jax.engine.evaluate import Trained, load_trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.layers import HEAD
from mtsccd_jax.models.pretrained import published, slots
from mtsccd_jax.models.siamese import backbone_of
from mtsccd_jax.models.weight_files import WeightFile

PLATFORMS = ("cpu", "cuda", "tpu")


def evaluated_model(trained: Trained) -> nnx.Module:
    """The trained network that sees one image, in evaluation mode."""
    return backbone_of(nnx.merge(trained.network.eval_graph, trained.state.params, trained.state.statistics))


def weights_of_run(workdir: Path, name: str, class_names: tuple[str, ...]) -> WeightFile:
    """The weights of the network trained in a work directory, for another training of the same network.

    Its head goes along where it names the same classes in the same order.

    Raises:
        InputError: no run lies there, or one of another network.
    """
    trained = load_trained(workdir)
    recipe = trained.recipe
    if recipe.model.name != name:
        raise InputError(f"{workdir}: holds a trained {recipe.model.name}, not the {name} that model.init is to begin")
    model, names = evaluated_model(trained), MODELS[name].names[0]
    has_head = trained.class_names == class_names and (
        recipe.model.task == "scenes" or recipe.similarity.scene_weight > 0
    )
    arrays = {slot.name: slot.to_published() for slot in slots(model, names) if has_head or slot.path[0] != HEAD}
    digest = hashlib.sha256()
    for array_name, array in sorted(arrays.items()):
        digest.update(array_name.encode() + str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return WeightFile(str(workdir), arrays, digest.hexdigest(), (recipe.data.mean, recipe.data.std))


def write_safetensors(trained: Trained, path: Path) -> None:
    """Writes the weights as torchvision or timm name and lay them out; torch loads them as a state dict.

    The header says what else is needed to use them: the network, its classes in order, image size and normalisation.

    Raises:
        InputError: the network learned nothing of single scenes.
    """
    from safetensors.numpy import save

    trained.require_scenes()
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

    Raises:
        InputError: the network learned nothing of single scenes.
    """
    trained.require_scenes()
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
