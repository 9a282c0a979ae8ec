"""A trained network over a whole source: its outputs on every row, exact at any size."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mtsccd_jax import processes
from mtsccd_jax.data.order import evaluation_batches
from mtsccd_jax.data.sources import Source, check_views, stored, views
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.checkpoint import Checkpoints
from mtsccd_jax.engine.feed import Feed, late
from mtsccd_jax.engine.parallel import Batch, Parallel, make_parallel
from mtsccd_jax.engine.state import Network, State, create
from mtsccd_jax.engine.steps import OutputStep, make_embed_step
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import AnyPath
from mtsccd_jax.ops.calls import own_settings
from mtsccd_jax.processes import Rows, Share
from mtsccd_jax.progress import bar
from mtsccd_jax.recipes.config import EVALUATION_KEYS, Recipe, override


@dataclass(frozen=True)
class Embedding:
    """The outputs of a network on one image field of a source.

    Attributes:
        rows: The features, (n, d) float32.
        logits: (n, k) float32, of all rows.
    """

    rows: Rows
    logits: np.ndarray

    @property
    def own_features(self) -> np.ndarray:
        """The features of this process's rows, (m, d) float32; of all n where it is alone."""
        return self.rows.own

    @property
    def share(self) -> Share:
        """Which rows each process has."""
        return self.rows.share

    @property
    def features(self) -> np.ndarray:
        """The features of all rows, (n, d) float32. Many processes hand them to each other, so all must ask."""
        return self.rows.whole

    @property
    def prediction(self) -> np.ndarray:
        """The most probable class of each image, (n,) int64."""
        prediction_n: np.ndarray = self.logits.argmax(-1)
        return prediction_n

    @property
    def probability(self) -> np.ndarray:
        """Softmax of the logits, (n, k) float32."""
        shifted_nk = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        probability_nk: np.ndarray = shifted_nk / shifted_nk.sum(-1, keepdims=True)
        return probability_nk

    @property
    def label_probability(self) -> np.ndarray:
        """Sigmoid of the logits, (n, k) float32: the probability of each label on its own."""
        from scipy.special import expit

        probability_nk: np.ndarray = expit(self.logits)
        return probability_nk


@dataclass(frozen=True)
class Trained:
    """The network of a work directory with its newest state, or that of its best epoch where the recipe keeps it."""

    recipe: Recipe
    workdir: Path
    network: Network
    parallel: Parallel
    state: State
    embed_step: OutputStep

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the logits."""
        return self.network.class_names

    @property
    def sees_scenes(self) -> bool:
        """True if the network has learned from single scenes, and not from the similarity of pairs alone."""
        return self.recipe.model.task != "similarity" or self.recipe.similarity.scene_weight > 0

    def require_scenes(self) -> None:
        """Raise InputError unless the network has learned from single scenes."""
        if not self.sees_scenes:
            raise InputError(
                f"{self.workdir}: learned the similarity of pairs alone and says nothing of single scenes; use "
                "`change --method sscd`, or train it with --set similarity.scene_weight=0.5"
            )


@own_settings()
def load_trained(workdir: AnyPath, assignments: Sequence[str] = ()) -> Trained:
    """Load the trained network of a work directory, its recipe changed by `KEY=VALUE` assignments.

    Raises:
        InputError: The directory holds no run or no checkpoint, the recipe keeps the best epoch and none has been
            validated, or an assignment would need another training or asks for no resample.
    """
    workdir = Path(workdir)
    run = work.load(workdir)
    run = replace(run, recipe=override(work.found_again(run, workdir), list(assignments)))
    for assignment in assignments:
        if not assignment.startswith(EVALUATION_KEYS):
            keys = ", ".join(f"{key}*" if key.endswith(".") else key for key in EVALUATION_KEYS)
            raise InputError(f"--set {assignment}: {workdir} is trained already; only these can be set now: {keys}")
    parallel = make_parallel(run.recipe.engine.parallel)
    steps_per_epoch = run.train_examples // run.recipe.engine.batch_size
    network = create(run.recipe, run.class_names, steps_per_epoch, parallel)
    with Checkpoints(workdir) as checkpoints:
        keeps_best = run.recipe.engine.keep == "best"
        # Chosen once: a training may save another checkpoint meanwhile.
        kept_step = processes.by_first(lambda: best_step(workdir, checkpoints) if keeps_best else checkpoints.latest)
        state = checkpoints.restore(network.abstract(), kept_step)
    embed_step = parallel.compile_outputs(make_embed_step(network, run.recipe.data))
    return Trained(run.recipe, workdir, network, parallel, state, embed_step)


def best_step(workdir: Path, checkpoints: Checkpoints) -> int:
    """Return the last step of the best validated epoch, among the epochs before the newest checkpoint."""
    best = work.best_of(work.read_validations(workdir, checkpoints.latest or 0))
    if best is None:
        raise InputError(f"{workdir}: no epoch has been validated yet; run `mtsccd-jax train` again to continue")
    return best.step


def embed(trained: Trained, source: Source) -> tuple[dict[str, Embedding], float]:
    """Return the outputs on every image field of a source by its name, and the images/s (compilation included)."""
    outputs, share, rate = outputs_of(trained, source, trained.embed_step, trained.state)
    return {
        field: Embedding(Rows(output["features"], share), share.whole(output["logits"]))
        for field, output in outputs.items()
    }, rate


def outputs_of(
    trained: Trained,
    source: Source,
    step: Callable[[Any, Batch], Mapping[str, jax.Array]],
    known: Any,
    *,
    rows: np.ndarray | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    title: str = "embed",
) -> tuple[dict[str, dict[str, np.ndarray]], Share, float]:
    """Return the outputs of a compiled step on the images (or sets of bands) of a source by field, and the images/s.

    Each process has the outputs of its own share of the rows.

    Args:
        trained: The network, whose devices and batch size are used.
        source: The source, of n rows.
        step: `step(known, {"image" (b, h, w, c) or bands, ...}) -> {name: (b, ...)}`, compiled by `compile_outputs`.
        known: The first argument of the step, the same for all batches.
        rows: The rows to read; None for all.
        arrays: Further inputs of the step, one entry for each row that is read.
        title: Title of the progress bar.

    Raises:
        InputError: The network has not learned from single scenes, or the source lacks the images or bands it takes.
        RunError: An output is not finite.
    """
    trained.require_scenes()
    check_views(source, trained.recipe.data)
    rows = np.arange(len(source)) if rows is None else rows

    def call(batch: Batch, place_b: np.ndarray) -> dict[str, Mapping[str, jax.Array]]:
        more = trained.parallel.place({name: array[place_b] for name, array in (arrays or {}).items()})
        return {view: step(known, {**stored(source, batch, view), **more}) for view in views(source)}

    return timed_rows(trained, source, call, rows, title)


@own_settings()
def timed_rows(
    trained: Trained, source: Source, call: Callable[[Batch, np.ndarray], Any], rows: np.ndarray, title: str
) -> tuple[Any, Share, float]:
    """Return the finite outputs of `call` on rows of a source, as `own_rows` does, and the images/s."""
    feed, batch_size = Feed(source, trained.parallel, "stream"), evaluation_batch(trained, len(rows))
    started = time.perf_counter()
    with bar(f"{title} {source.name}"[:22]) as advance, processes.together():
        outputs, share = own_rows(call, feed, rows, batch_size, advance)
        for path, values in jax.tree_util.tree_leaves_with_path(outputs):
            if not np.isfinite(values).all():
                raise RunError(
                    f"{trained.workdir}: the network's {path[-1].key} of {source.name}, {source.split}, are not "
                    "finite; lower optim.learning_rate and train in a new --workdir"
                )
    return outputs, share, len(rows) * len(views(source)) / (time.perf_counter() - started)


def evaluation_batch(trained: Trained, rows: int) -> int:
    """Return the batch size for a number of rows: the recipe's, or a smaller one where that would be mostly padding.

    A smaller one is a power of two on each device, so that few programs are compiled and few padded rows computed.
    """
    devices = trained.parallel.mesh.size
    return min(trained.recipe.engine.eval_batch_size, devices << math.ceil(math.log2(-(-rows // devices))))


def every_row(
    call: Callable[[Batch, np.ndarray], Any],
    feed: Feed,
    rows: np.ndarray,
    batch_size: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Any:
    """Return the outputs of `call` on each of the `rows`, in every process: a tree of arrays (n, ...); see `own_rows`.

    All processes must call this.
    """
    with processes.together():
        outputs, share = own_rows(call, feed, rows, batch_size, advance)
    return jax.tree.map(share.whole, outputs)


def own_rows(
    call: Callable[[Batch, np.ndarray], Any],
    feed: Feed,
    rows: np.ndarray,
    batch_size: int,
    advance: Callable[[int, int], None],
) -> tuple[Any, Share]:
    """Return the outputs of `call(batch, place_b)` on this process's share of the `rows`: a tree of arrays (m, ...).

    A batch of all processes is `batch_size`, or the next larger one that divides over the devices; the last one is
    padded. `call` returns arrays as a step compiled by `compile_outputs` does; `place_b` are the places of the
    process's examples of the batch in `rows`. `advance(done, total)` is called after every batch.
    """
    whole_batch = feed.parallel.whole_batch(batch_size)
    own = evaluation_batches(len(rows), whole_batch, processes.index(), processes.count())
    # A resident batch is gathered from the rows of all processes, a streamed one is put together from theirs.
    read = own[0] if not feed.resident else evaluation_batches(len(rows), whole_batch)[0]
    parts: list[Any] = []
    with feed.batches(rows[read]) as batches:
        for output in late(call(batch, place_b) for batch, place_b in zip(batches, own[0], strict=True)):
            mask_b = own[1][len(parts)]
            parts.append(jax.tree.map(lambda array, mask_b=mask_b: feed.parallel.own_rows(array)[mask_b], output))
            advance(min(len(parts) * whole_batch, len(rows)), len(rows))
    outputs = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    devices = feed.parallel.mesh.size
    tables = (evaluation_batches(len(rows), whole_batch, device, devices) for device in range(devices))
    return outputs, Share(tuple(indices[mask] for indices, mask in tables))
