"""Training on scenes of one class each: softmax cross-entropy, and the overall accuracy of the validation split."""

import logging
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mtsccd_jax.data.order import evaluation_batches
from mtsccd_jax.data.sources import Source, open_source
from mtsccd_jax.engine.feed import Feed, late
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import Images, Objective, OutputStep, make_eval_step
from mtsccd_jax.engine.task import Score, Task, check_finite_scores
from mtsccd_jax.errors import InputError
from mtsccd_jax.models.network import Output
from mtsccd_jax.ops.metrics import overall_accuracy
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.scenes.source import check_scenes

logger = logging.getLogger(__name__)


def open_scenes(recipe: Recipe) -> tuple[Source, Source | None]:
    """Open the training scenes of a recipe, and the validation scenes where it validates."""
    train = open_source(recipe.data, "train")
    return train, open_source(recipe.data, "validation") if recipe.engine.validate else None


def make_task(recipe: Recipe, train: Source, validation: Source | None = None) -> Task:
    """Make the task of learning the class of every scene; InputError where all are of one class."""
    check_scenes(train)
    if len(train.class_names) < 2:
        raise InputError(
            f"{train.name}: all scenes are of one class, {train.class_names[0]}: there is nothing to learn; "
            "give the folder whose folders are the classes"
        )
    warn_of_absent(train.class_names, np.bincount(train.column("label"), minlength=len(train.class_names)))
    return Task(
        class_names=train.class_names,
        train=train,
        validation=validation,
        objective=cross_entropy(recipe.optim.label_smoothing),
        score_name="oa",
        examples="scenes",
        make_score=scene_score,
    )


def warn_of_absent(class_names: Sequence[str], images_k: np.ndarray) -> None:
    """Name the classes without a training image, which a network cannot learn, in one warning."""
    absent = [name for name, images in zip(class_names, images_k, strict=True) if not images]
    if absent:
        few = "class" if len(absent) == 1 else f"{len(absent)} of {len(class_names)} classes"
        logger.warning(f"no training image of {few} {', '.join(absent)}; the network cannot learn to name them")


def cross_entropy(label_smoothing: float) -> Objective:
    """Return the softmax cross-entropy against `label`, smoothed as in Szegedy et al. 2016, section 7."""

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        output = model(images["image"])
        return scene_loss(output, batch["label"], label_smoothing), jnp.argmax(output.logits, -1) == batch["label"]

    return objective


def scene_loss(output: Output, label_b: jax.Array, label_smoothing: float) -> jax.Array:
    """Return the softmax cross-entropy of each image, (b,), side classifiers included."""
    target = optax.smooth_labels(jax.nn.one_hot(label_b, output.logits.shape[-1]), label_smoothing)
    loss_b: jax.Array = optax.softmax_cross_entropy(output.logits, target)
    for logits in output.auxiliary:
        loss_b += output.auxiliary_weight * optax.softmax_cross_entropy(logits, target)
    return loss_b


def scene_score(recipe: Recipe, network: Network, feed: Feed) -> Score:
    """Return `score(state)`, the overall accuracy on the scenes of a feed."""
    evaluate = feed.parallel.compile_counts(make_eval_step(network, recipe.data, feed.parallel.axis_name))
    return lambda state: overall_accuracy(count_confusion(evaluate, state, feed, recipe.engine.eval_batch_size))


def count_confusion(evaluate: OutputStep, state: State, feed: Feed, batch_size: int) -> np.ndarray:
    """Return the confusion matrix (k, k) int64 over a whole source; padded rows do not count.

    Raises:
        RunError: The logits of a scene are not finite.
    """
    indices, mask = evaluation_batches(len(feed.source), feed.parallel.whole_batch(batch_size), *feed.processes)
    total: np.ndarray | int = 0
    with feed.batches(indices, mask) as batches:
        for counts in late(evaluate(state, batch) for batch in batches):
            check_finite_scores(feed.source, "scenes", not int(counts["not_finite"]))
            total = total + np.asarray(counts["confusion"], np.int64)
    return np.asarray(total)
