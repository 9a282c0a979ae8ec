"""Bags of visual words: a dictionary of local descriptors, and how often each of its words occurs in an image.

Wu et al. 2016 (Signal Processing 124:184-197), as the MtSCCD paper uses it in section 3.2. The local descriptors of an
image are the channels of the network's last feature map, one a place, as they are. The dictionary are the centres of
k-means over descriptors drawn from training images; each place of an image counts for its nearest centre, and the
histogram of an image sums to 1. Counting happens where the network runs: no feature map ever leaves the device whole.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.sources import Source, views
from mtsccd_jax.engine.evaluate import Trained, outputs_of
from mtsccd_jax.engine.steps import local_descriptors, make_descriptor_step, make_words_step
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.kmeans import fit_kmeans
from mtsccd_jax.tasks.feature_cache import Embedded


@dataclass(frozen=True)
class Dictionary:
    """Visual words.

    Attributes:
        center_kd: (k, c) float32, the words.
        inertia: sum of the squared distances of the descriptors to their words.
        descriptors: how many descriptors it was fitted on.
        fitted_on: the images that they were drawn from, in words.
    """

    center_kd: np.ndarray
    inertia: float
    descriptors: int
    fitted_on: str


@dataclass(frozen=True)
class Words:
    """The histograms of a source's images.

    Attributes:
        images: (n, k) float32 by image field; a row sums to 1.
        images_per_s: how fast they were counted.
        seconds: how long it took.
    """

    images: Mapping[str, np.ndarray]
    images_per_s: float
    seconds: float

    @property
    def started(self) -> float:
        """`time.perf_counter()` as it would read had they just been counted: what follows is timed as if."""
        return time.perf_counter() - self.seconds


def fit_dictionary(passes: Embedded, source: Source) -> Dictionary:
    """The dictionary of `change.words` words on at most `change.descriptors` local descriptors of the source's images.

    As many images as possible give the same number of descriptors each, from places that are drawn by the recipe's seed
    and do not repeat (they are the same at both dates of a pair).

    Raises:
        InputError: fewer descriptors than words, or no words asked for.
    """
    trained, fields = passes.trained, len(views(source))
    settings, images, places = trained.recipe.change, len(source) * fields, map_places(trained)
    if settings.words < 1:
        raise InputError(f"change.words={settings.words}: a dictionary has at least one word")
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
    step = passes.once(
        "descriptor step",
        lambda: trained.parallel.compile_outputs(make_descriptor_step(trained.network, trained.recipe.data)),
    )
    outputs, _ = outputs_of(
        trained,
        source,
        step,
        trained.state,
        rows=rows,
        arrays={"place": place},
        title="describe",
    )
    descriptor_nd = np.concatenate([output["descriptors"] for output in outputs.values()]).reshape(drawn, -1)
    fitted = fit_kmeans(descriptor_nd, settings.words, trained.recipe.seed)
    return Dictionary(np.asarray(fitted.center_kd), float(fitted.inertia), drawn, f"{source.name}, {source.split}")


def map_places(trained: Trained) -> int:
    """How many places the network's last feature map has, height times width; nothing is computed."""
    size = trained.recipe.data.image_size
    local = partial(local_descriptors, trained.network, trained.recipe.data)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8)
    return int(jax.eval_shape(local, trained.state, {"image": image}).shape[1])


def count_words(passes: Embedded, source: Source, dictionary: Dictionary) -> Words:
    """The share of each word in every image of a source."""
    trained, started = passes.trained, time.perf_counter()
    center_kd = jax.device_put(jnp.asarray(dictionary.center_kd), trained.parallel.replicated)
    step = passes.once(
        "words step", lambda: trained.parallel.compile_outputs(make_words_step(trained.network, trained.recipe.data))
    )
    outputs, rate = outputs_of(trained, source, step, (trained.state, center_kd), title="words")
    images = {field: output["words"] for field, output in outputs.items()}
    return Words(images, rate, time.perf_counter() - started)
