"""The networks: one literal table, and one function that makes any of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.models import resnet, vit
from mtsccd_jax.models.layers import BatchNorm, Output
from mtsccd_jax.perf import flops

__all__ = ["MODELS", "BatchNorm", "Entry", "Output", "create_model", "describe_models", "list_models"]


@dataclass(frozen=True)
class Entry:
    """One network: its class, what tells it from its relatives, and where it was published."""

    network: Callable[..., nnx.Module]
    architecture: resnet.Architecture | vit.Architecture
    source: str


MODELS: dict[str, Entry] = {
    "resnet18": Entry(resnet.ResNet, resnet.Architecture(resnet.BasicBlock, (2, 2, 2, 2)), "arXiv:1512.03385"),
    "resnet34": Entry(resnet.ResNet, resnet.Architecture(resnet.BasicBlock, (3, 4, 6, 3)), "arXiv:1512.03385"),
    "resnet50": Entry(resnet.ResNet, resnet.Architecture(resnet.BottleneckBlock, (3, 4, 6, 3)), "arXiv:1512.03385"),
    "resnet101": Entry(resnet.ResNet, resnet.Architecture(resnet.BottleneckBlock, (3, 4, 23, 3)), "arXiv:1512.03385"),
    "vit_tiny_patch16": Entry(vit.VisionTransformer, vit.Architecture(16, 192, 12, 3), "arXiv:2012.12877"),
    "vit_small_patch16": Entry(vit.VisionTransformer, vit.Architecture(16, 384, 12, 6), "arXiv:2012.12877"),
    "vit_base_patch16": Entry(vit.VisionTransformer, vit.Architecture(16, 768, 12, 12), "arXiv:2010.11929"),
}


def list_models() -> list[str]:
    """The names that `create_model` knows, in the order of the table."""
    return list(MODELS)


def create_model(
    name: str,
    *,
    num_classes: int,
    image_size: int = 224,
    in_channels: int = 3,
    width: float = 1.0,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """A new network in train mode; called on images (b, h, w, c) it returns an `Output`.

    Evaluate through a view, which shares the weights:
    `nnx.view(model, use_running_average=True, raise_if_not_found=False)`.

    Args:
        name: one of `list_models()`.
        num_classes: width of the classifier.
        image_size: side of the images in pixels. A ViT learns a position per patch of it, a ResNet takes any from 32.
        in_channels: channels of an image.
        width: factor on the number of channels.
        dtype: type of the computation, float32 or bfloat16; parameters and statistics are float32.
        rngs: source of the initial weights.

    Raises:
        InputError: unknown name, a size the network does not take, or a number that is not positive.
    """
    if name not in MODELS:
        raise InputError(f"unknown model '{name}': choose one of {', '.join(MODELS)}.{nearest(name, MODELS)}")
    for key, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
        if not value > 0:
            raise InputError(f"{key} of model '{name}' must be positive, not {value}")
    entry = MODELS[name]
    return entry.network(
        entry.architecture,
        num_classes=num_classes,
        image_size=image_size,
        in_channels=in_channels,
        width=width,
        dtype=dtype,
        rngs=rngs,
    )


def describe_models() -> list[dict[str, Any]]:
    """One dict per network at 1,000 classes: name, params, gmacs_224, feature_width, source. Computes shapes only."""
    return [_describe(name, entry.source) for name, entry in MODELS.items()]


def _describe(name: str, source: str) -> dict[str, Any]:
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    params = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    evaluated = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    program, output = jax.make_jaxpr(lambda model, image: model(image), return_shape=True)(evaluated, image)
    return {
        "name": name,
        "params": params,
        "gmacs_224": flops.jaxpr_macs(program) / 1e9,
        "feature_width": output.features.shape[-1],
        "source": source,
    }
