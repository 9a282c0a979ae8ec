"""The tasks, one entry each: what the commands need to train, evaluate, predict and verify."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.data.sources import Source, open_pairs, open_source
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.engine.task import Task
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
    """How networks are trained for a task.

    Attributes:
        task: the value of `model.task`.
        open_data: opens the training and the validation source of a recipe; None without validation.
        make_task: makes the task of a recipe from these sources.
    """

    task: str
    open_data: Callable[[Recipe], tuple[Source, Source | None]]
    make_task: Callable[[Recipe, Source, Source | None], Task]


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """A task, with all that commands need of it.

    Attributes:
        protocols: of its rows.
        headline: the metrics that a row is known by.
        open_split: opens a split that a row is about.
        evaluate: writes the row of a protocol on a split.
        evaluated_splits: the splits of data to evaluate where none is named, given the recipe.
        published_splits: the splits that the papers have, where `reproduce` evaluates these alone.
        check: the check of a row by `verify`.
        training: how networks are trained for it, where they are.
        heads: the values of `model.task` whose networks predict it for single images, by their own head.
        predicted_columns: the columns of `predict` from the outputs on images, where there are `heads`.
    """

    protocols: tuple[str, ...]
    headline: tuple[str, str]
    open_split: Callable[[Data, str], Source]
    evaluate: Callable[[FeatureCache, str, str], Row]
    evaluated_splits: Callable[[Recipe, Data], list[str]]
    published_splits: tuple[str, ...] = ()
    check: type[Check]
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
    training=Training("scenes", scenes_train.open_scenes, scenes_train.make_task),
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
    training=Training("similarity", change_train.open_training_pairs, change_train.make_task),
)
LABELS = TaskKind(
    protocols=("multilabel",),
    headline=("ap_macro", "f1_macro"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: labels.evaluate(cache, split),
    evaluated_splits=labels.evaluated_splits,
    published_splits=("test",),
    check=LabelCheck,
    training=Training("labels", scenes_train.open_scenes, labels_train.make_task),
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
TRAININGS = {kind.training.task: kind.training for kind in TASKS if kind.training}


def open_task(recipe: Recipe) -> Task:
    """Open the data of a recipe and make its task.

    Raises:
        InputError: the data do not exist or cannot teach the task.
    """
    return make_task(recipe, *TRAININGS[recipe.model.task].open_data(recipe))


def make_task(recipe: Recipe, train: Source, validation: Source | None = None) -> Task:
    """Make the task of a recipe from open sources; InputError where they cannot teach it."""
    return TRAININGS[recipe.model.task].make_task(recipe, train, validation)


def summary_line(row: Row) -> str:
    """Return a row in one line for people, with the metrics that it is known by."""
    names = [name for name in BY_PROTOCOL[row.protocol].headline if name in row.metrics]
    values = {name: row.metrics[name]["value"] for name in names}
    scores = "  ".join(f"{name} {'-' if value is None else format(value, '.4f')}" for name, value in values.items())
    return f"{row.protocol:<10} {row.split:<11} {scores}"
