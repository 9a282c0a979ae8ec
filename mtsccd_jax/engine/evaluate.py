"""A trained network over a whole source: confusion counts, features and logits, exact at any size."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np

from mtsccd_jax.config import Recipe, override
from mtsccd_jax.data.order import evaluation_batches
from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.checkpoint import Checkpoints
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.engine.state import Network, State, create
from mtsccd_jax.engine.steps import make_embed_step
from mtsccd_jax.errors import InputError
from mtsccd_jax.progress import bar

# What an evaluation may set otherwise than the training did.
EVALUATION_KEYS = ("change.", "engine.eval_batch_size", "engine.parallel", "data.input", "data.skip_bad")


@dataclass(frozen=True)
class Embedding:
    """What a network says of one image field of a source.

    Attributes:
        features: (n, d) float32.
        logits: (n, k) float32.
    """

    features: np.ndarray
    logits: np.ndarray

    @property
    def prediction(self) -> np.ndarray:
        """The most probable class of each image, (n,) int64."""
        return self.logits.argmax(-1)

    @property
    def probability(self) -> np.ndarray:
        """Softmax of the logits, (n, k) float32."""
        shifted = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        return shifted / shifted.sum(-1, keepdims=True)


@dataclass(frozen=True)
class Trained:
    """The network of a work directory with its newest state."""

    recipe: Recipe
    workdir: Path
    network: Network
    parallel: Parallel
    state: State
    embed_step: Callable

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the logits."""
        return self.network.class_names


def load_trained(workdir: Path, assignments: Sequence[str] = ()) -> Trained:
    """The trained network of a work directory, its recipe changed by `KEY=VALUE` assignments.

    Raises:
        InputError: no run or no checkpoint lies there, or an assignment would need another training.
    """
    run = work.load(workdir)
    run = replace(run, recipe=override(run.recipe, list(assignments)))
    for assignment in assignments:
        if not assignment.startswith(EVALUATION_KEYS):
            keys = ", ".join(f"{key}*" if key.endswith(".") else key for key in EVALUATION_KEYS)
            raise InputError(f"--set {assignment}: {workdir} is trained already; only these can be set now: {keys}")
    parallel = make_parallel(run.recipe.engine.parallel)
    steps_per_epoch = run.train_examples // run.recipe.engine.batch_size
    network = create(run.recipe, run.class_names, steps_per_epoch, parallel)
    with Checkpoints(workdir) as checkpoints:
        state = checkpoints.restore(network.abstract())
    embed_step = parallel.compile_outputs(make_embed_step(network, run.recipe.data))
    return Trained(run.recipe, workdir, network, parallel, state, embed_step)


def embed(trained: Trained, source: Source, *, quiet: bool = False) -> tuple[dict[str, Embedding], float]:
    """Features and logits of every image field of a source, and the images/s it took (compilation included)."""
    parallel, batch_size = trained.parallel, trained.recipe.engine.eval_batch_size
    # Small sources take a power of two of rows a device: few programs to compile, few rows of padding to compute.
    devices = parallel.mesh.size
    batch_size = min(batch_size, devices * 2 ** math.ceil(math.log2(-(-len(source) // devices))))
    feed = Feed(source, parallel, "stream")
    indices, mask = evaluation_batches(len(source), batch_size)
    collected: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in source.image_fields}
    started = time.perf_counter()
    with bar(f"embed {source.name}"[:22], quiet) as advance, feed.batches(indices) as batches:
        for step, batch in enumerate(batches):
            outputs = {name: trained.embed_step(trained.state, {"image": batch[name]}) for name in source.image_fields}
            keep = mask[step]
            for name, output in jax.device_get(outputs).items():
                features, logits = parallel.flatten(output["features"]), parallel.flatten(output["logits"])
                collected[name].append((features[keep], logits[keep]))
            advance(int(mask[: step + 1].sum()), len(source))
    rate = len(source) * len(source.image_fields) / (time.perf_counter() - started)
    embeddings = {
        name: Embedding(np.concatenate([item[0] for item in parts]), np.concatenate([item[1] for item in parts]))
        for name, parts in collected.items()
    }
    return embeddings, rate
