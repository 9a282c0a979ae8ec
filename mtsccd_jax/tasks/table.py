"""The tasks, one line each, and what follows from them."""

from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.task import Task
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.report import text
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.certainty.kind import CHANGE_CERTAINTY, SCENE_CERTAINTY
from mtsccd_jax.tasks.change.kind import CHANGE
from mtsccd_jax.tasks.labels.kind import LABELS
from mtsccd_jax.tasks.scenes.kind import SCENES
from mtsccd_jax.tasks.search.kind import SEARCH
from mtsccd_jax.tasks.shift.kind import SHIFT

TASKS = (
    SCENES,
    CHANGE,
    LABELS,
    SEARCH,
    SCENE_CERTAINTY,
    CHANGE_CERTAINTY,
)

# Rows of these are made of other rows.
SUMMARIES = (SHIFT,)

BY_PROTOCOL = {protocol: kind for kind in TASKS for protocol in kind.protocols}
BY_HEAD = {task: kind for kind in TASKS for task in kind.heads}
ROW_KINDS = {protocol: kind for kind in (*TASKS, *SUMMARIES) for protocol in kind.protocols}
CHECKS = {protocol: kind.check for protocol, kind in ROW_KINDS.items()}
TRAININGS = {kind.training.task: kind.training for kind in TASKS if kind.training}


def open_task(recipe: Recipe) -> Task:
    """Open the data of a recipe and make its task; InputError where they do not exist or cannot teach it."""
    return make_task(recipe, *TRAININGS[recipe.model.task].open_data(recipe))


def make_task(recipe: Recipe, train: Source, validation: Source | None = None) -> Task:
    """Make the task of a recipe from open sources; InputError where they cannot teach it."""
    return TRAININGS[recipe.model.task].make_task(recipe, train, validation)


def summary_line(row: Row) -> str:
    """Return a row in one line for people: the metrics that it is known by, with intervals, n and the trivial answer.

    The line says in which of these metrics the row is below the trivial answer.
    """
    names = [name for name in ROW_KINDS[row.protocol].headline if name in row.metrics]
    scores = "  ".join(f"{name} {_estimate(row, name)}" for name in names)
    line = f"{row.protocol:<10} {row.split:<11} {scores}  n = {row.n:,}"
    trivial, below = text.baseline(row), [name for name in names if text.is_below_trivial(row, name)]
    if known := [f"{name} {trivial[name]:.4f}" for name in names if trivial.get(name) is not None]:
        line += f"  trivial ({trivial['name']}): {', '.join(known)}"
    return line + (f"; BELOW it in {' and '.join(below)}" if below else "")


def _estimate(row: Row, metric: str) -> str:
    """Return a metric with its interval, with as many digits as rows have in logs."""
    value, ends = text.value_of(row, metric), text.interval_of(row, metric)
    known = "-" if value is None else f"{value:.4f}"
    return f"{known} [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else known
