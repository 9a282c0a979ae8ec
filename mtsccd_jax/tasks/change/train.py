"""Training on pairs (SSCD): sigmoid cross-entropy of "changed", scored by the best kappa on the validation pairs.

Where the recipe wants it, the scene classification loss of both dates is added. The score is the kappa of the threshold
that is best on the validation pairs: the threshold is chosen by it in the end, and unlike overall accuracy it does not
depend on how many pairs are unchanged.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mtsccd_jax.data.sources import Source, open_pairs, pair_splits
from mtsccd_jax.engine.evaluate import every_row
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import Images, Objective, OutputStep
from mtsccd_jax.engine.task import Score, Task, check_finite_scores
from mtsccd_jax.errors import InputError
from mtsccd_jax.models.siamese import PairOutput, dates
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.change.sscd import change_distance, check_pairs, make_compare_step, pair_images
from mtsccd_jax.tasks.change.trained_pairs import write_trained_pairs
from mtsccd_jax.tasks.scenes.train import scene_loss


def open_training_pairs(recipe: Recipe) -> tuple[Source, Source | None]:
    """Open the training pairs of a recipe, and the validation pairs where it validates."""
    if recipe.data.folder is not None:
        raise InputError(f"{recipe.data.folder}: a folder of scenes; similarity learning takes --pairs or a data set")
    wanted = ["train", *(["validation"] if recipe.engine.validate else [])]
    if recipe.data.pairs is not None and (missing := set(wanted) - set(pair_splits(recipe.data))):
        raise InputError(
            f"{recipe.data.pairs}/pairs.csv: no pairs of split {', '.join(sorted(missing))}; similarity learning "
            "trains on some pairs and is judged on others: say which in a column 'split' (train, validation, test)"
        )
    train = open_pairs(recipe.data, "train")
    return train, open_pairs(recipe.data, "validation") if recipe.engine.validate else None


def make_task(recipe: Recipe, train: Source, validation: Source | None = None) -> Task:
    """Make the task of learning which pairs changed; InputError where the pairs cannot teach it."""
    check_pairs(train)
    if validation is not None:
        _check_both_kinds(validation, "judges an epoch by")
    settings = recipe.similarity
    if settings.scene_weight and not train.class_names:
        raise InputError(
            f"{train.name}: its pairs have no scene labels; set similarity.scene_weight=0, which learns without them"
        )
    weights = balanced_weights(train) if settings.balance else (1.0, 1.0)
    return Task(
        class_names=train.class_names,
        train=train,
        validation=validation,
        objective=change_entropy(weights, settings.scene_weight, recipe.optim.label_smoothing),
        score_name="kappa",
        examples="pairs",
        make_score=pair_score,
        write_notes=lambda workdir: write_trained_pairs(workdir, train),
    )


def balanced_weights(pairs: Source) -> tuple[float, float]:
    """Return the weights of an unchanged and a changed pair with which both kinds count alike; their mean is 1."""
    _check_both_kinds(pairs, "weighs")
    counts = np.bincount(pairs.column("changed"), minlength=2)
    return float(len(pairs) / (2 * counts[0])), float(len(pairs) / (2 * counts[1]))


def _check_both_kinds(pairs: Source, purpose: str) -> None:
    changed = int(pairs.column("changed").sum())
    if changed in (0, len(pairs)):
        kind = "changed" if changed else "unchanged"
        raise InputError(
            f"{pairs.name}, {pairs.split}: all {len(pairs)} pairs are {kind}; similarity learning {purpose} changed "
            "and unchanged pairs"
        )


def change_entropy(weights: tuple[float, float], scene_weight: float, label_smoothing: float) -> Objective:
    """Return the sigmoid cross-entropy against `changed`, with that of both dates' scenes where they have a weight.

    `weights` are of an unchanged and of a changed pair. Only the labels of scenes are smoothed.
    """

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        output: PairOutput = model(images["image_t1"], images["image_t2"])
        changed_b = batch["changed"] == 1
        loss_b = optax.sigmoid_binary_cross_entropy(output.change_b, changed_b.astype(jnp.float32))
        loss_b *= jnp.where(changed_b, weights[1], weights[0])
        if scene_weight:
            label_2b = jnp.stack([batch["label_t1"], batch["label_t2"]], axis=1).reshape(-1)
            loss_t1, loss_t2 = dates(scene_loss(output.scenes, label_2b, label_smoothing))
            loss_b += scene_weight * (loss_t1 + loss_t2) / 2
        return loss_b, (output.change_b > 0) == changed_b

    return objective


def pair_score(recipe: Recipe, network: Network, feed: Feed) -> Score:
    """Return `score(state)`, the kappa on the pairs of a feed at the threshold that is best for it."""
    validation = feed.source
    compare: OutputStep = feed.parallel.compile_outputs(make_compare_step(network, recipe.data))
    rows, changed = np.arange(len(validation)), validation.column("changed").astype(bool)

    def score(state: State) -> float:
        def call(batch: Batch, place_b: np.ndarray) -> dict[str, jax.Array]:
            return compare(state, pair_images(batch))

        change = every_row(call, feed, rows, recipe.engine.eval_batch_size)["change"]
        check_finite_scores(validation, "pairs", np.isfinite(change).all())
        return float(best_threshold(change_distance(change), changed, "kappa").value)

    return score
