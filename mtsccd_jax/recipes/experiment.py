"""One training and the rows that it fills, and its small variant for a CPU."""

from dataclasses import dataclass, replace

from mtsccd_jax.recipes.config import Engine, Model, Optim, Recipe


@dataclass(frozen=True)
class Experiment:
    """One training and the protocols whose rows it fills."""

    recipe: Recipe
    protocols: tuple[str, ...]


# Small variants of the papers' networks, from random weights: at scale 0.02 and 96 pixels the whole MtSCCD matrix takes
# a quarter of an hour on two CPU cores. Their rows test the pipeline, not the papers' networks.
_SMALL_VARIANTS = {
    "scnn": Model("scnn", width=0.5),
    "alexnet": Model("alexnet", width=0.25),
    "vgg16": Model("vgg11", width=0.125),
    "vgg19": Model("vgg11", width=0.25),
    "googlenet": Model("googlenet", width=0.25),
    "inception_v2": Model("inception_v2", width=0.25),
    "inception_v3": Model("inception_v3", width=0.125),
    "resnet18": Model("resnet18", width=0.125),
    "resnet50": Model("resnet18", width=0.25),
    "resnet101": Model("resnet34", width=0.25),
    "densenet121": Model("densenet121", width=0.125),
    "densenet169": Model("densenet121", width=0.1875),
    "densenet201": Model("densenet121", width=0.25),
    "efficientnet_b0": Model("efficientnet_b0", width=0.5),
    "seresnet50": Model("seresnet50", width=0.125),
    "vit_base_patch8": Model("vit_base_patch8", width=0.0833),
    "vit_base_patch16": Model("vit_tiny_patch16", width=0.5),
    "swin_tiny": Model("swin_tiny", width=0.25),
    "convnextv2_base": Model("convnextv2_atto", width=0.5),
    "mobilevit_s": Model("mobilevit_xxs", width=0.5),
    "mlp_mixer_base_patch16": Model("mlp_mixer_small_patch16", width=0.25),
    "convmixer_768_32": Model("convmixer_768_32", width=0.0417),
}


def stand_in(recipe: Recipe) -> Recipe:
    """Return a recipe with a small variant of its network from random weights, a few epochs, and a name of its own."""
    small, epochs = _SMALL_VARIANTS[recipe.model.name], 8 if recipe.model.task == "labels" else 3
    return replace(
        recipe,
        name=f"{recipe.name}_stand_in",
        summary=f"a small random network in the place of {recipe.name}'s",
        model=replace(small, task=recipe.model.task, hidden=recipe.model.hidden),
        optim=Optim("adamw", learning_rate=2e-3, weight_decay=0.02, warmup_epochs=1),
        engine=Engine(batch_size=32, epochs=epochs, eval_batch_size=64, keep="best"),
    )
