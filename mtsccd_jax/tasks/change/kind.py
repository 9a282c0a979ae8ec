"""Change detection, as the commands know it."""

from mtsccd_jax.data.sources import open_pairs
from mtsccd_jax.tasks.change import METHODS, evaluate, train
from mtsccd_jax.tasks.change.verify import ChangeCheck
from mtsccd_jax.tasks.kind import TaskKind, Training

CHANGE = TaskKind(
    protocols=tuple(METHODS),
    headline=("oa", "kappa"),
    open_split=open_pairs,
    evaluate=evaluate.evaluate,
    evaluated_splits=lambda recipe, data: evaluate.evaluated_splits(data),
    check=ChangeCheck,
    training=Training("similarity", train.open_training_pairs, train.make_task),
)
