"""What the tasks of training differ in: their data, their loss, and what validation says after an epoch.

Scenes: cross-entropy, and the overall accuracy of the validation split. Labels of scenes: sigmoid cross-entropy, and
the mean over labels of their average precision on validation, as reBEN's model cards have it. Similarity of pairs:
sigmoid cross-entropy (and that of both dates' scenes where the recipe wants it), and the kappa of the threshold that is
best on the validation pairs: what the threshold is chosen by in the end, and blind to how many pairs are unchanged,
unlike overall accuracy.
"""

import hashlib
from collections.abc import Callable

import jax
import numpy as np
from scipy.special import expit

from mtsccd_jax.data.order import evaluation_batches
from mtsccd_jax.data.sources import Source, check_views, open_pairs, open_source, pair_splits, stored, views
from mtsccd_jax.engine.evaluate import PAIR_FIELDS, check_pairs, every_row, pair_images, similarity_of
from mtsccd_jax.engine.feed import Feed, late
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import (
    change_entropy,
    cross_entropy,
    label_entropy,
    make_compare_step,
    make_embed_step,
    make_eval_step,
)
from mtsccd_jax.engine.task import Score, Task
from mtsccd_jax.engine.workdir import TrainedPairs, write_trained_pairs
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.ops.metrics import overall_accuracy
from mtsccd_jax.ops.multilabel import average_precision
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.recipes.config import Recipe


def open_task(recipe: Recipe) -> Task:
    """The task of a recipe with its data.

    Raises:
        InputError: the data do not exist or cannot teach the task, or the smoothing of labels is no share.
    """
    train, validation = _pair_sources(recipe) if recipe.model.task == "similarity" else _scene_sources(recipe)
    return make_task(recipe, train, validation)


def make_task(recipe: Recipe, train: Source, validation: Source | None = None) -> Task:
    """The task of a recipe on data that are open.

    Raises:
        InputError: the data cannot teach the task.
    """
    tasks = {"scenes": _scenes, "labels": _labels, "similarity": _pairs}
    return tasks[recipe.model.task](recipe, train, validation)


def _scene_sources(recipe: Recipe) -> tuple[Source, Source | None]:
    train = open_source(recipe.data, "train")
    return train, open_source(recipe.data, "validation") if recipe.engine.validate else None


def _scenes(recipe: Recipe, train: Source, validation: Source | None) -> Task:
    check_scenes(train)
    if len(train.class_names) < 2:
        raise InputError(
            f"{train.name}: all scenes are of one class, {train.class_names[0]}: there is nothing to learn; "
            "give the folder whose folders are the classes"
        )
    objective = cross_entropy(recipe.optim.label_smoothing)
    return Task(
        class_names=train.class_names,
        train=train,
        validation=validation,
        objective=objective,
        score_name="oa",
        examples="scenes",
        make_score=scene_score,
    )


def _labels(recipe: Recipe, train: Source, validation: Source | None) -> Task:
    check_labels(train)
    check_views(train, recipe.data)
    objective = label_entropy(recipe.optim.label_smoothing)
    return Task(
        class_names=train.names["labels"],
        train=train,
        validation=validation,
        objective=objective,
        score_name="ap_macro",
        examples="scenes",
        make_score=label_score,
    )


def _pair_sources(recipe: Recipe) -> tuple[Source, Source | None]:
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


def _pairs(recipe: Recipe, train: Source, validation: Source | None) -> Task:
    check_pairs(train)
    if validation is not None:
        _check_both_kinds(validation, "judges an epoch by")
    settings = recipe.similarity
    if settings.scene_weight and not train.class_names:
        raise InputError(
            f"{train.name}: its pairs have no scene labels; set similarity.scene_weight=0, which learns without them"
        )
    weights = balanced_weights(train) if settings.balance else (1.0, 1.0)
    objective = change_entropy(weights, settings.scene_weight, recipe.optim.label_smoothing)
    return Task(
        class_names=train.class_names,
        train=train,
        validation=validation,
        objective=objective,
        score_name="kappa",
        examples="pairs",
        make_score=pair_score,
        write_notes=lambda workdir: write_trained_pairs(workdir, trained_pairs(train)),
    )


def balanced_weights(pairs: Source) -> tuple[float, float]:
    """The weights of an unchanged and of a changed pair with which both kinds count alike; their mean over pairs is 1.

    Raises:
        InputError: all pairs are of one kind.
    """
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


def check_scenes(source: Source) -> None:
    """Raises InputError unless the source holds labelled scenes."""
    if "image" not in views(source) or "label" not in source.names:
        hint = "train with --set model.task=labels" if "labels" in source.names else "use class folders"
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, not scenes of one class each; {hint}")


def check_labels(source: Source) -> None:
    """Raises InputError unless the source holds scenes of several labels each."""
    if "labels" not in source.names:
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, not scenes with `labels` of several names")
    if "image" not in views(source):
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, no scenes")


def scene_score(recipe: Recipe, network: Network, feed: Feed) -> Score:
    """`score(state)`: the overall accuracy on labelled scenes."""
    evaluate = feed.parallel.compile_counts(make_eval_step(network, recipe.data, feed.parallel.axis_name))
    return lambda state: overall_accuracy(count_confusion(evaluate, state, feed, recipe.engine.eval_batch_size))


def label_score(recipe: Recipe, network: Network, feed: Feed) -> Score:
    """`score(state)`: the mean of the labels' average precision on labelled scenes, over the labels that occur."""
    validation = feed.source
    embed = feed.parallel.compile_outputs(make_embed_step(network, recipe.data))
    rows, label = np.arange(len(validation)), validation.column("labels")
    if not label.any():
        raise InputError(f"{validation.name}, {validation.split}: no scene has any label, so no epoch can be judged")

    def score(state: State) -> float:
        def call(batch: Batch, place_b: np.ndarray) -> jax.Array:
            return embed(state, stored(validation, batch, "image"))["logits"]

        logits = every_row(call, feed, rows, recipe.engine.eval_batch_size)
        check_finite_scores(validation, "scenes", logits)
        return float(average_precision(label, expit(logits))[0][label.any(0)].mean())  # as rows rank, ties and all

    return score


def pair_score(recipe: Recipe, network: Network, feed: Feed) -> Score:
    """`score(state)`: the kappa on labelled pairs of the threshold that is best for it."""
    validation = feed.source
    compare = feed.parallel.compile_outputs(make_compare_step(network, recipe.data))
    rows, changed = np.arange(len(validation)), validation.column("changed").astype(bool)

    def score(state: State) -> float:
        def call(batch: Batch, place_b: np.ndarray) -> dict[str, jax.Array]:
            return compare(state, pair_images(batch))

        change = every_row(call, feed, rows, recipe.engine.eval_batch_size)["change"]
        check_finite_scores(validation, "pairs", change)
        return float(best_threshold(np.float32(1) - similarity_of(change), changed, "kappa").value)

    return score


def check_finite_scores(validation: Source, examples: str, score: np.ndarray) -> None:
    """Raises RunError unless what a network says of the validation split is finite."""
    if not np.isfinite(score).all():
        raise RunError(
            f"{validation.name}: what the network says of the validation {examples} is not finite; lower "
            "optim.learning_rate or set optim.clip_norm, and start in a new --workdir"
        )


def count_confusion(evaluate: Callable, state: State, feed: Feed, batch_size: int) -> np.ndarray:
    """The confusion matrix (k, k) over a whole source, exact at any size: padded rows are masked."""
    indices, mask = evaluation_batches(len(feed.source), batch_size)
    total: np.ndarray | int = 0
    with feed.batches(indices, mask) as batches:
        for counts in late(evaluate(state, batch) for batch in batches):
            total = total + np.asarray(counts["confusion"], np.int64)
    return np.asarray(total)


def trained_pairs(train: Source) -> TrainedPairs:
    """The pairs of a source as a work directory remembers that its network has learned from them."""
    names = zip(*(train.column(f"filename{name.removeprefix('image')}").tolist() for name in PAIR_FIELDS), strict=True)
    return TrainedPairs(train.name, tuple(names), pixels_sha256(train, 0))


def pixels_sha256(pairs: Source, row: int) -> str:
    """The checksum of the pixels of both dates of a pair."""
    example = pairs[row]
    return hashlib.sha256(b"".join(np.ascontiguousarray(example[name]).tobytes() for name in PAIR_FIELDS)).hexdigest()
