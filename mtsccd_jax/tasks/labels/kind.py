"""Multi-label classification, as the commands know it."""

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.tasks.kind import TaskKind, Training
from mtsccd_jax.tasks.labels import evaluate, train
from mtsccd_jax.tasks.labels.verify import LabelCheck
from mtsccd_jax.tasks.scenes.train import open_scenes

LABELS = TaskKind(
    protocols=("multilabel",),
    headline=("ap_macro", "f1_macro"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: evaluate.evaluate(cache, split),
    evaluated_splits=evaluate.evaluated_splits,
    published_splits=("test",),
    check=LabelCheck,
    training=Training("labels", open_scenes, train.make_task),
    heads=("labels",),
    predicted_columns=evaluate.predicted_columns,
)
