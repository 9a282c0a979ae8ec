"""The newborn network and a folder of scenes to search in."""

from dataclasses import replace

import numpy as np
import pytest

from mtsccd_jax.data.file_source import FileSource
from mtsccd_jax.data.folder_source import folder_source
from mtsccd_jax.engine.workdir import Run, claim
from mtsccd_jax.recipes.config import Data, Retrieval
from mtsccd_jax.tasks import feature_cache
from mtsccd_jax.tasks.feature_cache import FeatureCache

LABELS = ("Arable land", "Pastures", "Transitional woodland, shrub", "Marine waters")


@pytest.fixture
def searching(born, scenes):
    """Passes of the newborn network in a work directory of its own, with other retrieval settings."""

    def make(folder=scenes, **settings):
        trained = born()
        recipe = replace(
            trained.recipe, data=replace(trained.recipe.data, folder=str(folder)), retrieval=Retrieval(**settings)
        )
        claim(trained.workdir, Run(recipe, trained.class_names, "folder", 10))
        return FeatureCache(replace(trained, recipe=recipe))

    return make


@pytest.fixture
def several_labels(monkeypatch, scenes):
    """The scenes with several labels each, some with none, in place of their classes."""

    def open_labelled(data: Data, split: str) -> FileSource:
        source = folder_source(scenes, split, image_size=data.image_size)
        name = source.column("filename")
        random = {text: np.random.default_rng(list(text.encode())).random(len(LABELS)) < 0.3 for text in name}
        columns = {"filename": name, "labels": np.array([random[text] for text in name], np.uint8)}
        return replace(source, columns=columns, names={"labels": LABELS})

    monkeypatch.setattr(feature_cache, "open_source", open_labelled)
