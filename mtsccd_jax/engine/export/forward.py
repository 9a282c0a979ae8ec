"""The forward pass of a trained network as a pure function of stored images or bands, and what is known of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from mtsccd_jax.data.bands import band_names, known_bands, seen, statistics
from mtsccd_jax.data.data_set_name import parse
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.export.weights import evaluated_model, seen_data
from mtsccd_jax.recipes.config import Data

IMAGE = "image"
# Side of a tile on the ground in metres. MtSCCD: 300 pixels of about 1 m (its paper, section 3); BigEarthNet: 1,200 m
# (arXiv:2407.03653, section II). MLRSNet's tiles have 0.1 to 10 m a pixel, and those of a folder any.
TILE_METRES = {"mtsccd_lusc": 300, "mtsccd_lucd": 300, "bigearthnet_v1": 1200, "bigearthnet_v2": 1200}
RADAR = "S1"


@dataclass(frozen=True)
class Forward:
    """The forward pass of a network with its weights.

    Attributes:
        call: From weights and named arrays, as they are stored, to `logits` (b, k) and `features` (b, d), float32.
        weights: A tree of NumPy arrays.
        inputs: Shape and type of each: `image` (b, size, size, 3) uint8, or every band (b, h, w).
        batch: The symbol of the free b.
    """

    call: Callable[[Any, dict[str, Any]], dict[str, jax.Array]]
    weights: Any
    inputs: dict[str, jax.ShapeDtypeStruct]
    batch: Any


def forward_of(trained: Trained) -> Forward:
    """Return the forward pass of a trained network, normalisation included.

    Raises:
        InputError: It has learned the similarity of pairs alone.
    """
    trained.require_scenes()
    data = trained.recipe.data
    # A program cannot hold sharded arrays as constants.
    graph, state = nnx.split(evaluated_model(trained))
    weights = jax.tree.map(np.asarray, state)

    def call(weights: Any, given: dict[str, Any]) -> dict[str, jax.Array]:
        output = nnx.merge(graph, weights)(seen(given, data))
        return {"logits": output.logits, "features": output.features}

    (batch,) = export.symbolic_shape("b")
    side = data.image_size
    inputs = {IMAGE: jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8)}
    if data.bands:
        stored = [known_bands().BANDS[name] for name in band_names(data)]
        inputs = {band.name: jax.ShapeDtypeStruct((batch, *band.shape), band.dtype) for band in stored}
    return Forward(call, weights, inputs, batch)


def facts(trained: Trained) -> dict[str, Any]:
    """Return what a user of an exported network must know, as values of JSON."""
    recipe = trained.recipe
    data, (mean, std) = recipe.data, statistics(recipe.data)
    found = {
        "model": recipe.model.name,
        "task": "multi-label classification" if recipe.model.task == "labels" else "scene classification",
        "class_names": list(trained.class_names),
        "image_size": data.image_size,
        "input": "as stored; the network normalises it",
        "bands": list(band_names(data)) or ["red", "green", "blue"],
        "units": units(data),
        "mean": list(mean),
        "std": list(std),
        "trained_on": list(seen_data(trained.workdir)),
    }
    metres = pixel_metres(data)
    return found if metres is None else found | {"ground_sample_distance_m": metres}


def units(data: Data) -> list[str]:
    """Return the unit of each channel, in which mean and standard deviation are."""
    if not data.bands:
        return ["share of 255"] * 3
    sensors = [known_bands().BANDS[name].sensor for name in band_names(data)]
    return ["dB" if sensor == RADAR else "reflectance x 10000" for sensor in sensors]


def pixel_metres(data: Data) -> float | None:
    """Return the side on the ground of a pixel that the network sees, or None where tiles differ or it is unknown."""
    name = parse(data.dataset).name if data.dataset and not data.folder else ""
    return TILE_METRES[name] / data.image_size if name in TILE_METRES else None
