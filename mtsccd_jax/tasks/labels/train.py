"""Training on scenes of several labels each: sigmoid cross-entropy, scored by the mean average precision of the labels.

The score is the mean over the labels that occur on validation, as the model cards of reBEN have it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mtsccd_jax.data.sources import Source, check_views, stored
from mtsccd_jax.engine.evaluate import every_row
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import Images, Objective, OutputStep, make_embed_step
from mtsccd_jax.engine.task import Score, Task, check_finite_scores
from mtsccd_jax.errors import InputError
from mtsccd_jax.models.network import Output
from mtsccd_jax.ops.multilabel import average_precision
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.labels.source import check_labels
from mtsccd_jax.tasks.scenes.train import warn_of_absent


def make_task(recipe: Recipe, train: Source, validation: Source | None = None) -> Task:
    """Make the task of learning all labels of every scene."""
    check_labels(train)
    check_views(train, recipe.data)
    if not train.band_fields:  # reading the labels of records of bands takes minutes
        warn_of_absent(train.names["labels"], train.column("labels").sum(0))
    return Task(
        class_names=train.names["labels"],
        train=train,
        validation=validation,
        objective=label_entropy(recipe.optim.label_smoothing),
        score_name="ap_macro",
        examples="scenes",
        make_score=label_score,
    )


def label_entropy(label_smoothing: float) -> Objective:
    """Return the mean over labels of the sigmoid cross-entropy; smoothing moves every target towards one half."""

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        output: Output = model(images["image"])
        label_bk = batch["labels"] == 1
        target_bk = label_bk * (1 - label_smoothing) + label_smoothing / 2
        loss_b = optax.sigmoid_binary_cross_entropy(output.logits, target_bk).mean(-1)
        for logits in output.auxiliary:
            loss_b += output.auxiliary_weight * optax.sigmoid_binary_cross_entropy(logits, target_bk).mean(-1)
        return loss_b, jnp.mean((output.logits >= 0) == label_bk, -1)

    return objective


def label_score(recipe: Recipe, network: Network, feed: Feed) -> Score:
    """Return `score(state)`, the mean average precision of the labels that occur in the source of a feed."""
    from scipy.special import expit

    validation = feed.source
    embed: OutputStep = feed.parallel.compile_outputs(make_embed_step(network, recipe.data))
    rows, label = np.arange(len(validation)), validation.column("labels")
    if not label.any():
        raise InputError(f"{validation.name}, {validation.split}: no scene has any label, so no epoch can be judged")

    def score(state: State) -> float:
        def call(batch: Batch, place_b: np.ndarray) -> jax.Array:
            return embed(state, stored(validation, batch, "image"))["logits"]

        logits = every_row(call, feed, rows, recipe.engine.eval_batch_size)
        check_finite_scores(validation, "scenes", np.isfinite(logits).all())
        # Of probabilities, as in rows: rounding to them makes ties that logits do not have.
        return float(average_precision(label, expit(logits))[0][label.any(0)].mean())

    return score
