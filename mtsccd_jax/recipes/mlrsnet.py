"""The classification experiments of the MLRSNet paper (arXiv:2010.00243): eight networks on three splits.

We know the table from a quotation that does not describe the training, so all settings are ours: ImageNet weights, SGD
at 0.01 with momentum 0.9 and a cosine over 30 epochs, batches of 64, flips and quarter turns, the parameters of the
best validation, the size and normalisation of the published weights.
"""

from dataclasses import replace

from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe
from mtsccd_jax.recipes.experiment import Experiment

# Configurations by the per cent of images for training; names give the shares of training, validation and test.
_SPLITS = {"20": "official_20_10_70", "30": "official_30_10_60", "40": "official"}
_NETWORKS = ("inception_v3", "vgg16", "vgg19", "resnet50", "resnet101", "densenet121", "densenet169", "densenet201")
_IMAGENET = Data(pair_dataset=None)
# Inception-v3 takes larger images, from -1 to 1.
_INCEPTION = Data(pair_dataset=None, image_size=299, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _recipe(network: str, percent: str, config: str) -> Recipe:
    """Return the recipe of one network and split."""
    return Recipe(
        name=f"mlrsnet_{network}_{percent}",
        summary=f"{network} with ImageNet weights on MLRSNet, {percent} % of the images for training",
        data=replace(_INCEPTION if network == "inception_v3" else _IMAGENET, dataset=f"mlrsnet/{config}"),
        model=Model(network, init=f"hf:timm/{network}.tv_in1k", task="labels"),
        optim=Optim("sgd", learning_rate=0.01, weight_decay=5e-4),
        engine=Engine(batch_size=64, epochs=30, patience=8, keep="best"),
    )


RECIPES = tuple(_recipe(network, percent, config) for network in _NETWORKS for percent, config in _SPLITS.items())

EXPERIMENTS = {"mlrsnet": tuple(Experiment(recipe, ("multilabel",)) for recipe in RECIPES)}
