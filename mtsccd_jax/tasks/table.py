"""The tasks, one entry each: what the commands need to train, evaluate, predict and verify."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.data.sources import Source, open_pairs, open_source
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.engine.task import Task
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Recipe
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.verify import Check
from mtsccd_jax.tasks.change import METHODS
from mtsccd_jax.tasks.change import evaluate as change
from mtsccd_jax.tasks.change import train as change_train
from mtsccd_jax.tasks.change.verify import ChangeCheck
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.labels import evaluate as labels
from mtsccd_jax.tasks.labels import train as labels_train
from mtsccd_jax.tasks.labels.verify import LabelCheck
from mtsccd_jax.tasks.scenes import evaluate as scenes
from mtsccd_jax.tasks.scenes import train as scenes_train
from mtsccd_jax.tasks.scenes.verify import SceneCheck
from mtsccd_jax.tasks.search import evaluate as search
from mtsccd_jax.tasks.search.verify import SearchCheck


@dataclass(frozen=True)
class Training:
    """How a task is trained.

    Attributes:
        open_data: opens the training and the validation source of a recipe; the second is None without validation.
        make_task: makes the task from a recipe and these sources.
    """

    open_data: Callable[[Recipe], tuple[Source, Source | None]]
    make_task: Callable[[Recipe, Source, Source | None], Task]


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """A task, with all that commands need of it.

    Attributes:
        protocols: of its rows.
        headline: the metrics that a row is known by, for people.
        open_split: opens a split that a row is about.
        evaluate: writes the row of a protocol on a split.
        evaluated_splits: the splits of data to evaluate where none is named, given the recipe.
        published_splits: the splits that the papers have, where `reproduce` evaluates these alone.
        check: what `verify` compares a row with.
        trained_as: the value of `model.task` that trains it; None where no network is trained for it.
        training: how it is trained, where it is.
        heads: the values of `model.task` whose networks predict it for single images by their own head, so that
            `evaluate` and `predict` take them.
        predicted_columns: the columns of `predict` from the outputs on images, where there are `heads`.
    """

    protocols: tuple[str, ...]
    headline: tuple[str, str]
    open_split: Callable[[Data, str], Source]
    evaluate: Callable[[FeatureCache, str, str], Row]
    evaluated_splits: Callable[[Recipe, Data], list[str]]
    check: type[Check]
    published_splits: tuple[str, ...] = ()
    trained_as: str | None = None
    training: Training | None = None
    heads: tuple[str, ...] = ()
    predicted_columns: Callable[[Trained, Embedding], dict[str, np.ndarray]] | None = None


SCENES = TaskKind(
    protocols=("scene",),
    headline=("oa", "kappa"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: scenes.evaluate(cache, split),
    evaluated_splits=lambda recipe, data: scenes.evaluated_splits(data),
    check=SceneCheck,
    trained_as="scenes",
    training=Training(scenes_train.open_scenes, scenes_train.make_task),
    heads=("scenes", "similarity"),
    predicted_columns=scenes.predicted_columns,
)
CHANGE = TaskKind(
    protocols=tuple(METHODS),
    headline=("oa", "kappa"),
    open_split=open_pairs,
    evaluate=change.evaluate,
    evaluated_splits=lambda recipe, data: change.evaluated_splits(data),
    check=ChangeCheck,
    trained_as="similarity",
    training=Training(change_train.open_training_pairs, change_train.make_task),
)
LABELS = TaskKind(
    protocols=("multilabel",),
    headline=("ap_macro", "f1_macro"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: labels.evaluate(cache, split),
    evaluated_splits=labels.evaluated_splits,
    published_splits=("test",),
    check=LabelCheck,
    trained_as="labels",
    training=Training(scenes_train.open_scenes, labels_train.make_task),
    heads=("labels",),
    predicted_columns=labels.predicted_columns,
)
SEARCH = TaskKind(
    protocols=("retrieval",),
    headline=("map", "precision_at_10"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: search.evaluate(cache, split),
    evaluated_splits=lambda recipe, data: scenes.evaluated_splits(data),
    check=SearchCheck,
)
TASKS = (SCENES, CHANGE, LABELS, SEARCH)

BY_PROTOCOL = {protocol: kind for kind in TASKS for protocol in kind.protocols}
BY_HEAD = {task: kind for kind in TASKS for task in kind.heads}
CHECKS = {protocol: kind.check for protocol, kind in BY_PROTOCOL.items()}
TRAININGS = {kind.trained_as: kind.training for kind in TASKS if kind.training is not None}


def open_task(recipe: Recipe) -> Task:
    """Open the data of a recipe and make its task.

    Raises:
        InputError: the data do not exist or cannot teach the task, or the smoothing of labels is no share.
    """
    if not 0 <= recipe.optim.label_smoothing < 1:
        raise InputError(f"optim.label_smoothing={recipe.optim.label_smoothing}: must be 0 or more and below 1")
    training = TRAININGS[recipe.model.task]
    return training.make_task(recipe, *training.open_data(recipe))


def make_task(recipe: Recipe, train: Source) -> Task:
    """Make the task of a recipe from an open source, without validation.

    Raises:
        InputError: the source cannot teach the task.
    """
    return TRAININGS[recipe.model.task].make_task(recipe, train, None)


def summary_line(row: Row) -> str:
    """Return a row in one line for people, with the metrics that it is known by."""
    names = [name for name in BY_PROTOCOL[row.protocol].headline if name in row.metrics]
    values = {name: row.metrics[name]["value"] for name in names}
    scores = "  ".join(f"{name} {'-' if value is None else format(value, '.4f')}" for name, value in values.items())
    return f"{row.protocol:<10} {row.split:<11} {scores}"
