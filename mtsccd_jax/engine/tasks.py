"""What the two tasks of training differ in: their data, their loss, and what validation says after an epoch.

Scenes: cross-entropy, and the overall accuracy of the validation split. Similarity of pairs: sigmoid cross-entropy (and
that of both dates' scenes where the recipe wants it), and the kappa of the threshold that is best on the validation
pairs: what the threshold is chosen by in the end, and blind to how many pairs are unchanged, unlike overall accuracy.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from mtsccd_jax.config import Recipe
from mtsccd_jax.data.order import evaluation_batches
from mtsccd_jax.data.sources import Source, open_pairs, open_source, pair_splits
from mtsccd_jax.engine.evaluate import PAIR_FIELDS, check_pairs, every_row, pair_images, similarity_of
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import Batch, Parallel
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import Objective, change_entropy, cross_entropy, make_compare_step, make_eval_step
from mtsccd_jax.engine.workdir import TrainedPairs
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.ops.metrics import overall_accuracy
from mtsccd_jax.ops.threshold import best_threshold

Score = Callable[[State], float]


@dataclass(frozen=True)
class Task:
    """What is learned from what.

    Attributes:
        train: the source that is learned from.
        validation: the source that epochs are judged on, or None.
        objective: what is minimised.
        score_name: what `make_score` gives.
        examples: what the sources hold, in words.
        make_score: the function that judges a state on the validation split; compiles nothing yet.
    """

    train: Source
    validation: Source | None
    objective: Objective
    score_name: str
    examples: str
    make_score: Callable[[Recipe, Network, Parallel, Source], Score]


def open_task(recipe: Recipe) -> Task:
    """The task of a recipe with its data.

    Raises:
        InputError: the data do not exist or cannot teach the task.
    """
    return _pairs(recipe) if recipe.model.task == "similarity" else _scenes(recipe)


def _scenes(recipe: Recipe) -> Task:
    train = open_source(recipe.data, "train")
    validation = open_source(recipe.data, "validation") if recipe.engine.validate else None
    check_scenes(train)
    return Task(train, validation, cross_entropy(recipe.optim.label_smoothing), "oa", "scenes", scene_score)


def _pairs(recipe: Recipe) -> Task:
    if recipe.data.folder is not None:
        raise InputError(f"{recipe.data.folder}: a folder of scenes; similarity learning takes --pairs or a data set")
    wanted = ["train", *(["validation"] if recipe.engine.validate else [])]
    if recipe.data.pairs is not None and (missing := set(wanted) - set(pair_splits(recipe.data))):
        raise InputError(
            f"{recipe.data.pairs}/pairs.csv: no pairs of split {', '.join(sorted(missing))}; similarity learning "
            "trains on some pairs and is judged on others: say which in a column 'split' (train, validation, test)"
        )
    train = open_pairs(recipe.data, "train")
    validation = open_pairs(recipe.data, "validation") if recipe.engine.validate else None
    check_pairs(train)
    if validation is not None:
        _check_both_kinds(validation, "judges an epoch by")
    settings = recipe.similarity
    if settings.scene_weight < 0:
        raise InputError(f"similarity.scene_weight={settings.scene_weight}: must not be negative")
    if settings.scene_weight and not train.class_names:
        raise InputError(
            f"{train.name}: its pairs have no scene labels; set similarity.scene_weight=0, which learns without them"
        )
    weights = balanced_weights(train) if settings.balance else (1.0, 1.0)
    objective = change_entropy(weights, settings.scene_weight, recipe.optim.label_smoothing)
    return Task(train, validation, objective, "kappa", "pairs", pair_score)


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
    if "image" not in source.image_fields or not source.class_names:
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, not labelled scenes; use class folders")


def scene_score(recipe: Recipe, network: Network, parallel: Parallel, validation: Source) -> Score:
    """`score(state)`: the overall accuracy on labelled scenes."""
    feed = Feed(validation, parallel, recipe.data.input)
    evaluate = parallel.compile_counts(make_eval_step(network, recipe.data, parallel.axis_name))
    return lambda state: overall_accuracy(count_confusion(evaluate, state, feed, recipe.engine.eval_batch_size))


def pair_score(recipe: Recipe, network: Network, parallel: Parallel, validation: Source) -> Score:
    """`score(state)`: the kappa on labelled pairs of the threshold that is best for it."""
    feed = Feed(validation, parallel, recipe.data.input)
    compare = parallel.compile_outputs(make_compare_step(network, recipe.data))
    rows, changed = np.arange(len(validation)), validation.column("changed").astype(bool)

    def score(state: State) -> float:
        def call(batch: Batch, place_b: np.ndarray) -> dict[str, jax.Array]:
            return compare(state, pair_images(batch))

        change = every_row(call, feed, rows, recipe.engine.eval_batch_size)["change"]
        if not np.isfinite(change).all():
            raise RunError(
                f"{validation.name}: what the network says of the validation pairs is not finite; lower "
                "optim.learning_rate or set optim.clip_norm, and start in a new --workdir"
            )
        return float(best_threshold(np.float32(1) - similarity_of(change), changed, "kappa").value)

    return score


def count_confusion(evaluate: Callable, state: State, feed: Feed, batch_size: int) -> np.ndarray:
    """The confusion matrix (k, k) over a whole source, exact at any size: padded rows are masked."""
    indices, mask = evaluation_batches(len(feed.source), batch_size)
    total: np.ndarray | int = 0
    with feed.batches(indices, mask) as batches:
        for batch in batches:
            total = total + np.asarray(evaluate(state, batch)["confusion"], np.int64)
    return np.asarray(total)


def trained_pairs(train: Source) -> TrainedPairs:
    """The pairs of a source as a work directory remembers that its network has learned from them."""
    names = zip(*(train.column(f"filename{name.removeprefix('image')}").tolist() for name in PAIR_FIELDS), strict=True)
    return TrainedPairs(train.name, tuple(names), pixels_sha256(train, 0))


def pixels_sha256(pairs: Source, row: int) -> str:
    """The checksum of the pixels of both dates of a pair."""
    example = pairs[row]
    return hashlib.sha256(b"".join(np.ascontiguousarray(example[name]).tobytes() for name in PAIR_FIELDS)).hexdigest()
