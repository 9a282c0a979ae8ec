"""Import all that commands need: a process that is forked from one with this module starts at once."""

import importlib

for name in (
    *("flax.nnx", "matplotlib.figure", "orbax.checkpoint", "scipy.stats", "tensorflow_datasets"),
    *("mtsccd_jax.cli", "mtsccd_jax.engine.loop", "mtsccd_jax.report.page", "mtsccd_jax.tasks.table"),
    "tfds_builders.builders",
):
    importlib.import_module(name)
