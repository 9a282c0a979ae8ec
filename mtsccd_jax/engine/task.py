"""A training task as the loop takes it: open data, a loss, and a score of the validation split.

The loop opens no data and knows no kind of task. `mtsccd_jax.tasks.table.open_task` makes the task of a recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import Objective
from mtsccd_jax.errors import RunError
from mtsccd_jax.recipes.config import Recipe

Score = Callable[[State], float]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training task with its open data.

    Attributes:
        class_names: Names of the outputs of the network's classifier.
        validation: The source that every epoch is scored on, or None.
        objective: The loss of each example, and whether the network is right about it.
        score_name: Name of the score that `make_score` computes.
        examples: What the sources hold, for messages ("scenes" or "pairs").
        make_score: Takes the recipe, the network and the feed of the validation split, and returns the function that
            scores a state; larger is better. It compiles nothing yet.
        write_notes: Writes what the task keeps in a new work directory, before the first checkpoint.
    """

    class_names: tuple[str, ...]
    train: Source
    validation: Source | None
    objective: Objective
    score_name: str
    examples: str
    make_score: Callable[[Recipe, Network, Feed], Score]
    write_notes: Callable[[Path], None] = lambda workdir: None


def check_finite_scores(validation: Source, examples: str, are_finite: bool | np.bool) -> None:
    """Raise RunError unless all outputs of the network on the validation split are finite."""
    if not are_finite:
        raise RunError(
            f"{validation.name}: what the network says of the validation {examples} is not finite; lower "
            "optim.learning_rate or set optim.clip_norm, and start in a new --workdir"
        )
