"""Scene classification, as the commands know it."""

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.tasks.kind import TaskKind, Training
from mtsccd_jax.tasks.scenes import evaluate, train
from mtsccd_jax.tasks.scenes.verify import SceneCheck

SCENES = TaskKind(
    protocols=("scene",),
    headline=("oa", "kappa"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: evaluate.evaluate(cache, split),
    evaluated_splits=lambda recipe, data: evaluate.evaluated_splits(data),
    check=SceneCheck,
    training=Training("scenes", train.open_scenes, train.make_task),
    heads=("scenes", "similarity"),
    predicted_columns=evaluate.predicted_columns,
)
