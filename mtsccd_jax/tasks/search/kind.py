"""Image search, as the commands know it."""

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.tasks.kind import TaskKind
from mtsccd_jax.tasks.scenes.evaluate import evaluated_splits
from mtsccd_jax.tasks.search import evaluate
from mtsccd_jax.tasks.search.verify import SearchCheck

SEARCH = TaskKind(
    protocols=("retrieval",),
    headline=("map", "precision_at_10"),
    open_split=open_source,
    evaluate=lambda cache, protocol, split: evaluate.evaluate(cache, split),
    evaluated_splits=lambda recipe, data: evaluated_splits(data),
    check=SearchCheck,
)
