"""Splits of scenes of several labels each."""

import numpy as np

from mtsccd_jax.data.sources import Source, views
from mtsccd_jax.engine.export.weights import seen_data
from mtsccd_jax.errors import InputError
from mtsccd_jax.tasks.feature_cache import FeatureCache


def check_labels(source: Source) -> None:
    """Raise InputError unless the source holds scenes with several labels each."""
    if "labels" not in source.names:
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, not scenes with `labels` of several names")
    if "image" not in views(source):
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, no scenes")


def label_source(cache: FeatureCache, split: str) -> Source:
    """Open a split of scenes with the network's labels; refuse scenes that it has learned from in another data set."""
    source, names = cache.scenes(split), cache.trained.class_names
    check_labels(source)
    theirs = source.names["labels"]
    if tuple(theirs) != names:
        raise InputError(
            f"{source.name}: its labels ({len(theirs)}: {', '.join(theirs[:3])}, ...) are not those the network of "
            f"{cache.trained.workdir} was trained on ({len(names)}: {', '.join(names[:3])}, ...)"
        )
    refuse_leak(cache, source)
    return source


def refuse_leak(cache: FeatureCache, source: Source) -> None:
    """Raise LeakError where the network has learned from images of a source under another name; asks once."""
    from tfds_builders import leaks

    def refuse() -> None:
        names = [name for name in ("s2v1_name", "patch_id") if name in source.fields]
        for trained_on in seen_data(cache.trained.workdir):
            leaks.refuse_leak(
                trained_on=trained_on,
                trained_split="train",
                evaluated_on=source.name,
                split=source.split,
                v1_name_n=source.column(names[0]) if names else (),
            )

    cache.once(("leak", source.split), refuse)


def names_of(source: Source) -> np.ndarray:
    """Return the name of every scene of a source, (n,) str; InputError where it has none."""
    for field in ("filename", "patch_id"):
        if field in source.fields:
            return source.column(field)
    raise InputError(f"{source.name}: its scenes have no names (no field `filename` or `patch_id`)")
