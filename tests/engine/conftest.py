"""Scenes that a tiny network tells apart, as class folders, and a recipe that trains it in seconds."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtsccd_jax.config import Data, Engine, Model, Optim, Recipe

CLASSES = ("dark", "plain", "stripes")


def write_scenes(root: Path, per_class: int = 40, size: int = 32) -> Path:
    """Three classes of noise: dark, plain and striped."""
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            image = generator.integers(90, 160, (size, size, 3))
            if name == "dark":
                image //= 2
            if name == "stripes":
                image[:, ::4] += 90
            cv2.imwrite(str(root / name / f"{index}.png"), image.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "tree")


@pytest.fixture
def recipe(scenes: Path) -> Recipe:
    return Recipe(
        name="tiny",
        summary="for tests",
        data=Data(folder=str(scenes), image_size=32, crop_padding=2, color_jitter=0.1),
        model=Model("resnet18", width=0.0625),
        optim=Optim(learning_rate=0.05, weight_decay=1e-4, warmup_epochs=0.5, label_smoothing=0.1),
        engine=Engine(batch_size=16, epochs=2, eval_batch_size=16),
        seed=3,
    )


@pytest.fixture
def with_engine():
    """The recipe with other engine settings."""

    def change(recipe: Recipe, **settings) -> Recipe:
        return replace(recipe, engine=replace(recipe.engine, **settings))

    return change
