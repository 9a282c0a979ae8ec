"""The weights of a trained network under published names: a file of them, and the beginning of another training.

Of a similarity network the backbone is exported, with its scene head if one was trained.
"""

import hashlib
import json

import jax
import numpy as np
from flax import nnx

from mtsccd_jax.data.bands import band_names, statistics
from mtsccd_jax.engine.evaluate import Trained, load_trained
from mtsccd_jax.engine.steps import image_model
from mtsccd_jax.engine.workdir import load
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, replacing
from mtsccd_jax.models import MODELS, Settings, create_model
from mtsccd_jax.models.inception.inception_v3 import SMALLEST_IMAGE_OF_SIDE_CLASSIFIER
from mtsccd_jax.models.network import AUXILIARY, HEAD, AuxiliaryNetwork
from mtsccd_jax.models.weights.files import MODEL, TRAINED_ON, WeightFile
from mtsccd_jax.models.weights.mapping import published, slots
from mtsccd_jax.recipes.config import Recipe


def evaluated_model(trained: Trained) -> nnx.Module:
    """Return the trained network that takes one image, in evaluation mode."""
    return image_model(trained.network, trained.state)


def weights_of_run(workdir: AnyPath, name: str, class_names: tuple[str, ...]) -> WeightFile:
    """Return the weights of the network trained in a work directory, to begin another training of it.

    Its head is included if its classes are `class_names`, in the same order.
    """
    trained = load_trained(workdir)
    recipe = trained.recipe
    if recipe.model.name != name:
        raise InputError(f"{workdir}: holds a trained {recipe.model.name}, not the {name} that model.init is to begin")
    model, names = evaluated_model(trained), MODELS[name].names[0]
    has_head = trained.class_names == class_names and trained.sees_scenes
    arrays = {slot.name: slot.to_published() for slot in slots(model, names) if has_head or slot.path[0] != HEAD}
    digest = hashlib.sha256()
    for array_name, array in sorted(arrays.items()):
        digest.update(array_name.encode() + str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    normalization = statistics(recipe.data)
    return WeightFile(str(workdir), arrays, digest.hexdigest(), normalization, seen_data(workdir), architecture=name)


def seen_data(workdir: AnyPath) -> tuple[str, ...]:
    """Return the names of the data sets that the network of a work directory was trained on, in order."""
    run = load(workdir)
    return (*run.learned_before, run.data)


def state_dict(recipe: Recipe, model: nnx.Module, num_classes: int) -> dict[str, np.ndarray]:
    """Return the arrays of a network as a strict `load_state_dict` of the same network in torch wants them.

    To its parameters and statistics come the buffers that torch saves, and side classifiers that it has at every image
    size where ours has none; these have initial values, and no evaluation uses them.
    """
    definition = MODELS[recipe.model.name]
    arrays = published(model, definition.names[0]) | dict(definition.buffers(model))
    if isinstance(model, AuxiliaryNetwork) and not model.auxiliary:
        arrays |= new_side_classifiers(recipe, num_classes)
    return arrays


def new_side_classifiers(recipe: Recipe, num_classes: int) -> dict[str, np.ndarray]:
    """Return the side classifiers of a recipe's network for large images, with initial values."""
    name, width = recipe.model.name, recipe.model.width

    def make() -> dict[str, jax.Array]:
        rngs, settings = nnx.Rngs(recipe.seed), Settings(width)
        size = max(recipe.data.image_size, SMALLEST_IMAGE_OF_SIDE_CLASSIFIER)
        network = create_model(name, num_classes=num_classes, image_size=size, settings=settings, rngs=rngs)
        side = (slot for slot in slots(network, MODELS[name].names[0]) if slot.path[0] == AUXILIARY)
        return {slot.name: slot.in_published_layout(slot.variable[...]) for slot in side}

    made: dict[str, np.ndarray] = jax.device_get(jax.jit(make)())  # compiled, it makes nothing else
    return made


def write_safetensors(trained: Trained, path: AnyPath) -> None:
    """Write the weights with the names and layouts of torchvision or timm; torch loads them as a strict state dict.

    A classifier with a hidden layer has two parts, in a ResNet `fc.hidden` and `fc.output`, with a rectifier between
    them. The header holds the network, its classes in order, image size, bands and normalisation.
    """
    from safetensors.numpy import save

    trained.require_scenes()
    recipe = trained.recipe
    mean, std = statistics(recipe.data)
    arrays = state_dict(recipe, evaluated_model(trained), len(trained.class_names))
    header = {
        "format": "pt",
        MODEL: recipe.model.name,
        "width": str(recipe.model.width),
        "image_size": str(recipe.data.image_size),
        "bands": json.dumps(band_names(recipe.data)),
        "mean": json.dumps(mean),
        "std": json.dumps(std),
        "class_names": json.dumps(trained.class_names, ensure_ascii=False),
        TRAINED_ON: json.dumps(seen_data(trained.workdir), ensure_ascii=False),
    }
    with replacing(path) as stream:
        stream.write(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, header))
