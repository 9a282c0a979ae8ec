"""Networks of seconds for the protocols: one as it was born, and one that names several labels of a scene."""

from dataclasses import replace

import pytest

from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_embed_step
from mtsccd_jax.recipes.config import Data, Engine, Evaluation, Model, Optim, Recipe
from mtsccd_jax.tasks.train import train
from tfds_builders import build
from tfds_builders.synthetic import bigearthnet_v1, bigearthnet_v2, mlrsnet


@pytest.fixture(scope="session")
def born(recipe, scenes, tmp_path_factory):
    """A small network with 16 places in its last map, untrained; each call is a copy with other change settings."""
    parallel = make_parallel("jit")
    small = replace(recipe, model=Model("scnn", width=0.25))
    network = create(small, tuple(sorted(entry.name for entry in scenes.iterdir())), 1, parallel)
    state = network.initial(0)
    embed_step = parallel.compile_outputs(make_embed_step(network, small.data))

    def make(**change):
        settings = replace(small, change=replace(small.change, **change), evaluation=Evaluation(resamples=20))
        return Trained(settings, tmp_path_factory.mktemp("born"), network, parallel, state, embed_step)

    return make


@pytest.fixture(scope="session")
def label_data(tmp_path_factory):
    """The TFDS folder of small generated archives with several labels a scene: BigEarthNet v1 and v2, and MLRSNet."""
    root = tmp_path_factory.mktemp("labels")
    bigearthnet_v1.write_archive(root / "v1", scale=0.0002, workers=1)
    bigearthnet_v2.write_archive(root / "v2", scale=0.0003, workers=1)
    mlrsnet.write_archive(root / "mlrsnet", scale=0.001, image_size=32, workers=1)
    for name, archive in (("bigearthnet_v1", "v1"), ("bigearthnet_v2", "v2"), ("mlrsnet", "mlrsnet")):
        build(name, archive=root / archive, data_dir=root / "tfds", workers=1)
    return root / "tfds"


@pytest.fixture(scope="session")
def label_recipe(label_data):
    """A recipe of seconds that learns the labels of BigEarthNet v2 from bands of three sizes."""
    data = Data("bigearthnet_v2", None, data_dir=str(label_data), bands=("VV", "B01", "B04", "B05"), mean=(), std=())
    return Recipe(
        name="labels",
        summary="for tests",
        data=replace(data, image_size=24, resample="bilinear"),
        model=Model("scnn", width=0.25, task="labels"),
        optim=Optim("adamw", learning_rate=5e-3),
        engine=Engine(batch_size=16, epochs=3, eval_batch_size=32, keep="best"),
        evaluation=Evaluation(resamples=40),
    )


@pytest.fixture(scope="session")
def labels_run(label_recipe, tmp_path_factory):
    """The work directory of that recipe, trained; tests that add rows add them to a copy."""
    workdir = tmp_path_factory.mktemp("labels_run") / "run"
    train(label_recipe, workdir)
    return workdir
