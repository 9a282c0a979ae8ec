"""Certainty of classes and of change, as the commands know it."""

from mtsccd_jax.data.sources import open_pairs, open_source
from mtsccd_jax.tasks.certainty import CHANGE_PROTOCOLS, PROTOCOLS
from mtsccd_jax.tasks.certainty.evaluate import evaluate, evaluated_splits
from mtsccd_jax.tasks.certainty.verify import CertaintyCheck
from mtsccd_jax.tasks.kind import TaskKind

SCENE_CERTAINTY = TaskKind(
    protocols=(PROTOCOLS["scene"],),
    headline=("ece", "coverage"),
    open_split=open_source,
    evaluate=evaluate,
    evaluated_splits=lambda recipe, data: evaluated_splits(data, "scene"),
    check=CertaintyCheck,
)
CHANGE_CERTAINTY = TaskKind(
    protocols=CHANGE_PROTOCOLS,
    headline=("ece", "coverage"),
    open_split=open_pairs,
    evaluate=evaluate,
    evaluated_splits=lambda recipe, data: evaluated_splits(data, "cfsm"),
    check=CertaintyCheck,
)
