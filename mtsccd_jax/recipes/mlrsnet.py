"""The classification experiments of the MLRSNet paper (arXiv:2010.00243): eight networks on three splits.

The table is known from a quotation that says nothing of the training, so all of it is ours: ImageNet weights, SGD at
0.01 with momentum 0.9 and a cosine over 30 epochs, batches of 64, flips and quarter turns, the best validation kept,
the size and normalisation of the published weights.
"""

from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe
from mtsccd_jax.recipes.experiment import Experiment

# Shares of training, validation and test in per cent, by what tells the recipes apart.
_SPLITS = {"20": "official_20_10_70", "30": "official_30_10_60", "40": "official"}
_HALF = (0.5, 0.5, 0.5)
_WEIGHTS = {
    "inception_v3": "hf:timm/inception_v3.tv_in1k",
    "vgg16": "hf:timm/vgg16.tv_in1k",
    "vgg19": "hf:timm/vgg19.tv_in1k",
    "resnet50": "hf:timm/resnet50.tv_in1k",
    "resnet101": "hf:timm/resnet101.tv_in1k",
    "densenet121": "hf:timm/densenet121.tv_in1k",
    "densenet169": "hf:timm/densenet169.tv_in1k",
    "densenet201": "hf:timm/densenet201.tv_in1k",
}


def _recipe(network: str, weights: str, percent: str, config: str) -> Recipe:
    """The recipe of one network and split."""
    data = Data(f"mlrsnet/{config}", pair_dataset=None)
    if network == "inception_v3":
        data = Data(f"mlrsnet/{config}", pair_dataset=None, image_size=299, mean=_HALF, std=_HALF)
    return Recipe(
        name=f"mlrsnet_{network}_{percent}",
        summary=f"{network} with ImageNet weights on MLRSNet, {percent} % of the images for training",
        data=data,
        model=Model(network, init=weights, task="labels"),
        optim=Optim("sgd", learning_rate=0.01, weight_decay=5e-4),
        engine=Engine(batch_size=64, epochs=30, patience=8, keep="best"),
    )


RECIPES = tuple(
    _recipe(network, weights, percent, config)
    for network, weights in _WEIGHTS.items()
    for percent, config in _SPLITS.items()
)

EXPERIMENTS = {"mlrsnet": tuple(Experiment(recipe, ("multilabel",)) for recipe in RECIPES)}
