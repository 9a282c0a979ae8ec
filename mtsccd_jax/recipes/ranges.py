"""The range of every setting that is a number, and what settings demand of each other."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtsccd_jax.recipes.config import Recipe


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, and strictly between `above` and `below`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        """Return the range in words: "must be 0 or more and below 1"."""
        ends = {
            f"{self.least:,} or more": self.least > -math.inf,
            f"above {self.above:,}": self.above > -math.inf,
            f"below {self.below:,}": self.below < math.inf,
            f"at most {self.most:,}": self.most < math.inf,
        }
        return "must be " + " and ".join(text for text, is_end in ends.items() if is_end)


# The largest int32: JAX counts steps, rows and sizes with it.
COUNT = Range(least=1, most=2**31 - 1)
POSITIVE, NOT_NEGATIVE, SHARE, RATE = Range(above=0), Range(least=0), Range(least=0, most=1), Range(least=0, below=1)

# Of the settings that are numbers, or of each number where there are several.
RANGES = {
    "data.changed_above": SHARE,
    "data.image_size": Range(least=1, most=16_384),
    "data.std": POSITIVE,
    "data.crop_padding": Range(least=0, most=16_384),
    "data.color_jitter": SHARE,
    "model.width": Range(above=0, most=64),
    "model.hidden": Range(least=1, most=2**20),
    "model.dropout": RATE,
    "model.drop_path": RATE,
    "optim.learning_rate": POSITIVE,
    "optim.momentum": RATE,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.warmup_epochs": Range(least=0, most=10**6),
    "optim.label_smoothing": RATE,
    "optim.clip_norm": POSITIVE,
    "engine.batch_size": Range(least=1, most=2**20),
    "engine.epochs": Range(least=0, most=10**6),
    "engine.eval_batch_size": Range(least=1, most=2**20),
    "engine.patience": COUNT,
    "engine.checkpoint_every_s": NOT_NEGATIVE,
    "engine.steps_per_dispatch": COUNT,
    "scene.c": POSITIVE,
    "retrieval.cutoffs": COUNT,
    "change.words": Range(least=1, most=2**20),
    "change.descriptors": COUNT,
    "evaluation.resamples": Range(least=1, most=10**6),
    "certainty.coverage": Range(above=0, most=1),
    "certainty.bins": Range(least=1, most=1000),
    "certainty.look": COUNT,
    "similarity.width": Range(least=1, most=2**20),
    "similarity.radius": Range(least=0, most=1_024),
    "similarity.scene_weight": NOT_NEGATIVE,
    "seed": Range(least=0, below=2**32),  # JAX repeats its seeds from there on, NumPy takes none below 0
}

_VALIDATED = "needs validation after every epoch; set engine.validate=true"

# What can be decided from several settings of a recipe, or is no range: (key, whether its value is possible, what is
# expected).
RULES: "tuple[tuple[str, Callable[[Recipe], bool], str], ...]" = (
    ("data.crop_padding", lambda r: r.data.crop_padding < r.data.image_size, "must be below data.image_size"),
    (
        "data.color_jitter",
        lambda r: not (r.data.color_jitter and r.data.bands),
        "bands have physical units and no brightness to change; set it to 0",
    ),
    (
        "data.leave_out",
        lambda r: r.data.leave_out is None or r.data.exclude is None,
        "cities are split anew, and the list of data.exclude knows the splits of the build; leave out one of them",
    ),
    ("engine.patience", lambda r: r.engine.patience is None or r.engine.validate, _VALIDATED),
    ("engine.keep", lambda r: r.engine.keep == "last" or r.engine.validate, _VALIDATED),
    ("scene.c", lambda r: bool(r.scene.c), "give at least one, separated by commas"),
    ("retrieval.cutoffs", lambda r: bool(r.retrieval.cutoffs), "give at least one, separated by commas"),
)
