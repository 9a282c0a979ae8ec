"""The experiments of the BigEarthNet v1 paper (arXiv:1902.06148, section 4) and of reBEN's model cards.

BigEarthNet v1, Table 4: a shallow CNN on RGB and one on all twelve bands, from random weights, and Inception-v2 with
frozen ImageNet weights below a new hidden and a new output layer. The paper gives the loss, SGD, 100 epochs, cubic
interpolation, the 43 classes and a random 60/20/20 split of the patches without snow and clouds. Each network is
trained on the official split too; those rows do not reproduce the table. The paper leaves the rest open; here it is:

- learning rate 0.01 with a cosine to zero, momentum 0.9, batches of 256, the parameters of the best validation;
- bands normalised by their archive's statistics; no augmentation: none is named, and the archive is large;
- Inception-v2 takes 224 px, the size of its weights. Reflectances of 0 to 0.2 are brought to the range of the pixels
  that it was trained on (blue first, 0 to 255 less 104, 117 and 128). Its new hidden layer has 1,024 outputs, as many
  as it has features.

reBEN (BigEarthNet v2): seven networks on Sentinel-1, Sentinel-2 (10 and 20 m) and both, as the cards say: at most 100
epochs, stopped after 5 without a better mean average precision on validation, batches of 512, AdamW at 1e-3 after 1,000
warm-up steps with a cosine, dropout and stochastic depth of 0.15. Our choices: random weights, AdamW's decay of 0.01 as
in torch, flips and quarter turns, 120 px by nearest neighbour, for which the statistics were published. ConvMixer has
no stochastic depth, as in timm. In MobileViT timm also drops strided blocks, which leaves an example without any map;
we drop only branches beside an identity.
"""

from dataclasses import replace

from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe
from mtsccd_jax.recipes.experiment import Experiment

_V1_SPLITS = {"": "random_s2_43", "_official": "s2_43"}
_V1_ENGINE = Engine(batch_size=256, epochs=100, eval_batch_size=256, keep="best")
_V1_OPTIM = Optim("sgd", learning_rate=0.01, schedule="cosine")
_RGB = ("B04", "B03", "B02")
# Reflectance (x 10,000) of one pixel value, where 2,000 becomes 255.
_PER_PIXEL = 2000 / 255


def _v1(network: str, seen: str, data: Data, model: Model, freeze: tuple[str, ...] = ()) -> tuple[Recipe, ...]:
    """Return the recipes of one network of Table 4: on the paper's random split, and on the official one."""
    optim = replace(_V1_OPTIM, freeze=freeze)
    return tuple(
        Recipe(
            name=f"bigearthnet_v1_{network}{suffix}",
            summary=f"{seen} on BigEarthNet v1, 43 classes, {'official' if suffix else 'random'} split",
            data=replace(data, dataset=f"bigearthnet_v1/{config}"),
            model=model,
            optim=optim,
            engine=_V1_ENGINE,
        )
        for suffix, config in _V1_SPLITS.items()
    )


_V1_DATA = Data(
    pair_dataset=None, image_size=120, bands=_RGB, resample="bicubic", mean=(), std=(), flip=False, turn=False
)
# Channels of Inception-v2 in the order of its weights.
_BLUE_FIRST = replace(
    _V1_DATA,
    image_size=224,
    bands=("B02", "B03", "B04"),
    mean=tuple(round(offset * _PER_PIXEL, 4) for offset in (104, 117, 128)),
    std=(round(_PER_PIXEL, 4),) * 3,
)
TABLE_4 = (
    *_v1(
        "inception_v2",
        "Inception-v2, frozen below two new layers,",
        _BLUE_FIRST,
        Model("inception_v2", init="inception_v2.pth", task="labels", hidden=1024),
        freeze=("backbone",),
    ),
    *_v1("scnn_rgb", "S-CNN-RGB", _V1_DATA, Model("scnn", task="labels")),
    *_v1("scnn_all", "S-CNN-All", replace(_V1_DATA, bands=("s2",)), Model("scnn", task="labels")),
)

_V2_MODALITIES = {"s1": "s1", "s2": "10m_20m", "s1_s2": "s1_10m_20m"}
_V2_NETWORKS = (
    "resnet50",
    "resnet101",
    "vit_base_patch8",
    "convnextv2_base",
    "mobilevit_s",
    "mlp_mixer_base_patch16",
    "convmixer_768_32",
)
# Networks without residual blocks for stochastic depth to drop.
_WITHOUT_STOCHASTIC_DEPTH = ("convmixer_768_32",)
_V2_BATCH, _V2_TRAIN, _V2_WARMUP_STEPS = 512, 237_871, 1000


def _v2(network: str, modality: str, bands: str) -> Recipe:
    """Return the recipe of one network and modality of reBEN."""
    drop_path = None if network in _WITHOUT_STOCHASTIC_DEPTH else 0.15
    return Recipe(
        name=f"bigearthnet_v2_{network}_{modality}",
        summary=f"{network} on BigEarthNet v2 (reBEN), {modality.upper().replace('_', '+')}, as its model cards say",
        data=Data("bigearthnet_v2", pair_dataset=None, image_size=120, bands=(bands,), mean=(), std=()),
        model=Model(network, task="labels", dropout=0.15, drop_path=drop_path),
        optim=Optim(
            "adamw",
            learning_rate=1e-3,
            weight_decay=0.01,
            warmup_epochs=round(_V2_WARMUP_STEPS / (_V2_TRAIN // _V2_BATCH), 4),
        ),
        engine=Engine(batch_size=_V2_BATCH, epochs=100, eval_batch_size=512, patience=5, keep="best"),
    )


REBEN = tuple(_v2(network, modality, bands) for network in _V2_NETWORKS for modality, bands in _V2_MODALITIES.items())

RECIPES = (*TABLE_4, *REBEN)

EXPERIMENTS = {
    "bigearthnet_v1": tuple(Experiment(recipe, ("multilabel",)) for recipe in TABLE_4),
    "bigearthnet_v2": tuple(Experiment(recipe, ("multilabel",)) for recipe in REBEN),
}
