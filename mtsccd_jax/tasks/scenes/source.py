"""Splits of scenes of one class each."""

from mtsccd_jax.data.sources import Source, views
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.tasks.feature_cache import FeatureCache


def check_scenes(source: Source) -> None:
    """Raise InputError unless the source holds scenes of one class each."""
    if "image" not in views(source) or "label" not in source.names:
        hint = "train with --set model.task=labels" if "labels" in source.names else "use class folders"
        raise InputError(f"{source.name}: holds {', '.join(source.fields)}, not scenes of one class each; {hint}")


def scene_source(cache: FeatureCache, split: str, data: Data | None = None) -> Source:
    """Open a split of scenes with the network's classes, of `data` or else of the data that it is evaluated on."""
    source, names = cache.scenes(split, data), cache.trained.class_names
    check_scenes(source)
    if tuple(source.class_names) != names:
        raise InputError(
            f"{source.name}: its classes ({', '.join(source.class_names[:4])}, ...) are not those the network of "
            f"{cache.trained.workdir} was trained on ({', '.join(names[:4])}, ...); for other images there is "
            "`mtsccd-jax predict`"
        )
    return source
