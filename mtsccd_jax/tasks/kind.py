"""What the commands need to know of a task: each folder of this one declares it once, in its `kind.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.engine.task import Task
from mtsccd_jax.recipes.config import Data, Recipe
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.verify import Check
from mtsccd_jax.tasks.feature_cache import FeatureCache


@dataclass(frozen=True)
class Training:
    """How networks are trained for a task."""

    task: str  # the value of `model.task`
    open_data: Callable[[Recipe], tuple[Source, Source | None]]  # -> training, validation
    make_task: Callable[[Recipe, Source, Source | None], Task]  # from these sources


@dataclass(frozen=True, kw_only=True)
class RowKind:
    """Rows of some protocols.

    Attributes:
        protocols: of its rows.
        headline: the metrics that a row is known by.
        check: the check of a row by `verify`.
    """

    protocols: tuple[str, ...]
    headline: tuple[str, str]
    check: type[Check]


@dataclass(frozen=True, kw_only=True)
class TaskKind(RowKind):
    """A task of networks, with all that commands need of it.

    Attributes:
        open_split: opens a split that a row is about.
        evaluate: writes the row of a protocol on a split.
        evaluated_splits: the splits of data to evaluate where none is named, given the recipe.
        published_splits: the splits that the papers have, where `reproduce` evaluates these alone.
        training: how networks are trained for it, where they are.
        heads: the values of `model.task` whose networks predict it for single images, by their own head.
        predicted_columns: the columns of `predict` from the outputs on images, where there are `heads`.
    """

    open_split: Callable[[Data, str], Source]
    evaluate: Callable[[FeatureCache, str, str], Row]
    evaluated_splits: Callable[[Recipe, Data], list[str]]
    published_splits: tuple[str, ...] = ()
    training: Training | None = None
    heads: tuple[str, ...] = ()
    predicted_columns: Callable[[Trained, Embedding], dict[str, np.ndarray]] | None = None
