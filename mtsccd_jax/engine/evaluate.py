"""A trained network over a whole source: features, logits and similarities of every row, exact at any size."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import expit

from mtsccd_jax.data.order import evaluation_batches
from mtsccd_jax.data.sources import Source, check_views, stored, views
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.checkpoint import Checkpoints
from mtsccd_jax.engine.feed import Feed, late
from mtsccd_jax.engine.parallel import Batch, Parallel, make_parallel
from mtsccd_jax.engine.state import Network, State, create
from mtsccd_jax.engine.steps import make_compare_step, make_embed_step
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.progress import bar
from mtsccd_jax.recipes.config import EVALUATION_KEYS, Recipe, override

PAIR_FIELDS = ("image_t1", "image_t2")


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

    @property
    def label_probability(self) -> np.ndarray:
        """Sigmoid of the logits, (n, k) float32: of each label on its own."""
        return expit(self.logits)


@dataclass(frozen=True)
class Comparison:
    """What a similarity network says of every pair of a source.

    Attributes:
        similarity: (n,) float32 in [0, 1]; the distance of a pair is 1 - similarity.
        logits_t1: (n, k) float32, scene scores of the first date; None where no scene head was trained.
        logits_t2: likewise of the second date.
    """

    similarity: np.ndarray
    logits_t1: np.ndarray | None
    logits_t2: np.ndarray | None

    @property
    def distance(self) -> np.ndarray:
        """1 - similarity, (n,) float32: a pair is changed iff it reaches the threshold."""
        return np.float32(1) - self.similarity


@dataclass(frozen=True)
class Trained:
    """The network of a work directory with its newest state, or that of its best epoch where the recipe keeps it.

    `compare_step` is None where the network judges single scenes.
    """

    recipe: Recipe
    workdir: Path
    network: Network
    parallel: Parallel
    state: State
    embed_step: Callable
    compare_step: Callable | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the logits."""
        return self.network.class_names

    def require_scenes(self) -> None:
        """Raises InputError where the network learned only the similarity of pairs, and nothing of single scenes."""
        if self.compare_step is not None and not self.recipe.similarity.scene_weight:
            raise InputError(
                f"{self.workdir}: learned the similarity of pairs alone and says nothing of single scenes; use "
                "`change --method sscd`, or train it with --set similarity.scene_weight=0.5"
            )

    def require_similarity(self) -> None:
        """Raises InputError unless the network learned the similarity of pairs."""
        if self.compare_step is None:
            raise InputError(
                f"{self.workdir}: classifies scenes; SSCD needs a network trained on pairs, with "
                "--set model.task=similarity"
            )


def load_trained(workdir: Path, assignments: Sequence[str] = ()) -> Trained:
    """The trained network of a work directory, its recipe changed by `KEY=VALUE` assignments.

    Raises:
        InputError: no run or no checkpoint lies there, no epoch has been validated though the best is asked for, or
            an assignment would need another training or asks for no resample.
    """
    run = work.load(workdir)
    run = replace(run, recipe=override(run.recipe, list(assignments)))
    run.recipe.check()
    for assignment in assignments:
        if not assignment.startswith(EVALUATION_KEYS):
            keys = ", ".join(f"{key}*" if key.endswith(".") else key for key in EVALUATION_KEYS)
            raise InputError(f"--set {assignment}: {workdir} is trained already; only these can be set now: {keys}")
    parallel = make_parallel(run.recipe.engine.parallel)
    steps_per_epoch = run.train_examples // run.recipe.engine.batch_size
    network = create(run.recipe, run.class_names, steps_per_epoch, parallel)
    with Checkpoints(workdir) as checkpoints:
        kept_step = best_step(workdir, checkpoints) if run.recipe.engine.keep == "best" else None
        state = checkpoints.restore(network.abstract(), kept_step)
    embed_step = parallel.compile_outputs(make_embed_step(network, run.recipe.data))
    compare_step = None
    if run.recipe.model.task == "similarity":
        compare_step = parallel.compile_outputs(make_compare_step(network, run.recipe.data))
    return Trained(run.recipe, workdir, network, parallel, state, embed_step, compare_step)


def best_step(workdir: Path, checkpoints: Checkpoints) -> int:
    """The step after the best validated epoch, of those that the newest checkpoint has seen.

    Raises:
        InputError: none has been validated yet.
    """
    best = work.best_of(work.read_validations(workdir, checkpoints.latest or 0))
    if best is None:
        raise InputError(f"{workdir}: no epoch has been validated yet; run `mtsccd-jax train` again to continue")
    return best.step


def embed(trained: Trained, source: Source) -> tuple[dict[str, Embedding], float]:
    """Features and logits of every image field of a source, and the images/s it took (compilation included)."""
    outputs, rate = outputs_of(trained, source, trained.embed_step, trained.state)
    return {field: Embedding(output["features"], output["logits"]) for field, output in outputs.items()}, rate


def outputs_of(
    trained: Trained,
    source: Source,
    step: Callable[[Any, Batch], Mapping[str, jax.Array]],
    known: Any,
    *,
    rows: np.ndarray | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    title: str = "embed",
) -> tuple[dict[str, dict[str, np.ndarray]], float]:
    """What a compiled step returns of every image (or the one of its bands) of a source, and the images/s it took.

    Args:
        trained: whose devices and batch size are used.
        source: of n rows.
        step: `step(known, {"image" (b, h, w, c) or bands, ...}) -> {name: (b, ...)}`, compiled by `compile_outputs`.
        known: the first argument of the step, the same for all batches.
        rows: the rows that are read; None for all.
        arrays: further inputs of the step, one entry for each of the rows that are read.
        title: of the progress bar.

    Raises:
        InputError: the network learned nothing of single scenes, or the source has nothing that it sees.
        RunError: what it returns is not finite.
    """
    trained.require_scenes()
    check_views(source, trained.recipe.data)
    rows = np.arange(len(source)) if rows is None else rows
    feed, batch_size = Feed(source, trained.parallel, "stream"), evaluation_batch(trained, len(rows))

    def call(batch: Batch, place_b: np.ndarray) -> dict[str, Mapping[str, jax.Array]]:
        more = trained.parallel.place({name: array[place_b] for name, array in (arrays or {}).items()})
        return {view: step(known, {**stored(source, batch, view), **more}) for view in views(source)}

    started = time.perf_counter()
    with bar(f"{title} {source.name}"[:22]) as advance:
        outputs = every_row(call, feed, rows, batch_size, advance)
    for output in outputs.values():
        _check_finite(trained, source, output)
    return outputs, len(rows) * len(views(source)) / (time.perf_counter() - started)


def compare(trained: Trained, source: Source) -> tuple[Comparison, float]:
    """The similarity of every pair of a source and the scene scores of both dates, and the images/s it took.

    Raises:
        InputError: the network classifies scenes, or the source holds no pairs.
        RunError: what the network says is not finite.
    """
    trained.require_similarity()
    assert trained.compare_step is not None
    check_pairs(source)
    compare_step, state = trained.compare_step, trained.state
    feed, batch_size = Feed(source, trained.parallel, "stream"), evaluation_batch(trained, len(source))
    started = time.perf_counter()
    with bar(f"compare {source.name}"[:22]) as advance:
        outputs = every_row(
            lambda batch, _: compare_step(state, pair_images(batch)), feed, np.arange(len(source)), batch_size, advance
        )
    _check_finite(trained, source, outputs)
    rate = len(source) * 2 / (time.perf_counter() - started)
    has_scenes = trained.recipe.similarity.scene_weight > 0
    t1, t2 = (outputs["logits_t1"], outputs["logits_t2"]) if has_scenes else (None, None)
    return Comparison(similarity_of(outputs["change"]), t1, t2), rate


def _check_finite(trained: Trained, source: Source, output: Mapping[str, np.ndarray]) -> None:
    for name, values in output.items():
        if not np.isfinite(values).all():
            raise RunError(
                f"{trained.workdir}: the network's {name} of {source.name}, {source.split}, are not finite; lower "
                "optim.learning_rate and train in a new --workdir"
            )


def check_pairs(source: Source) -> None:
    """Raises InputError unless the source holds pairs of images."""
    if tuple(source.image_fields) != PAIR_FIELDS:
        raise InputError(
            f"{source.name}: holds {', '.join(source.fields)}, not pairs; give --pairs or a data set of pairs"
        )


def pair_images(batch: Batch) -> dict[str, jax.Array]:
    """Both dates of a batch of pairs, all that a comparison takes."""
    return {name: batch[name] for name in PAIR_FIELDS}


def similarity_of(change_n: np.ndarray) -> np.ndarray:
    """The similarity of pairs whose logit of "changed" is known: the sigmoid of its negative, (n,) float32."""
    return expit(-change_n.astype(np.float64)).astype(np.float32)


def evaluation_batch(trained: Trained, rows: int) -> int:
    """The batch size for a number of rows: the recipe's, or less where that would be mostly padding.

    Few rows take a power of two of them a device: few programs to compile, few rows of padding to compute.
    """
    devices = trained.parallel.mesh.size
    return min(trained.recipe.engine.eval_batch_size, devices * 2 ** math.ceil(math.log2(-(-rows // devices))))


def every_row(
    call: Callable[[Batch, np.ndarray], Any],
    feed: Feed,
    rows: np.ndarray,
    batch_size: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Any:
    """What `call(batch, place_b)` returns of each of the `rows`, joined: a tree of arrays (n, ...).

    `call` gives a tree of arrays as a step compiled by `compile_outputs` returns them; `place_b` are the places of the
    batch's examples in `rows`. `advance(done, total)` is told of every batch.
    """
    indices, mask = evaluation_batches(len(rows), batch_size)
    parts: list[Any] = []
    with feed.batches(rows[indices]) as batches:
        for output in late(call(batch, place_b) for batch, place_b in zip(batches, indices, strict=True)):
            keep = partial(_rows_kept, feed.parallel, mask[len(parts)])
            parts.append(jax.tree.map(keep, jax.device_get(output)))
            advance(int(mask[: len(parts)].sum()), len(rows))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _rows_kept(parallel: Parallel, mask_b: np.ndarray, array: np.ndarray) -> np.ndarray:
    """The rows of a batch's output that are no padding."""
    return parallel.flatten(array)[mask_b]
