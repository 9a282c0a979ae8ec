"""Experiments that begin with random weights.

The paper fine-tunes ImageNet networks (section 3.2, `recipes/mtsccd.py`); these recipes need no weights. Their settings
are ours: a cosine over the whole run after a warm-up; flips and quarter turns, which a nadir view allows; SGD with
momentum for ResNets, AdamW where epochs are few.
"""

from typing import Literal

from mtsccd_jax.recipes.config import Change, Data, Engine, Model, Optim, Recipe


def _resnet(layers: int, dtype: Literal["float32", "bfloat16"]) -> Recipe:
    """Return the recipe of a ResNet at 224 px."""
    return Recipe(
        name=f"resnet{layers}_scratch",
        summary=f"ResNet-{layers} on MtSCCD_LUSC at 224 px from random weights"
        + (", bfloat16 compute" if dtype == "bfloat16" else ""),
        data=Data(crop_padding=16),
        model=Model(f"resnet{layers}"),
        optim=Optim("sgd", learning_rate=0.1, weight_decay=5e-4, warmup_epochs=2, label_smoothing=0.1),
        engine=Engine(batch_size=128, epochs=40, dtype=dtype),
    )


RECIPES = (
    Recipe(
        name="demo",
        summary="half-width ResNet-18 on a small generated archive; two CPU cores, about two minutes",
        data=Data(image_size=88),
        model=Model("resnet18", width=0.5),
        optim=Optim("adamw", learning_rate=2e-3, weight_decay=0.02, warmup_epochs=1),
        engine=Engine(batch_size=32, epochs=7, eval_batch_size=64, validate=False),
    ),
    _resnet(18, "float32"),
    _resnet(50, "bfloat16"),
    _resnet(101, "bfloat16"),
    Recipe(
        name="vit_small_scratch",
        summary="ViT-S/16 on MtSCCD_LUSC at 224 px from random weights, bfloat16 compute",
        data=Data(crop_padding=16, color_jitter=0.2),
        model=Model("vit_small_patch16"),
        optim=Optim(
            "adamw", learning_rate=5e-4, weight_decay=0.05, warmup_epochs=5, label_smoothing=0.1, clip_norm=1.0
        ),
        engine=Engine(batch_size=256, epochs=100, dtype="bfloat16"),
        change=Change(metric="cosine"),
    ),
    Recipe(
        name="scenes_64",
        summary="ResNet-18 for class folders of small scenes (64 px files, trained at 96 px), such as EuroSAT",
        data=Data(dataset=None, pair_dataset=None, image_size=96, crop_padding=8),
        model=Model("resnet18", width=0.5),
        optim=Optim("sgd", learning_rate=0.1, weight_decay=5e-4, warmup_epochs=1, label_smoothing=0.1),
        engine=Engine(batch_size=64, epochs=15, eval_batch_size=64),
    ),
)
