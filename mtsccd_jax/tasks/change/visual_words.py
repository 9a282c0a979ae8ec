"""Bags of visual words: a dictionary of local descriptors, and how often each of its words occurs in an image.

Wu et al. 2016 (Signal Processing 124:184-197), as the MtSCCD paper uses it in section 3.2. The local descriptors of an
image are the vectors of the network's last feature map, one a place, as they are. The dictionary holds the centres of
k-means over descriptors drawn from training images. Each place of an image counts for its nearest centre, and the
histogram of an image sums to 1. Words are counted on the device: no whole feature map leaves it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.bands import seen
from mtsccd_jax.data.sources import Source, views
from mtsccd_jax.engine.evaluate import Trained, outputs_of
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import OutputStep, image_model
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.kmeans import fit_kmeans, nearest_center
from mtsccd_jax.processes import Rows
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.tasks.feature_cache import FeatureCache, Outputs

# words_step((state, center_kd), {"image"}) -> {"words": (b, k)}
WordsStep = Callable[[tuple[State, jax.Array], Batch], dict[str, jax.Array]]


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A dictionary of visual words."""

    center_kd: np.ndarray  # (k, c) float32, the words
    inertia: float  # sum of the squared distances of the descriptors to their words
    descriptors: int  # that it was fitted on
    fitted_on: str  # the images that they were drawn from, for people


def fit_dictionary(cache: FeatureCache, source: Source) -> Dictionary:
    """Fit a dictionary of `change.words` words on at most `change.descriptors` local descriptors of a source's images.

    As many images as possible give the same number of descriptors each. Their places are drawn with the recipe's seed,
    without repetition, and are the same at both dates of a pair.

    Raises:
        InputError: fewer descriptors than words.
    """
    trained, fields = cache.trained, len(views(source))
    settings, images, places = trained.recipe.change, len(source) * fields, map_places(trained)
    each = min(-(-settings.descriptors // images), places)
    chosen = min(len(source), settings.descriptors // (each * fields)) if each > 0 else 0
    drawn = chosen * each * fields
    if drawn < settings.words:
        raise InputError(
            f"{source.name}, {source.split}: {drawn} local descriptors ({images} images of {places} places each, "
            f"change.descriptors={settings.descriptors}) are fewer than change.words={settings.words}; "
            "set fewer words, or give more descriptors"
        )
    generator = np.random.default_rng(trained.recipe.seed)
    rows = np.sort(generator.permutation(len(source))[:chosen])
    place = np.stack([generator.permutation(places)[:each] for _ in rows]).astype(np.int32)
    step = trained.parallel.compile_outputs(make_descriptor_step(trained.network, trained.recipe.data))
    outputs, share, _ = outputs_of(
        trained, source, step, trained.state, rows=rows, arrays={"place": place}, title="describe"
    )
    descriptor_mfec = np.stack([output["descriptors"] for output in outputs.values()], 1)
    descriptor_sfec, row_s = trained.parallel.spread(Rows(descriptor_mfec, share))
    # The order of the fields, then of the images, then of the places, on however many devices these lie.
    order_sfe = row_s[:, None, None] * each + chosen * each * np.arange(fields)[:, None] + np.arange(each)
    order_sfe[row_s < 0] = -1
    descriptor_nd = descriptor_sfec.reshape(-1, descriptor_sfec.shape[-1])
    fitted = fit_kmeans(descriptor_nd, settings.words, trained.recipe.seed, order_n=order_sfe.ravel())
    return Dictionary(np.asarray(fitted.center_kd), float(fitted.inertia), drawn, f"{source.name}, {source.split}")


def map_places(trained: Trained) -> int:
    """Return the number of places of the network's last feature map, height times width; compute nothing."""
    size = trained.recipe.data.image_size
    local = partial(local_descriptors, trained.network, trained.recipe.data)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8)
    return int(jax.eval_shape(local, trained.state, {"image": image}).shape[1])


def count_words(cache: FeatureCache, source: Source, dictionary: Dictionary) -> Outputs[dict[str, Rows]]:
    """Return the share of each word in every image of a source, (n, k) float32 by image field; counted once."""
    trained = cache.trained

    def count() -> tuple[dict[str, Rows], float]:
        center_kd = trained.parallel.replicate(dictionary.center_kd)
        step = cache.once(
            "words step",
            lambda: trained.parallel.compile_outputs(make_words_step(trained.network, trained.recipe.data)),
        )
        outputs, share, rate = outputs_of(trained, source, step, (trained.state, center_kd), title="words")
        return {field: Rows(output["words"], share) for field, output in outputs.items()}, rate

    return cache.outputs(("words", dictionary), source, count)


def make_descriptor_step(network: Network, data: Data) -> OutputStep:
    """Return `descriptor_step(state, {"image", "place"}) -> {"descriptors": (b, m, c)}`, float32.

    `place` (b, m) int32 are places of the last feature map, counted row by row.
    """

    def descriptor_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        local = local_descriptors(network, data, state, batch)
        return {"descriptors": jnp.take_along_axis(local, batch["place"][:, :, None], axis=1)}

    return descriptor_step


def make_words_step(network: Network, data: Data) -> WordsStep:
    """Return the step that gives the share of each word in an image, whose places count for their nearest word."""

    def words_step(known: tuple[State, jax.Array], batch: Batch) -> dict[str, jax.Array]:
        state, center_kd = known
        local = local_descriptors(network, data, state, batch)
        images, places, channels = local.shape
        word = nearest_center(local.reshape(-1, channels), center_kd).reshape(images, places)
        # Comparisons summed: a float scatter-add is hundreds of times slower on some GPUs.
        count = jnp.sum(word[:, :, None] == jnp.arange(center_kd.shape[0]), axis=1, dtype=jnp.int32)
        return {"words": count.astype(jnp.float32) / places}

    return words_step


def local_descriptors(network: Network, data: Data, state: State, batch: Batch) -> jax.Array:
    """Return the last feature map of each image as (b, h w, c) float32, its places row by row."""
    feature_map: jax.Array = image_model(network, state)(seen(batch, data)).feature_map
    return feature_map.reshape(feature_map.shape[0], -1, feature_map.shape[-1]).astype(jnp.float32)
